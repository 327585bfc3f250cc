"""What masks of one's own are read by. Expected train ids are written down, as a person reads the files."""

import numpy as np
import pytest
from PIL import Image

from contextrast.data import IGNORE_INDEX
from contextrast.data.classes_file import ClassesFile
from contextrast.data.own_masks import OwnMasks, scaled_values
from contextrast.errors import ConfigError, DataError

RGB = {"red": (200, 40, 40), "green": (40, 190, 60), "blue": (50, 60, 210)}
BINARY = {"background": (0, 0, 0), "object": (255, 255, 255)}
IDS = np.array([[0, 0, 1, 2], [2, 1, 1, 0]], np.uint8)


def masks(folder, classes, ignore=255, first_value=0, **settings):
    colors = tuple(classes.values()) if isinstance(classes, dict) else None
    return OwnMasks(ClassesFile(folder / "classes.txt", tuple(classes), colors), ignore, first_value, **settings)


def palette(path, indices, colors, **options):
    image = Image.fromarray(np.asarray(indices, np.uint8)).convert("P")
    image.putdata(np.ravel(indices).tolist())
    image.putpalette([channel for color in colors for channel in color])
    image.save(path, **options)
    return path


def grey(path, values):
    Image.fromarray(np.asarray(values, np.uint8)).save(path)
    return path


class TestPalettes:
    @pytest.mark.parametrize("suffix", [".png", ".gif", ".bmp", ".tif"])
    def test_colors_count_where_all_are_in_the_classes_file(self, tmp_path, suffix):
        colors = np.array([*RGB.values()], np.uint8)
        for name, picture in {
            "sorted": Image.fromarray(colors[IDS]).convert("P", palette=Image.Palette.ADAPTIVE, colors=3),
            "quantised": Image.fromarray(colors[IDS]).quantize(3),
        }.items():
            path = tmp_path / f"{name}{suffix}"
            picture.save(path)
            assert masks(tmp_path, RGB)(path).tolist() == IDS.tolist()

    def test_values_count_where_the_classes_have_no_colors(self, tmp_path):
        path = palette(tmp_path / "a.png", IDS, [*RGB.values()][::-1])
        assert masks(tmp_path, list(RGB))(path).tolist() == IDS.tolist()

    def test_an_ignored_value_may_have_any_color(self, tmp_path):
        colors = [*RGB.values()] + [(0, 0, 0)] * 252 + [(224, 224, 192)]
        path = palette(tmp_path / "a.png", [[0, 1, 2, 255]], colors)
        assert masks(tmp_path, RGB)(path).tolist() == [[0, 1, 2, IGNORE_INDEX]]

    def test_an_ignored_color_counts(self, tmp_path):
        path = palette(tmp_path / "a.png", [[0, 1, 2]], [(0, 0, 0), RGB["blue"], RGB["red"]])
        assert masks(tmp_path, RGB, [0, 0, 0])(path).tolist() == [[IGNORE_INDEX, 2, 0]]

    @pytest.mark.parametrize("colors", [[(1, 1, 9)] * 3, [RGB["red"], RGB["green"], (1, 1, 9)]])
    def test_other_colors_contradict_and_a_setting_decides(self, tmp_path, colors):
        path = palette(tmp_path / "a.png", IDS, colors)
        with pytest.raises(DataError, match=r"in two ways.*2 \(1, 1, 9\): blue or no class.*masks=values") as caught:
            masks(tmp_path, RGB)(path)
        assert str(path) in str(caught.value)
        assert masks(tmp_path, RGB, masks="values")(path).tolist() == IDS.tolist()

    def test_what_a_setting_decides_is_obeyed(self, tmp_path):
        path = palette(tmp_path / "a.png", IDS, [*RGB.values()][::-1])
        assert masks(tmp_path, RGB)(path).tolist() == (2 - IDS).tolist()
        assert masks(tmp_path, RGB, masks="colors")(path).tolist() == (2 - IDS).tolist()
        assert masks(tmp_path, RGB, masks="values")(path).tolist() == IDS.tolist()

    def test_colors_need_colors(self, tmp_path):
        with pytest.raises(ConfigError, match=r"masks=colors, but .*no colours"):
            masks(tmp_path, list(RGB), masks="colors")

    def test_a_palette_of_greys_is_grey(self, tmp_path):
        path = palette(tmp_path / "a.png", IDS, [(value,) * 3 for value in range(256)])
        assert masks(tmp_path, RGB)(path).tolist() == IDS.tolist()


class TestGrey:
    @pytest.mark.parametrize("suffix", [".png", ".gif", ".pgm", ".bmp"])
    def test_grey_colors_of_the_classes_count(self, tmp_path, suffix):
        path = grey(tmp_path / f"a{suffix}", [[0, 255, 255]])
        assert masks(tmp_path, BINARY)(path).tolist() == [[0, 1, 1]]

    @pytest.mark.parametrize("values", [[[255, 255]], [[0, 0]]])
    def test_so_they_do_where_a_mask_has_one_of_them_alone(self, tmp_path, values):
        path = grey(tmp_path / "a.png", values)
        assert masks(tmp_path, BINARY)(path).tolist() == (np.array(values) // 255).tolist()

    def test_one_bit_is_black_and_white(self, tmp_path):
        Image.fromarray(np.array([[True, False]])).save(tmp_path / "a.png")
        assert masks(tmp_path, BINARY)(tmp_path / "a.png").tolist() == [[1, 0]]
        inverse = {"object": (255, 255, 255), "background": (0, 0, 0)}
        assert masks(tmp_path, inverse)(tmp_path / "a.png").tolist() == [[0, 1]]
        assert masks(tmp_path, RGB)(tmp_path / "a.png").tolist() == [[1, 0]]  # values, since no class is black or white

    def test_values_beside_colors_that_are_all_grey_are_refused_where_255_would_mean_two_things(self, tmp_path):
        path = grey(tmp_path / "a.png", [[0, 1]])
        with pytest.raises(DataError, match=r"colours of no class: \(1, 1, 1\).*masks=values"):
            masks(tmp_path, BINARY)(path)
        assert masks(tmp_path, BINARY, masks="values")(path).tolist() == [[0, 1]]
        assert masks(tmp_path, BINARY, ignore=None)(path).tolist() == [[0, 1]]  # 255 then means one thing alone

    def test_index_masks_stand_beside_colors_that_are_not_grey(self, tmp_path):
        path = grey(tmp_path / "a.png", [[0, 1, 2, 255]])
        assert masks(tmp_path, RGB)(path).tolist() == [[0, 1, 2, IGNORE_INDEX]]

    def test_some_grey_classes(self, tmp_path):
        some = {"road": (128, 64, 128), "void": (0, 0, 0), "wall": (102, 102, 102)}
        assert masks(tmp_path, some)(grey(tmp_path / "a.png", [[0, 1, 2]])).tolist() == [[0, 1, 2]]
        assert masks(tmp_path, some)(grey(tmp_path / "b.png", [[0, 102]])).tolist() == [[1, 2]]
        with pytest.raises(DataError, match=r"two ways.*0 \(0, 0, 0\): road or void"):
            masks(tmp_path, some)(grey(tmp_path / "c.png", [[0, 0]]))

    def test_a_class_counts_more_than_what_is_ignored(self, tmp_path):
        some = {"void": (0, 0, 0), "object": (255, 255, 255), "border": (128, 64, 0)}
        assert masks(tmp_path, some)(grey(tmp_path / "a.png", [[0, 255]])).tolist() == [[0, 1]]


class TestChannels:
    def test_grey_in_three_channels_is_read_where_it_is_asked_for(self, tmp_path):
        path = grey(tmp_path / "a.png", np.stack([IDS] * 3, axis=2))
        with pytest.raises(DataError, match=r"masks=values reads one of them"):
            masks(tmp_path, list(RGB))(path)
        assert masks(tmp_path, list(RGB), masks="values")(path).tolist() == IDS.tolist()

    def test_colors_have_no_values(self, tmp_path):
        path = grey(tmp_path / "a.png", [[RGB["red"]]])
        with pytest.raises(DataError, match="has no values"):
            masks(tmp_path, RGB, masks="values")(path)


class TestValues:
    @pytest.mark.parametrize("values", [[0, 127, 254], {0: 0, 127: "green", 254: 2}, {0: "red", 127: 1, 254: "blue"}])
    def test_of_each_class(self, tmp_path, values):
        path = grey(tmp_path / "a.png", np.where(IDS == 2, 254, IDS * 127))
        assert masks(tmp_path, list(RGB), values=values)(path).tolist() == IDS.tolist()

    def test_several_may_be_of_one_class_or_ignored(self, tmp_path):
        path = grey(tmp_path / "a.png", [[5, 6, 7, 8, 255]])
        read = masks(tmp_path, list(RGB), values={5: 1, 6: 1, 7: None, 8: "blue"})(path)
        assert read.tolist() == [[1, 1, IGNORE_INDEX, 2, IGNORE_INDEX]]

    def test_they_count_more_than_colors(self, tmp_path):
        path = palette(tmp_path / "a.png", IDS, [*RGB.values()][::-1])
        assert masks(tmp_path, RGB, values=[2, 1, 0])(path).tolist() == (2 - IDS).tolist()
        assert masks(tmp_path, RGB, values=[0, 1, 2])(path).tolist() == IDS.tolist()

    @pytest.mark.parametrize(
        "values",
        [[0, 1], [0, 1, 1], [0, 1, -1], [0, 1, 70000], [0, 1, "x"], {0: 3}, {0: "purple"}, {"x": 1}, {}, 3, "0,1"],
    )
    def test_what_they_may_be(self, tmp_path, values):
        with pytest.raises(ConfigError, match=r"data\.dataset\.values=.* has to be a list"):
            masks(tmp_path, list(RGB), values=values)

    def test_a_class_is_not_ignored_as_well(self, tmp_path):
        with pytest.raises(ConfigError, match=r"ignore=255 is the value of class 1 too.*null"):
            masks(tmp_path, ["a", "b"], values=[0, 255])
        read = masks(tmp_path, ["a", "b"], ignore=None, values=[0, 255])
        assert read(grey(tmp_path / "a.png", [[0, 255]])).tolist() == [[0, 1]]

    @pytest.mark.parametrize(
        ("values", "count", "levels"),
        [
            ([0, 127, 254], 3, "0,127,254"),
            ([0, 254], 3, "0,127,254"),  # a mask need not have all classes
            ([0, 128, 255], 3, "0,128,255"),
            ([0, 85, 170], 4, "0,85,170,255"),
            ([0, 64, 192], 4, "0,64,128,192"),
            ([0, 51, 204], 6, "0,51,102,153,204,255"),
        ],
    )
    def test_scaled_ones_are_recognised_and_what_is_proposed_reads_them(self, tmp_path, values, count, levels):
        path = grey(tmp_path / "a.png", [values])
        names = [f"class {place}" for place in range(count)]
        with pytest.raises(DataError, match=rf"look scaled.*data\.dataset\.values=\[{levels}\]"):
            masks(tmp_path, names)(path)
        given = [int(level) for level in levels.split(",")]
        read = masks(tmp_path, names, ignore=None, values=given)(path)
        assert read.tolist() == [[given.index(value) for value in values]]

    def test_others_are_not(self):
        assert scaled_values([0, 7], 3) is None
        assert scaled_values([0, 1, 2], 200) is None

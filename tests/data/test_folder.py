import pickle
from functools import partial

import numpy as np
import pytest
from PIL import Image

from contextrast.data import IGNORE_INDEX, Folder, SegmentationDataModule
from contextrast.data.problems import collected_problems
from contextrast.errors import ConfigError, DataError, MissingSplitError
from contextrast.training.assembly import build_datamodule

from .conftest import grey, save
from .loading import histograms, save_wide

COLORS = {"road": (128, 64, 128), "car": (0, 0, 142), "sky": (70, 130, 180)}
MASK = np.array([[0, 0, 0, 1, 1, 2], [2, 2, 2, 255, 255, 255]])
HISTOGRAM = {0: 3, 1: 2, 2: 4, IGNORE_INDEX: 3}
LAYOUTS = {"kind first": "{kind}/{split}", "split first": "{split}/{kind}"}


def place(root, layout, split, kind):
    return root / LAYOUTS[layout].format(kind=kind, split=split)


def write(root, mask=MASK, layout="kind first", split="train", name="a", wide=False):
    """Writes a pair and returns the mask's path."""
    save(place(root, layout, split, "images") / f"{name}.jpg", grey(1, *np.shape(mask)[:2]))
    return (save_wide if wide else save)(place(root, layout, split, "masks") / f"{name}.png", np.asarray(mask))


@pytest.fixture
def root(tmp_path):
    """A folder with a classes file with colours, and no images yet."""
    root = tmp_path / "mine"
    root.mkdir()
    (root / "classes.txt").write_text("".join(f"{name} {r} {g} {b}\n" for name, (r, g, b) in COLORS.items()))
    return root


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_histogram_in_both_layouts(root, layout, split):
    write(root, MASK, layout, split)
    write(root, np.zeros((2, 6)), layout, split, "b")
    assert histograms(Folder, root, split) == {"a": HISTOGRAM, "b": {0: 12}}


class TestIndexMasks:
    def test_palette_files_are_read_as_indices_where_classes_have_no_colors(self, root):
        (root / "classes.txt").write_text("\n".join(COLORS))
        path = write(root)
        image = Image.fromarray(MASK.astype(np.uint8)).convert("P")
        image.putdata(MASK.ravel().tolist())
        image.putpalette([channel for color in reversed(COLORS.values()) for channel in color] + [0] * 759)
        image.save(path)
        assert Image.open(path).mode == "P"
        assert histograms(Folder, root, "train") == {"a": HISTOGRAM}

    def test_values_of_16_bits_are_looked_at_whole(self, root):
        write(root, np.where(MASK == 255, 65535, MASK + 1000), wide=True)
        make = partial(Folder, ignore=65535, first_value=1000)
        assert histograms(make, root, "train") == {"a": HISTOGRAM}
        write(root, MASK + 256, wide=True)  # would wrap round to the classes
        with pytest.raises(
            DataError, match=r"masks/train/a\.png has the value\(s\) 256, 257, 258, 511\. .*classes\.txt"
        ):
            Folder(root)

    def test_zero_may_be_ignored(self, root):
        write(root, np.where(MASK == 255, 0, MASK + 1))
        assert histograms(partial(Folder, ignore=0, first_value=1), root, "train") == {"a": HISTOGRAM}

    def test_bits_are_classes(self, root):
        path = write(root)
        Image.fromarray(MASK == 1).save(path)
        assert histograms(Folder, root, "train") == {"a": {0: 10, 1: 2}}

    def test_a_value_cannot_be_ignored_and_a_class(self, root):
        write(root)
        with pytest.raises(ConfigError, match=r"data\.dataset\.ignore=0 is the value of class 0 too\..*first_value"):
            Folder(root, ignore=0)


class TestColorMasks:
    def draw(self, mask, other=(0, 0, 0)):
        return np.array([*COLORS.values(), other], np.uint8)[np.minimum(mask, 3)]

    @pytest.mark.parametrize("mode", ["RGB", "RGBA"])
    def test_colors_are_classes(self, root, mode):
        path = write(root)
        Image.fromarray(self.draw(MASK)).convert(mode).save(path)
        assert histograms(partial(Folder, ignore=[0, 0, 0]), root, "train") == {"a": HISTOGRAM}

    def test_other_colors_are_named_with_both_files(self, root):
        path = write(root, self.draw(MASK, (9, 8, 7)))
        with pytest.raises(DataError) as caught:
            Folder(root)
        message = f"{path} has colours of no class on 25.0% of its pixels: [9, 8, 7]. {root / 'classes.txt'} has 3 "
        assert str(caught.value).startswith(message)

    def test_classes_without_colors_do_not_fit(self, root):
        (root / "classes.txt").write_text("road\ncar\nsky\n")
        path = write(root, self.draw(np.zeros((2, 2), int)))
        with pytest.raises(DataError, match=rf"{path} is a colour mask, but {root}/classes\.txt gives .* no colours"):
            Folder(root)

    def test_index_masks_may_stand_beside_them(self, root):
        write(root, self.draw(np.zeros((2, 2), int)))
        write(root, np.ones((2, 2)), name="b")
        assert histograms(Folder, root, "train") == {"a": {0: 4}, "b": {1: 4}}

    def test_a_color_cannot_be_ignored_and_a_class(self, root):
        write(root)
        with pytest.raises(ConfigError, match=r"ignore=\(0, 0, 142\) is the colour of class 1 too"):
            Folder(root, ignore=[0, 0, 142])

    @pytest.mark.parametrize("ignore", [[1, 2], [0, 0, 256]])
    def test_no_color(self, root, ignore):
        write(root)
        with pytest.raises(ConfigError, match=r"ignore=.* is neither a value in 0\.\.65535 nor an RGB colour"):
            Folder(root, ignore=ignore)


class TestProblems:
    def test_too_few_classes_show_before_the_first_step(self, root):
        (root / "classes.txt").write_text("road\ncar\n")
        path = write(root)
        with pytest.raises(DataError) as caught:
            Folder(root)
        expected = (
            f"{path} has the value(s) 2. {root / 'classes.txt'} names 2 class(es), for the values 0 to 1, and 255 is"
        )
        assert str(caught.value).startswith(expected)
        assert len(str(caught.value).splitlines()) == 1

    def test_a_checker_gets_the_dataset_to_read_all_masks(self, root):
        write(root, np.full((2, 2), 9))
        with collected_problems() as problems:
            dataset = Folder(root)
        assert not problems
        with pytest.raises(DataError, match=r"has the value\(s\) 9\."):
            dataset[0]

    def test_jpeg_masks_are_refused(self, root):
        path = write(root)
        Image.open(path).save(path.with_suffix(".jpg"))
        path.unlink()
        with pytest.raises(DataError, match=r"masks/train/a\.jpg is compressed with losses, .*write them as PNG"):
            Folder(root)

    def test_lonely_files_are_listed(self, root):
        path = write(root)
        path.rename(path.with_name("b.png"))
        with pytest.raises(DataError) as caught:
            Folder(root)
        assert "image without mask: " in str(caught.value)
        assert f"mask without image: {path.with_name('b.png')}" in str(caught.value)

    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_half_a_layout(self, root, layout):
        write(root, layout=layout)
        names = [LAYOUTS[layout].format(kind=kind, split="train") for kind in ("images", "masks")]
        place(root, layout, "train", "masks").rename(root / "elsewhere")
        with pytest.raises(DataError, match=rf"has {names[0]}/, but no {names[1]}/\. It has to hold images/SPLIT/"):
            Folder(root)

    def test_a_split_that_is_not_there(self, root):
        write(root)
        with pytest.raises(MissingSplitError, match=r"has no split 'val'\. It has to hold images/SPLIT/"):
            Folder(root, "val")

    def test_empty_folders(self, root):
        for kind in ("images", "masks"):
            place(root, "kind first", "train", kind).mkdir(parents=True)
        with pytest.raises(DataError, match=r"There are no image files in .*images/train and .*masks/train"):
            Folder(root)

    @pytest.mark.parametrize("root", [None, "nowhere"])
    def test_no_folder_says_what_belongs_there(self, root):
        with pytest.raises(DataError, match=r"(needs data\.root|does not exist).*masks/SPLIT/.*classes\.txt"):
            Folder(root)

    def test_unknown_split(self, root):
        with pytest.raises(ConfigError, match="split=all is unknown to data=folder"):
            Folder(root, "all")


def test_classes_are_known_before_an_image_is_looked_for(root):
    module = SegmentationDataModule(partial(Folder, classes="classes.txt"), [2, 2], 1, root=root)
    assert module.labels.name == "mine"
    assert dict(zip(module.labels.classes, module.labels.palette, strict=True)) == COLORS
    write(root)
    assert module.dataset("train").labels == module.labels


def test_datasets_reach_spawned_workers(root):
    write(root)
    assert np.array_equal(pickle.loads(pickle.dumps(Folder(root))).read(0)[1], Folder(root).read(0)[1])


def test_the_configuration_reaches_the_dataset(root, composed):
    write(root, np.where(MASK == 255, 7, MASK + 1))
    settings = ("data.dataset.ignore=7", "data.dataset.first_value=1", "data.num_workers=0", "data.batch_size=1")
    module = build_datamodule(composed("train", "data=folder", f"data.root={root}", *settings).data)
    assert module.labels.classes == tuple(COLORS)
    assert module.dataset("train").read(0)[1].tolist() == np.where(MASK == 255, IGNORE_INDEX, MASK).tolist()


def test_validation_images_of_two_sizes_show_before_the_first_step(root):
    write(root, split="train")
    for name, mask in {"a": MASK, "b": MASK.T}.items():
        write(root, mask, split="val", name=name)
    loading = {"root": root, "num_workers": 0}
    SegmentationDataModule(Folder, [2, 2], 1, **loading).setup("fit")
    with pytest.raises(ConfigError, match=r"2x6, 6x2 .*data\.eval_batch_size=1"):
        SegmentationDataModule(Folder, [2, 2], 1, **loading, eval_batch_size=2).setup("fit")

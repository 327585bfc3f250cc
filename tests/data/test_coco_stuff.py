import numpy as np
import pytest

from contextrast.config import instantiate
from contextrast.data import IGNORE_INDEX, CocoStuff10k, LabelTable
from contextrast.data.labels import read_table
from contextrast.errors import ConfigError, DataError, MissingSplitError

from .conftest import save
from .layouts import ALL_182, coco_map, coco_official, save_image, save_list, save_map
from .loading import facts, histograms
from .test_pascal_context import names

UNUSED = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91)  # ids of COCO that no image has
FIRST, SECOND = "COCO_train2014_000000000077", "COCO_train2014_000000000064"
VAL = "COCO_train2014_000000000110"


@pytest.fixture
def official(tmp_path):
    """Two training images, all bicycle and all water-other, and one of val, which has every label."""
    train = {FIRST: np.full((2, 3), 2), SECOND: np.full((2, 3), 182 - 4)}
    return coco_official(tmp_path / "data", {"train": train, "test": {VAL: ALL_182}})


@pytest.fixture
def converted(tmp_path):
    """MMSegmentation's layout without lists: val's mask has every value v, v + 1 times."""
    root = tmp_path / "mmseg"
    mask = np.repeat(np.arange(172), np.arange(1, 173)).reshape(86, 173)
    for part, name, values in (("train2014", FIRST, np.full((2, 3), 2)), ("train2014", SECOND, np.full((2, 3), 171)),
                               ("test2014", VAL, mask)):  # fmt: skip
        save_image(root / "images" / part / f"{name}.jpg", values.shape)
        save(root / "annotations" / part / f"{name}_labelTrainIds.png", values)
    return root


class TestOfficialLayout:
    @pytest.mark.parametrize("dtype", ["uint8", "float64"])
    def test_histogram_of_all_labels(self, official, dtype):
        coco_map(official / "annotations" / f"{VAL}.mat", ALL_182.astype(dtype))
        used = [label + 1 for label in range(1, 183) if label not in UNUSED]
        expected = {**dict(enumerate(used)), IGNORE_INDEX: 1 + sum(label + 1 for label in UNUSED)}
        assert histograms(CocoStuff10k, official, "val") == {VAL: expected}

    def test_training_reads_it_too(self, official):
        bicycle, water = (CocoStuff10k.labels.classes.index(name) for name in ("bicycle", "water-other"))
        assert histograms(CocoStuff10k, official, "train") == {FIRST: {bicycle: 6}, SECOND: {water: 6}}

    def test_val_is_the_test_list(self, official):
        assert names(CocoStuff10k(official, "train")) == [FIRST, SECOND]
        assert names(CocoStuff10k(official, "val")) == [VAL]
        with pytest.raises(ConfigError, match=r"split=test is unknown to COCO-Stuff 10k; choose one of train, val"):
            CocoStuff10k(official, "test")

    def test_the_folder_may_lie_one_level_down(self, official):
        (official.parent / "more").mkdir()
        official.rename(official.parent / "more" / "cocostuff-10k-v1.1")
        assert len(CocoStuff10k(official.parent / "more", "train")) == 2

    def test_a_map_without_s_is_named(self, official):
        save_map(official / "annotations" / f"{FIRST}.mat", captions="a street", regionMapStuff=np.ones((2, 3)))
        with pytest.raises(DataError, match=rf"{FIRST}\.mat has no variable S, .*it holds captions, regionMapStuff"):
            CocoStuff10k(official, "train")[0]

    def test_a_map_with_nothing_but_s_is_read(self, official):
        save_map(official / "annotations" / f"{FIRST}.mat", S=np.full((2, 3), 182))
        assert CocoStuff10k(official, "train")[0]["mask"].tolist() == [[170] * 3] * 2

    def test_version_1_0_is_refused(self, official):
        coco_map(official / "annotations" / f"{FIRST}.mat", np.full((2, 3), 2), names=172)
        with pytest.raises(DataError, match=rf"{FIRST}\.mat is of version 1\.0 .* Fetch cocostuff-10k-v1\.1\.zip"):
            CocoStuff10k(official, "train")[0]

    def test_labels_outside_the_table_are_named(self, official):
        coco_map(official / "annotations" / f"{FIRST}.mat", np.array([[183, 1, 1], [255, 0, 1]]))
        with pytest.raises(DataError, match=rf"{FIRST}\.mat has the value\(s\) 183, 255\. Label maps .* 1\.\.182"):
            CocoStuff10k(official, "train")[0]

    def test_listed_files_that_are_missing_are_named(self, official):
        (official / "annotations" / f"{FIRST}.mat").unlink()
        (official / "images" / f"{SECOND}.jpg").unlink()
        with pytest.raises(DataError) as caught:
            CocoStuff10k(official, "train")
        lines = str(caught.value).splitlines()
        assert "as listed in imageLists/train.txt" in lines[0]
        assert lines[1] == f"  image without mask: {official / 'images' / FIRST}.jpg"
        assert lines[2] == f"  mask without image: {official / 'annotations' / SECOND}.mat"


class TestConvertedLayout:
    def test_histogram_of_all_values(self, converted):
        expected = {IGNORE_INDEX: 1, **{train_id: train_id + 2 for train_id in range(171)}}
        assert histograms(CocoStuff10k, converted, "val") == {VAL: expected}

    def test_training_reads_it_too(self, converted):
        assert histograms(CocoStuff10k, converted, "train") == {FIRST: {1: 6}, SECOND: {170: 6}}

    def test_without_lists_the_folders_content_is_taken(self, converted):
        assert names(CocoStuff10k(converted, "train")) == [SECOND, FIRST]

    def test_lists_select_and_order(self, converted):
        save_list(converted / "imageLists" / "train.txt", [FIRST])
        assert names(CocoStuff10k(converted, "train")) == [FIRST]

    def test_it_comes_before_the_official_one(self, official):
        for name in (FIRST, SECOND):
            save_image(official / "images" / "train2014" / f"{name}.jpg", (2, 3))
            save(official / "annotations" / "train2014" / f"{name}_labelTrainIds.png", np.full((2, 3), 9))
        assert CocoStuff10k(official, "train")[0]["mask"].max() == 8

    def test_other_pngs_beside_the_masks_do_not_count(self, converted):
        save(converted / "annotations" / "train2014" / f"{FIRST}.png", np.zeros((2, 3)))
        assert len(CocoStuff10k(converted, "train")) == 2

    @pytest.mark.parametrize("value", [172, 255])
    def test_values_outside_the_table_are_named(self, converted, value):
        save(converted / "annotations" / "train2014" / f"{FIRST}_labelTrainIds.png", np.full((2, 3), value))
        with pytest.raises(DataError, match=rf"{FIRST}_labelTrainIds\.png has the value\(s\) {value}\. .* 1\.\.171"):
            CocoStuff10k(converted, "train")[1]

    def test_only_the_split_in_use_has_to_exist(self, converted):
        for folder in ("images", "annotations"):
            (converted / folder / "test2014").rename(converted / f"{folder} of test")
        assert len(CocoStuff10k(converted, "train")) == 2
        with pytest.raises(MissingSplitError, match=r"no split 'val' at .*images/test2014/"):
            CocoStuff10k(converted, "val")

    def test_lonely_files_are_listed(self, converted):
        (converted / "annotations" / "train2014" / f"{FIRST}_labelTrainIds.png").unlink()
        with pytest.raises(DataError, match=rf"image without mask: .*{FIRST}\.jpg"):
            CocoStuff10k(converted, "train")


@pytest.mark.parametrize("kind", ["missing", "empty", "other"])
def test_a_folder_without_the_dataset_says_what_belongs_there(tmp_path, kind):
    root = tmp_path / "somewhere"
    if kind != "missing":
        root.mkdir()
    if kind == "other":
        (root / "images").mkdir()
    with pytest.raises(DataError) as caught:
        CocoStuff10k(root, "train")
    for part in (str(root), "annotations/*.mat", "_labelTrainIds.png", "nightrome/cocostuff10k", "data.root=PATH"):
        assert part in str(caught.value)


def test_the_configuration_has_the_published_crop_and_batch(composed, official):
    config = composed("train", "data=coco_stuff10k", f"data.root={official}").data
    assert (list(config.crop), config.batch_size, config.eval_batch_size) == ([512, 512], 16, 1)
    assert set(config) == set(composed("train", "data=camvid").data)
    dataset = instantiate(config).dataset("train")
    assert isinstance(dataset, CocoStuff10k)
    assert dataset[0]["mask"].shape == (512, 512)


def test_the_table_holds_together():
    labels, table = LabelTable.load("coco_stuff10k"), read_table("coco_stuff10k")
    assert (labels.name, labels.num_classes, len(labels.palette)) == ("coco_stuff10k", 171, 171)
    assert len(set(labels.classes)) == 171
    assert labels.classes[:3] == ("person", "bicycle", "car")
    assert labels.classes[79:81] == ("toothbrush", "banner")
    assert list(labels.classes[80:]) == sorted(labels.classes[80:])  # stuff is in alphabetical order
    assert table["raw_ids"] == [label for label in range(1, 183) if label not in UNUSED]
    assert table["largest_raw_id"] == 182
    assert len(set(labels.palette)) == 162  # as in MMSegmentation
    assert table["images"] == {"train": 9000, "val": 1000}
    assert {group: len(ids) for group, ids in labels.groups.items()} == {"head": 57, "mid": 57, "tail": 57}
    assert labels.groups["head"][0] == 0


def test_the_table_says_what_the_facts_say():
    known = facts("coco_stuff10k")
    labels, table = LabelTable.load("coco_stuff10k"), read_table("coco_stuff10k")
    assert list(labels.classes) == known["classes"]
    assert [list(color) for color in labels.palette] == known["palette"]
    train_ids = dict.fromkeys(range(table["largest_raw_id"] + 1), IGNORE_INDEX)
    train_ids |= {raw: train_id for train_id, raw in enumerate(table["raw_ids"])}
    of_facts = known["label_mapping"]["raw_mat"]["raw_to_train_id"]
    assert train_ids == {int(raw): train_id for raw, train_id in of_facts.items()}
    assert table["images"] == {"train": known["splits"]["train"]["images"], "val": known["splits"]["test"]["images"]}
    assert table["frequency"] == known["head_mid_tail"]["frequency"]
    assert {group: list(ids) for group, ids in labels.groups.items()} == {
        group: known["head_mid_tail"][group] for group in ("head", "mid", "tail")
    }

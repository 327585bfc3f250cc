import numpy as np
import pytest

from contextrast.config import instantiate
from contextrast.data import IGNORE_INDEX, LabelTable, PascalContext
from contextrast.data.labels import read_table
from contextrast.errors import ConfigError, DataError, MissingSplitError

from .conftest import save
from .layouts import ALL_459, pascal_official, save_image, save_list, save_map
from .loading import facts, histograms

# Labels of some classes in the list of 459 names, which is in alphabetical order.
SOME_459 = {"aeroplane": 2, "bag": 9, "car": 59, "mouse": 260, "person": 284, "sky": 360, "wall": 440, "wood": 458}


def names(dataset):
    return [dataset.name(index) for index in range(len(dataset))]


@pytest.fixture
def official(tmp_path):
    """Two training images, all person, and one of val, which has every label."""
    small = {f"2008_{i:06d}": np.full((2, 3), 284, np.uint16) for i in (12, 3)}
    return pascal_official(tmp_path / "data", {"train": small, "val": {"2010_000001": ALL_459}})


@pytest.fixture
def converted(tmp_path):
    """MMSegmentation's layout: val's mask has every value v, v + 1 times."""
    voc = tmp_path / "mmseg" / "VOC2010"
    mask = np.repeat(np.arange(60), np.arange(1, 61)).reshape(30, 61)
    for split, name, values in (("train", "2008_000002", np.full((2, 3), 37)), ("val", "2008_000007", mask)):
        save_list(voc / "ImageSets" / "SegmentationContext" / f"{split}.txt", [name])
        save(voc / "SegmentationClassContext" / f"{name}.png", values)
        save_image(voc / "JPEGImages" / f"{name}.jpg", values.shape)
    save_image(voc / "JPEGImages" / "2008_000099.jpg", (4, 6))
    return voc.parent


class TestOfficialLayout:
    def test_histogram_of_all_labels(self, official):
        counts = histograms(PascalContext, official, "val")["2010_000001"]
        classes = PascalContext.labels.classes
        assert {name: counts[classes.index(name)] for name in SOME_459} == {k: v + 1 for k, v in SOME_459.items()}
        used = [label + 1 for label in read_table("pascal_context")["raw_ids"]]
        assert counts == {**dict(enumerate(used)), IGNORE_INDEX: ALL_459.size - sum(used)}

    def test_training_reads_it_too(self, official):
        person = {36: 6}  # 284 in one byte would be 28, another class's label
        assert histograms(PascalContext, official, "train") == {"2008_000012": person, "2008_000003": person}

    def test_the_list_selects_and_orders(self, official):
        assert names(PascalContext(official, "train")) == ["2008_000012", "2008_000003"]
        assert names(PascalContext(official, "val")) == ["2010_000001"]

    def test_label_maps_may_lie_in_voc2010(self, official):
        (official / "trainval").rename(official / "VOCdevkit" / "VOC2010" / "trainval")
        assert len(PascalContext(official / "VOCdevkit" / "VOC2010", "train")) == 2

    def test_missing_files_are_listed_up_to_ten(self, official):
        voc = official / "VOCdevkit" / "VOC2010"
        save_list(voc / "ImageSets" / "Main" / "train.txt", ["2008_000012", *(f"2009_{i:06d}" for i in range(12))])
        (official / "trainval" / "2008_000012.mat").unlink()
        with pytest.raises(DataError) as caught:
            PascalContext(official, "train")
        lines = str(caught.value).splitlines()
        assert str(voc / "ImageSets" / "Main" / "train.txt") in lines[0]
        assert lines[1] == f"  image without mask: {voc / 'JPEGImages' / '2008_000012.jpg'}"
        assert lines[2] == "  neither image nor mask: 2009_000000"
        assert len(lines) == 12
        assert lines[-1] == "  ... and 3 more"

    def test_labels_outside_the_table_are_named(self, official):
        save_map(official / "trainval" / "2008_000003.mat", LabelMap=np.array([[1, 460, 2], [3, 65535, 5]], np.uint16))
        with pytest.raises(DataError, match=r"2008_000003\.mat has the value\(s\) 460, 65535\. Label maps .* 1\.\.459"):
            PascalContext(official, "train")[1]

    def test_a_map_without_its_variable_is_named(self, official):
        save_map(official / "trainval" / "2008_000003.mat", S=np.ones((2, 3)))
        with pytest.raises(DataError, match=r"2008_000003\.mat has no variable LabelMap, .* it holds S"):
            PascalContext(official, "train")[1]

    def test_unequal_sizes_name_both_files(self, official):
        save_map(official / "trainval" / "2008_000003.mat", LabelMap=np.ones((3, 2), np.uint16))
        with pytest.raises(DataError, match=r"2008_000003\.jpg is 3x2 .*2008_000003\.mat is 2x3"):
            PascalContext(official, "train")[1]


class TestConvertedLayout:
    def test_histogram_of_all_values(self, converted):
        expected = {IGNORE_INDEX: 1, **{train_id: train_id + 2 for train_id in range(59)}}
        assert histograms(PascalContext, converted, "val") == {"2008_000007": expected}

    def test_training_reads_it_too(self, converted):
        assert histograms(PascalContext, converted, "train") == {"2008_000002": {36: 6}}

    @pytest.mark.parametrize("below", ["", "VOC2010"])
    def test_every_folder_above_the_images_will_do(self, converted, below):
        (converted.parent / "more").mkdir()
        converted.rename(converted.parent / "more" / "VOCdevkit")
        for root in (converted.parent / "more", converted.parent / "more" / "VOCdevkit" / below):
            assert names(PascalContext(root, "val")) == ["2008_000007"]

    def test_without_its_own_lists_vocs_are_used(self, converted):
        sets = converted / "VOC2010" / "ImageSets"
        (sets / "SegmentationContext").rename(sets / "Main")
        assert names(PascalContext(converted, "val")) == ["2008_000007"]

    def test_it_comes_before_the_official_one(self, official):
        voc = official / "VOCdevkit" / "VOC2010"
        for name in ("2008_000012", "2008_000003"):
            save(voc / "SegmentationClassContext" / f"{name}.png", np.ones((2, 3)))
        assert PascalContext(official, "train")[0]["mask"].max() == 0

    @pytest.mark.parametrize("value", [60, 255])
    def test_values_outside_the_table_are_named(self, converted, value):
        save(converted / "VOC2010" / "SegmentationClassContext" / "2008_000002.png", np.full((2, 3), value))
        with pytest.raises(DataError, match=rf"2008_000002\.png has the value\(s\) {value}\. Masks .* 1\.\.59"):
            PascalContext(converted, "train")[0]

    def test_missing_masks_are_listed(self, converted):
        (converted / "VOC2010" / "SegmentationClassContext" / "2008_000002.png").unlink()
        with pytest.raises(DataError, match=r"incomplete.*\n  image without mask: .*2008_000002\.jpg"):
            PascalContext(converted, "train")


def test_a_split_without_list_is_said_to_be_missing(official):
    (official / "VOCdevkit" / "VOC2010" / "ImageSets" / "Main" / "val.txt").unlink()
    assert len(PascalContext(official, "train")) == 2
    with pytest.raises(MissingSplitError, match=r"Main/val\.txt does not exist"):
        PascalContext(official, "val")


@pytest.mark.parametrize("kind", ["missing", "empty", "other", "images only"])
def test_a_folder_without_the_dataset_says_what_belongs_there(tmp_path, kind):
    root = tmp_path / "somewhere"
    if kind != "missing":
        root.mkdir()
    if kind == "other":
        (root / "leftImg8bit").mkdir()
    if kind == "images only":
        (root / "VOCdevkit" / "VOC2010" / "JPEGImages").mkdir(parents=True)
    with pytest.raises(DataError) as caught:
        PascalContext(root, "train")
    for part in (str(root), "trainval/*.mat", "SegmentationClassContext/*.png", "voc2010", "data.root=PATH"):
        assert part in str(caught.value)


def test_there_is_no_test_split(official):
    with pytest.raises(ConfigError, match=r"split=test is unknown to PASCAL-Context; choose one of train, val"):
        PascalContext(official, "test")


def test_the_configuration_has_the_published_crop_and_batch(composed, official):
    config = composed("train", "data=pascal_context", f"data.root={official}").data
    assert (list(config.crop), config.batch_size, config.eval_batch_size) == ([512, 512], 16, 1)
    assert set(config) == set(composed("train", "data=camvid").data)
    dataset = instantiate(config).dataset("train")
    assert isinstance(dataset, PascalContext)
    assert dataset[0]["mask"].shape == (512, 512)


def test_the_table_holds_together():
    labels, table = LabelTable.load("pascal_context"), read_table("pascal_context")
    assert (labels.name, labels.num_classes, len(labels.palette)) == ("pascal_context", 59, 59)
    assert list(labels.classes) == sorted(labels.classes)
    assert table["raw_ids"] == sorted(set(table["raw_ids"]))  # both orders are alphabetical
    of_class = dict(zip(labels.classes, table["raw_ids"], strict=True))
    assert {name: of_class[name] for name in SOME_459} == SOME_459
    assert table["largest_raw_id"] == 459
    assert len(set(labels.palette)) == 58  # bicycle and snow share a colour
    assert labels.palette[5] == labels.palette[47]
    assert table["images"] == {"train": 4998, "val": 5105}
    groups = labels.groups
    assert {group: len(ids) for group, ids in groups.items()} == {"head": 20, "mid": 20, "tail": 19}
    assert [labels.classes[i] for i in groups["head"][:3]] == ["sky", "person", "grass"]


def test_the_table_says_what_the_facts_say():
    known = facts("pascal_context")
    labels, table = LabelTable.load("pascal_context"), read_table("pascal_context")
    assert list(labels.classes) == known["classes"]
    assert [list(color) for color in labels.palette] == known["palette"]
    assert table["raw_ids"] == known["label_mapping"]["train_id_to_id459"]
    assert {str(raw): i for i, raw in enumerate(table["raw_ids"])} == known["label_mapping"]["raw_mat"][
        "id459_to_train_id"
    ]
    assert [known["classes_459"][raw - 1] for raw in table["raw_ids"]] == known["classes"]
    assert len(known["classes_459"]) == table["largest_raw_id"]
    assert table["images"] == {split: known["splits"][split]["images"] for split in ("train", "val")}
    assert table["frequency"] == known["head_mid_tail"]["frequency"]
    assert {group: list(ids) for group, ids in labels.groups.items()} == {
        group: known["head_mid_tail"][group] for group in ("head", "mid", "tail")
    }

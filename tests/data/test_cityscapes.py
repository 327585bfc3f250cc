import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from contextrast.data import IGNORE_INDEX, Cityscapes, LabelTable, SegmentationDataModule
from contextrast.data.labels import read_table
from contextrast.errors import ConfigError, DataError, MissingSplitError
from contextrast.training.assembly import build_datamodule

from .conftest import grey, save
from .loading import facts, histograms, save_wide

# Of the 34 label ids (0..33), those that are evaluated, in the order of their train ids.
EVALUATED = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
ALL_IDS = np.repeat(np.arange(34), np.arange(1, 35)).reshape(17, 35)  # label id v occurs v + 1 times
HISTOGRAM = {train_id: label_id + 1 for train_id, label_id in enumerate(EVALUATED)}
HISTOGRAM |= {IGNORE_INDEX: 595 - sum(HISTOGRAM.values())}
NAMES = {
    "train": ["aachen_000000_000019", "aachen_000001_000019", "bochum_000000_000313"],
    "val": ["frankfurt_000000_000294"],
    "test": ["berlin_000000_000019", "bonn_000031_000019"],
}


def files(root, split, name):
    """Paths of an image and of its three label files."""
    city = name.split("_")[0]
    image = root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png"
    kinds = ("labelIds", "labelTrainIds", "instanceIds")
    return image, *(root / "gtFine" / split / city / f"{name}_gtFine_{kind}.png" for kind in kinds)


@pytest.fixture
def root(tmp_path):
    """The official layout with a few tiny files under real names; the first training image has all label ids."""
    root = tmp_path / "cityscapes"
    for split, names in NAMES.items():
        for index, name in enumerate(names):
            image, labels, _, instances = files(root, split, name)
            save(image, grey(index, 17, 35))
            save(labels, np.full((17, 35), 3) if split == "test" else ALL_IDS if index == 0 else np.full((17, 35), 7))
            save_wide(instances, np.full((17, 35), 26001))
            save(labels.with_name(f"{name}_gtFine_color.png"), grey(index, 17, 35))
    return root


def names(dataset):
    return [dataset.name(index) for index in range(len(dataset))]


class TestLayout:
    @pytest.mark.parametrize("split", ["train", "val"])
    def test_histogram_of_all_label_ids(self, root, split):
        found = histograms(Cityscapes, root, split)
        assert sorted(found) == NAMES[split]
        assert found[NAMES[split][0]] == HISTOGRAM
        assert all(found[name] == {0: 595} for name in NAMES[split][1:])

    def test_archives_names_may_be_kept(self, root):
        for part in ("leftImg8bit", "gtFine"):
            (root / f"{part}_trainvaltest").mkdir()
            (root / part).rename(root / f"{part}_trainvaltest" / part)
        assert histograms(Cityscapes, root, "val") == {NAMES["val"][0]: HISTOGRAM}
        assert (Cityscapes(root, "val").instances(0) == 26001).all()

    def test_names_order_and_sources(self, root):
        dataset = Cityscapes(root, "train")
        assert names(dataset) == NAMES["train"]
        image, labels, _, _ = files(root, "train", NAMES["train"][2])
        assert (dataset.source(2), dataset.mask_source(2)) == (str(image), str(labels))

    def test_test_is_ignored_everywhere_whatever_is_there(self, root):
        for name in NAMES["test"]:
            save(files(root, "test", name)[1], ALL_IDS)
        assert histograms(Cityscapes, root, "test") == {name: {IGNORE_INDEX: 595} for name in NAMES["test"]}
        dataset = Cityscapes(root, "test")
        assert dataset.mask_source(0) == dataset.source(0)

    def test_test_needs_no_label_files(self, root):
        (root / "gtFine").rename(root.parent / "elsewhere")
        assert names(Cityscapes(root, "test")) == NAMES["test"]

    def test_datasets_reach_spawned_workers(self, root):
        copy = pickle.loads(pickle.dumps(Cityscapes(root, "train")))
        assert np.array_equal(copy.read(0)[1], Cityscapes(root, "train").read(0)[1])


class TestEncoding:
    def test_train_ids_are_used_where_they_are(self, root):
        save(files(root, "train", NAMES["train"][1])[2], np.full((17, 35), 18))
        found = histograms(Cityscapes, root, "train")
        assert [found[name] for name in NAMES["train"]] == [HISTOGRAM, {18: 595}, {0: 595}]
        found = histograms(partial(Cityscapes, encoding="label_ids"), root, "train")
        assert [found[name] for name in NAMES["train"]] == [HISTOGRAM, {0: 595}, {0: 595}]

    def test_train_ids_may_be_asked_for(self, root):
        mask = np.repeat([*range(19), IGNORE_INDEX], [*[30] * 19, 25]).reshape(17, 35)
        save(files(root, "val", NAMES["val"][0])[2], mask)
        found = histograms(partial(Cityscapes, encoding="train_ids"), root, "val")
        assert found == {NAMES["val"][0]: dict.fromkeys(range(19), 30) | {IGNORE_INDEX: 25}}
        with pytest.raises(DataError, match=r"No label files in .*gtFine/train/CITY/: .*encoding=train_ids .*prepare"):
            Cityscapes(root, "train", encoding="train_ids")

    def test_label_files_may_lie_elsewhere(self, root, tmp_path):
        save(files(tmp_path / "own", "val", NAMES["val"][0])[2], np.full((17, 35), 5))
        dataset = Cityscapes(root, "val", label_root=tmp_path / "own")
        assert (dataset.read(0)[1] == 5).all()
        assert (dataset.instances(0) == 26001).all()
        with pytest.raises(DataError, match=r"has leftImg8bit/, but no .*/nowhere/gtFine/\."):
            Cityscapes(root, "val", label_root=tmp_path / "nowhere")

    @pytest.mark.parametrize(
        ("kind", "value", "hint"),
        [(1, 255, "named *_gtFine_labelTrainIds.png"), (1, 34, "0..33"), (2, 19, "named *_gtFine_labelIds.png")],
    )
    def test_the_other_encoding_under_a_name_is_refused(self, root, kind, value, hint):
        mask = np.zeros((17, 35))
        mask[3, 4] = value
        path = save(files(root, "val", NAMES["val"][0])[kind], mask)
        with pytest.raises(DataError) as caught:
            Cityscapes(root, "val")[0]
        assert str(caught.value).startswith(f"{path} has the value(s) {value}. ")
        assert hint in str(caught.value)


class TestInstances:
    def test_values_of_16_bits_arrive(self, root):
        values = np.array([[26000, 26001, 33012, 24]], np.uint16).repeat(17, 0)
        save_wide(files(root, "val", NAMES["val"][0])[3], values)
        found = Cityscapes(root, "val").instances(0)
        assert found.dtype == np.uint16
        assert np.array_equal(found, values)

    def test_batches_bring_them_where_they_are_asked_for(self, root):
        module = SegmentationDataModule(Cityscapes, [17, 35], 1, root=root, num_workers=0, eval_batch_size=2)
        assert "instances" not in next(iter(module.val_dataloader()))
        asked = module.dataset("val").with_instances()
        found = next(iter(module.eval_loader(asked)))["instances"]
        assert "instances" not in module.dataset("val")[0], "the samples of others are as they were"
        assert found.dtype == torch.int32
        assert found.shape == (len(NAMES["val"][:2]), 17, 35)
        assert (found == 26001).all()

    def test_none_in_test_and_none_without_files(self, root):
        with pytest.raises(DataError, match=r"berlin_000000_000019_leftImg8bit\.png has no instances"):
            Cityscapes(root, "test").instances(0)
        files(root, "val", NAMES["val"][0])[3].unlink()
        with pytest.raises(DataError, match=r"_gtFine_instanceIds\.png does not exist; .*gtFine_trainvaltest\.zip"):
            Cityscapes(root, "val").with_instances()


class TestProblems:
    def test_images_alone_are_one_clear_error(self, root):
        (root / "gtFine").rename(root.parent / "elsewhere")
        with pytest.raises(DataError) as caught:
            Cityscapes(root, "train")
        assert str(caught.value).startswith(f"The Cityscapes folder {root} has leftImg8bit/, but no gtFine/. ")
        assert "gtFine_trainvaltest.zip" in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1

    def test_lonely_files_are_listed(self, root):
        image, labels, *_ = files(root, "train", NAMES["train"][0])
        labels.unlink()
        files(root, "train", NAMES["train"][2])[0].unlink()
        with pytest.raises(DataError) as caught:
            Cityscapes(root, "train")
        assert f"image without mask: {image}" in str(caught.value)
        assert f"mask without image: {files(root, 'train', NAMES['train'][2])[1]}" in str(caught.value)

    def test_a_split_without_images_names_those_there_are(self, root):
        (root / "leftImg8bit" / "val").rename(root.parent / "elsewhere")
        with pytest.raises(MissingSplitError, match=r"no split 'val' at .*Splits found: test, train\."):
            Cityscapes(root, "val")

    def test_unequal_sizes_show_at_once(self, root):
        image, labels, *_ = files(root, "val", NAMES["val"][0])
        save(labels, np.zeros((3, 5)))
        with pytest.raises(DataError) as caught:
            Cityscapes(root, "val")
        assert f"{image} is 35x17, {labels} is 5x3" in str(caught.value)

    @pytest.mark.parametrize("kind", ["missing", "empty", "other"])
    def test_a_folder_without_cityscapes_says_what_belongs_there(self, tmp_path, kind):
        root = tmp_path / "somewhere"
        if kind != "missing":
            root.mkdir()
        if kind == "other":
            (root / "images").mkdir()
        with pytest.raises(DataError) as caught:
            Cityscapes(root, "train")
        state = {"missing": "does not exist", "empty": "is empty", "other": "holds none of its layouts"}[kind]
        for part in (f"{root} {state}", "gtFine/SPLIT/CITY/", "cityscapes-dataset.com", "data.root=PATH"):
            assert part in str(caught.value)

    @pytest.mark.parametrize(
        ("arguments", "part"),
        [({"split": "train_extra"}, "split=train_extra"), ({"encoding": "x"}, "data.dataset.encoding=x")],
    )
    def test_unknown_choices_are_listed(self, root, arguments, part):
        with pytest.raises(ConfigError, match=part):
            Cityscapes(root, **arguments)


class TestSubmission:
    def test_only_test_has_something_to_submit(self, root):
        prediction = np.arange(19, dtype=np.uint8)[None]
        assert [Cityscapes(root, split).withheld for split in ("train", "val", "test")] == [False, False, True]
        file, pixels = Cityscapes(root, "test").submission("berlin_000000_000019", prediction)
        assert Path(file).match("berlin_000000_000019*.png")
        assert pixels.dtype == np.uint8
        assert pixels.tolist() == [EVALUATED]


class TestTable:
    def test_known_entries(self):
        table = LabelTable.load("cityscapes")
        assert (table.name, table.num_classes, len(table.palette)) == ("cityscapes", 19, 19)
        assert (table.classes[0], table.palette[0]) == ("road", (128, 64, 128))
        assert (table.classes[18], table.palette[18]) == ("bicycle", (119, 11, 32))
        assert [label["id"] for label in read_table("cityscapes")["labels"]] == [*range(34), -1]

    def test_evaluated_labels_are_the_classes_in_order(self):
        evaluated = [label for label in read_table("cityscapes")["labels"] if label["train_id"] != IGNORE_INDEX]
        assert [label["id"] for label in evaluated] == EVALUATED
        assert [label["name"] for label in evaluated] == list(LabelTable.load("cityscapes").classes)
        assert [label["name"] for label in evaluated if label["has_instances"]] == [
            "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
        ]  # fmt: skip

    def test_frequent_classes_are_the_head(self):
        table = LabelTable.load("cityscapes")
        groups = {name: [table.classes[index] for index in ids] for name, ids in table.groups.items()}
        assert groups["head"][:3] == ["road", "building", "vegetation"]
        assert groups["tail"][-1] == "motorcycle"
        assert [len(ids) for ids in groups.values()] == [7, 6, 6]

    def test_all_facts(self):
        expected, table, content = facts("cityscapes"), LabelTable.load("cityscapes"), read_table("cityscapes")
        assert list(table.classes) == expected["classes"]
        assert [list(color) for color in table.palette] == expected["palette"]
        mapping = expected["label_mapping"]
        assert {str(label["id"]): label["train_id"] for label in content["labels"]} == mapping["label_id_to_train_id"]
        assert dict(enumerate(Cityscapes.labels.in_files(np.arange(19)).tolist())) == {
            int(train_id): label_id for train_id, label_id in mapping["train_id_to_label_id"].items()
        }
        for label, fact in zip(content["labels"], mapping["labels"], strict=True):
            assert {key: fact[key] for key in ("id", "name", "category", "has_instances")}.items() <= label.items()
        groups = expected["head_mid_tail"]
        assert list(table.frequency) == groups["frequency"]
        assert {name: list(ids) for name, ids in table.groups.items()} == {
            k: groups[k] for k in ("head", "mid", "tail")
        }
        assert content["images"] == {
            split: fact["images"] for split, fact in expected["splits"].items() if split in NAMES
        }


def test_the_configuration_is_the_published_recipe(root, composed):
    config = composed("train", "data=cityscapes", f"data.root={root}", "data.num_workers=0").data
    assert (config.crop, config.batch_size, config.scale, config.flip) == ([512, 1024], 8, [0.5, 2.0], 0.5)
    module = build_datamodule({**config, "batch_size": 1})
    assert next(iter(module.train_dataloader()))["image"].shape == (1, 3, *config.crop)
    assert module.labels.num_classes == 19


class TestCoarse:
    """Beside the fine ones: coarse labels of the training images and of two more cities."""

    @pytest.fixture
    def coarse(self, root):
        for split, names in {
            "train": NAMES["train"],
            "train_extra": ["augsburg_0_1", "jena_0_2"],
            "val": NAMES["val"],
        }.items():
            for name in names:
                city = name.split("_")[0]
                if split == "train_extra":
                    save(root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png", grey(5, 17, 35))
                save(root / "gtCoarse" / split / city / f"{name}_gtCoarse_labelIds.png", np.full((17, 35), 26))
        return root

    @pytest.mark.parametrize(
        ("training", "names", "cars"),
        [
            (["fine"], NAMES["train"], 0),
            (["coarse"], NAMES["train"], 3),
            (["extra"], ["augsburg_0_1", "jena_0_2"], 2),
            (["coarse", "extra"], [*NAMES["train"], "augsburg_0_1", "jena_0_2"], 5),
            (["fine", "extra"], [*NAMES["train"], "augsburg_0_1", "jena_0_2"], 2),
        ],
    )
    def test_parts_of_training(self, coarse, training, names, cars):
        dataset = Cityscapes(coarse, training=training)
        assert [dataset.name(index) for index in range(len(dataset))] == names
        assert sum(bool((dataset.read(index)[1] == 13).all()) for index in range(len(dataset))) == cars
        val = Cityscapes(coarse, "val", training=training)
        assert (val.read(0)[1] != 13).any()  # fine, as it is measured

    def test_train_ids_and_the_archives_folders(self, coarse):
        labels = next((coarse / "gtCoarse" / "train_extra").glob("jena/*"))
        save(labels.with_name(labels.name.replace("labelIds", "labelTrainIds")), np.full((17, 35), 3))
        (coarse / "gtCoarse").rename(coarse / "unpacked")
        (coarse / "gtCoarse").mkdir()
        (coarse / "unpacked").rename(coarse / "gtCoarse" / "gtCoarse")
        (coarse / "leftImg8bit_trainextra" / "leftImg8bit").mkdir(parents=True)
        extra = "leftImg8bit/train_extra"
        (coarse / extra).rename(coarse / "leftImg8bit_trainextra" / extra)
        dataset = Cityscapes(coarse, training=["extra"])
        assert [int(dataset.read(index)[1][0, 0]) for index in range(2)] == [13, 3]
        assert int(Cityscapes(coarse, training=["extra"], encoding="label_ids").read(1)[1][0, 0]) == 13

    @pytest.mark.parametrize("training", [["fine", "coarse"], [], ["extra", "extra"], ["rough"]])
    def test_parts_that_cannot_be_together(self, coarse, training):
        with pytest.raises(
            ConfigError, match=r"data\.dataset\.training=.*(fine or coarse|choose one of fine, coarse, extra)"
        ):
            Cityscapes(coarse, training=training)

    def test_what_is_missing_is_said(self, root, coarse):
        (root / "gtCoarse").rename(root / "elsewhere")
        with pytest.raises(DataError, match=r"no gtCoarse/.*gtCoarse\.zip"):
            Cityscapes(coarse, training=["extra"])

    def test_the_configuration_reaches_it(self, coarse, composed):
        settings = ("data.dataset.training=[fine,extra]", "data.num_workers=0", "data.batch_size=1")
        module = build_datamodule(composed("train", "data=cityscapes", f"data.root={coarse}", *settings).data)
        assert len(module.dataset("train")) == 5

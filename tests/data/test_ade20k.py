import numpy as np
import pytest

from contextrast.data import ADE20K, IGNORE_INDEX, LabelTable
from contextrast.data.labels import read_table
from contextrast.errors import ConfigError, DataError, MissingSplitError
from contextrast.training.assembly import build_datamodule

from .conftest import grey, save
from .loading import facts, histograms

# Value v occurs v % 3 + 1 times.
MASK = np.repeat(np.arange(151), np.arange(151) % 3 + 1)
HISTOGRAM = {value - 1: value % 3 + 1 for value in range(1, 151)} | {IGNORE_INDEX: 1}
FOLDERS = {"train": ("training", "ADE_train_00000001"), "val": ("validation", "ADE_val_00000001")}


def files(root, split):
    folder, name = FOLDERS[split]
    return root / "images" / folder / f"{name}.jpg", root / "annotations" / folder / f"{name}.png"


@pytest.fixture
def root(tmp_path):
    """The layout with one image a split, whose mask has all values."""
    root = tmp_path / "ADEChallengeData2016"
    for split in FOLDERS:
        image, mask = files(root, split)
        save(image, grey(1, 1, len(MASK)))
        save(mask, MASK[None])
    (root / "objectInfo150.txt").write_text("Idx Ratio Train Val Name\n")
    return root


@pytest.mark.parametrize("split", FOLDERS)
@pytest.mark.parametrize("above", [False, True])
def test_histogram_of_all_values(root, split, above):
    assert histograms(ADE20K, root.parent if above else root, split) == {FOLDERS[split][1]: HISTOGRAM}


@pytest.mark.parametrize("value", [151, 255])
def test_unknown_values_are_named_as_the_file_has_them(root, value):
    _, path = files(root, "val")
    mask = MASK[None].copy()
    mask[0, 5] = value
    save(path, mask)
    with pytest.raises(DataError) as caught:
        ADE20K(root, "val")[0]
    assert str(caught.value).startswith(f"{path} has the value(s) {value}. ")
    assert "1..150" in str(caught.value)


def test_grey_images_become_rgb(root):
    image, _ = files(root, "val")
    save(image, np.full((1, len(MASK)), 90))
    assert ADE20K(root, "val")[0]["image"].shape == (3, 1, len(MASK))


def test_lonely_files_are_listed(root):
    image, mask = files(root, "train")
    mask.rename(mask.with_name("ADE_train_00000002.png"))
    with pytest.raises(DataError) as caught:
        ADE20K(root, "train")
    assert f"image without mask: {image}" in str(caught.value)
    assert "mask without image: " in str(caught.value)


def test_only_the_split_in_use_has_to_exist(root):
    for path in files(root, "train"):
        path.unlink()
    assert len(ADE20K(root, "val")) == 1
    with pytest.raises(MissingSplitError, match=r"no split 'train' at .*images/training/.*Folders found: .*validation"):
        ADE20K(root, "train")


@pytest.mark.parametrize("part", ["images", "annotations"])
def test_half_a_layout_is_one_clear_error(root, part):
    (root / part).rename(root.parent / "elsewhere")
    other = {"images": "annotations", "annotations": "images"}[part]
    with pytest.raises(DataError, match=rf"has {other}/, but no {part}/\. It has to hold images/"):
        ADE20K(root, "val")


def test_the_full_release_is_not_taken_for_it(tmp_path):
    save(tmp_path / "images" / "training" / "a" / "abbey" / "ADE_train_00000001.jpg", grey(1))
    save(tmp_path / "images" / "training" / "a" / "abbey" / "ADE_train_00000001_seg.png", grey(1))
    with pytest.raises(DataError, match=r"no annotations/\..*The full ADE20K with its \*_seg\.png files is another"):
        ADE20K(tmp_path, "train")


@pytest.mark.parametrize("kind", ["missing", "empty", "other"])
def test_a_folder_without_ade20k_says_what_belongs_there(tmp_path, kind):
    root = tmp_path / "somewhere"
    if kind != "missing":
        root.mkdir()
    if kind == "other":
        (root / "leftImg8bit").mkdir()
    with pytest.raises(DataError) as caught:
        ADE20K(root, "train")
    state = {"missing": "does not exist", "empty": "is empty", "other": "holds none of its layouts"}[kind]
    for part in (f"{root} {state}", "annotations/", "ADEChallengeData2016.zip", "data.root=PATH"):
        assert part in str(caught.value)


def test_there_is_no_test_split(root):
    with pytest.raises(ConfigError, match=r"split=test is unknown to ADE20K; choose one of train, val"):
        ADE20K(root, "test")


def test_table():
    table = LabelTable.load("ade20k")
    assert (table.name, table.num_classes, len(table.palette)) == ("ade20k", 150, 150)
    assert (table.classes[0], table.palette[0]) == ("wall", (120, 120, 120))
    assert (table.classes[149], table.palette[149]) == ("flag", (92, 0, 255))
    assert table.groups == {
        "head": tuple(range(50)), "mid": tuple(range(50, 100)), "tail": tuple(range(100, 150)),
    }  # fmt: skip


def test_all_facts():
    expected, table = facts("ade20k"), LabelTable.load("ade20k")
    assert list(table.classes) == expected["classes"]
    assert [list(color) for color in table.palette] == expected["palette"]
    groups = expected["head_mid_tail"]
    assert list(table.frequency) == groups["frequency"]
    assert {name: list(ids) for name, ids in table.groups.items()} == {k: groups[k] for k in ("head", "mid", "tail")}
    counts = {split: fact["images"] for split, fact in expected["splits"].items() if "images" in fact}
    assert read_table("ade20k")["images"] == counts


def test_all_facts_about_values(root):
    mapping = {int(value): train_id for value, train_id in facts("ade20k")["label_mapping"]["map"].items()}
    _, path = files(root, "val")
    save(path, np.resize(np.arange(151), MASK.shape)[None])
    mask = ADE20K(root, "val").read(0)[1][0]
    assert mask[:151].tolist() == [mapping[value] for value in range(151)]


def test_the_configuration_is_the_published_recipe(root, composed):
    config = composed("train", "data=ade20k", f"data.root={root}", "data.num_workers=0").data
    assert (config.crop, config.batch_size, config.scale, config.flip) == ([512, 512], 12, [0.5, 2.0], 0.5)
    module = build_datamodule({**config, "batch_size": 1})
    assert next(iter(module.train_dataloader()))["image"].shape == (1, 3, *config.crop)
    assert module.labels.num_classes == 150

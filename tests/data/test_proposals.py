"""What is proposed to a folder without classes file or split, and that it is read as it was proposed."""

import numpy as np
import pytest
from PIL import Image

from contextrast.data import Folder
from contextrast.data.proposals import proposals
from contextrast.errors import ConfigError, DataError


def folder(root, masks):
    """Images and masks by name, in ``images`` and ``masks``."""
    for name, mask in masks.items():
        for kind, array in (("images", np.full((8, 8, 3), 128, np.uint8)), ("masks", np.asarray(mask, np.uint8))):
            (root / kind).mkdir(exist_ok=True, parents=True)
            Image.fromarray(array).save(root / kind / f"{name}.png")
    return root


def grey(*values):
    return np.resize(np.array(values, np.uint8), (8, 8))


def by_name(found):
    return {one.path.name: one.text.splitlines() for one in found}


@pytest.mark.parametrize(
    ("mask", "lines", "words"),
    [
        (grey(0, 1, 2, 255), ["class_0", "class_1", "class_2"], "values 0, 1, 2"),
        (grey(0, 1, 3), ["class_0", "class_1", "class_2", "class_3"], "values 0, 1, 3"),
        (grey(0, 127, 254), ["class_0", "class_127", "class_254"], "data.dataset.values=[0,127,254]"),
        (grey(0, 255), ["background 0 0 0", "object 255 255 255"], "0 and 255"),
        (np.stack([grey(0, 128), grey(0, 64), grey(0, 32)], -1), ["class_0 0 0 0", "class_1 128 64 32"], "colours"),
    ],
    ids=["values", "a_gap", "scaled", "black_and_white", "colours"],
)
def test_classes_that_masks_hold(tmp_path, mask, lines, words):
    found = proposals(folder(tmp_path, {f"{letter}": mask for letter in "abcd"}))
    assert by_name(found)["classes.txt"] == lines
    assert words in next(one.says for one in found if one.path.name == "classes.txt")


def test_what_was_proposed_is_read(tmp_path):
    for one in proposals(
        folder(tmp_path, {f"{letter}_{number}": grey(0, 255) for letter in "abcde" for number in range(4)})
    ):
        one.write()
    train, val = (Folder(tmp_path, split) for split in ("train", "val"))
    assert (len(train), len(val)) == (16, 4)
    assert set(np.unique(train.read(0)[1])) == {0, 1}
    assert proposals(tmp_path) == []


def test_frames_of_one_sequence_stay_together(tmp_path):
    names = {f"{letter}_{number:03}": grey(0, 1) for letter in "abcdefgh" for number in range(5)}
    lists = by_name(proposals(folder(tmp_path, names), share=0.25, seed=1))
    train, val = lists["train.txt"], lists["val.txt"]
    assert sorted(train + val) == sorted(names)
    assert len(val) == 10
    assert not {name[0] for name in train} & {name[0] for name in val}
    assert by_name(proposals(tmp_path, share=0.25, seed=1)) == lists, "the same seed, the same split"
    assert by_name(proposals(tmp_path, share=0.25, seed=2)) != lists


def test_one_sequence_ends_with_validation(tmp_path):
    names = {f"frame{number}": grey(0, 1) for number in range(10, 20)}
    lists = by_name(proposals(folder(tmp_path, names)))
    assert lists["val.txt"] == ["frame18", "frame19"]


def test_groups_of_ones_own(tmp_path):
    names = {f"{number}_{site}": grey(0, 1) for number in range(4) for site in ("north", "south", "west")}
    lists = by_name(proposals(folder(tmp_path, names), share=0.3, group=r"_(\w+)$"))
    assert len({name.partition("_")[2] for name in lists["val.txt"]}) == 1
    assert len(lists["val.txt"]) == 4


def test_what_is_there_is_not_proposed(tmp_path):
    folder(tmp_path / "a" / "train", {"x": grey(0, 1)})
    (tmp_path / "a" / "classes.yaml").write_text("- road\n- car\n")
    assert [one.path.name for one in proposals(tmp_path / "a")] == []


def test_what_cannot_be_proposed(tmp_path):
    with pytest.raises(DataError, match="no masks"):
        proposals(tmp_path)
    with pytest.raises(DataError, match="1 different"):
        proposals(folder(tmp_path / "one", {"a": grey(0), "b": grey(0)}))
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    with pytest.raises(DataError, match="colours"):
        proposals(folder(tmp_path / "photographs", {"a": noise, "b": noise}))
    good = folder(tmp_path / "good", {"a": grey(0, 1), "b": grey(0, 1)})
    with pytest.raises(ConfigError, match="share"):
        proposals(good, share=1.5)
    with pytest.raises(ConfigError, match="regular expression"):
        proposals(good, group="(")


def test_a_list_that_names_what_is_not_there_is_refused(tmp_path):
    folder(tmp_path, {"a": grey(0, 1)})
    (tmp_path / "classes.txt").write_text("road\ncar\n")
    (tmp_path / "train.txt").write_text("a\nb\n")
    with pytest.raises(DataError, match=r"train\.txt"):
        Folder(tmp_path, "train")

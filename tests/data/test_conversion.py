import numpy as np
import pytest
from PIL import Image

from contextrast.data.conversion import Target, check_counts, convert_split
from contextrast.data.masks import decode_mask
from contextrast.data.pairing import Pair
from contextrast.errors import DataError

from .conftest import save
from .layouts import save_image

MASKS = {"a": [[0, 1, 255]], "b": [[253, 9, 9], [255, 255, 0]]}


@pytest.fixture
def pairs(tmp_path):
    return [
        Pair(name, save_image(tmp_path / "from" / f"{name}.jpg", np.shape(mask)),
             save(tmp_path / "from" / f"{name}.png", mask))
        for name, mask in MASKS.items()
    ]  # fmt: skip


@pytest.fixture
def target(tmp_path):
    folder = tmp_path / "to"
    return Target(folder / "images", folder / "masks", folder / "lists" / "train.txt", "_mask")


def convert(pairs, target, processes=0):
    convert_split(pairs, decode_mask, target, processes, "Converting")


@pytest.mark.parametrize("processes", [0, 2])
def test_masks_are_train_ids_plus_one_and_images_lie_beside_them(pairs, target, processes):
    convert(pairs, target, processes)
    for pair in pairs:
        with Image.open(target.masks / f"{pair.name}_mask.png") as mask:
            assert np.array(mask).tolist() == [[(value + 1) % 256 for value in row] for row in MASKS[pair.name]]
        assert (target.images / pair.image.name).read_bytes() == pair.image.read_bytes()
    assert target.list_file.read_text() == "a\nb\n"
    assert sum(len(list(folder.iterdir())) for folder in (target.images, target.masks)) == 4  # and nothing else


def test_a_second_run_writes_what_is_missing_and_nothing_else(pairs, target):
    convert(pairs, target)
    kept, gone = target.masks / "a_mask.png", target.masks / "b_mask.png"
    (target.images / "a.jpg").unlink()
    gone.unlink()
    (target.masks / ".b_mask.png.part").write_bytes(b"half a fi")  # as a killed run leaves it
    before = {path: path.stat().st_mtime_ns for path in (kept, target.images / "b.jpg", target.list_file)}
    convert(pairs, target)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert decode_mask(gone).tolist() == [[254, 10, 10], [0, 0, 1]]
    assert (target.images / "a.jpg").is_file()
    assert not list(target.masks.glob(".*"))


def test_images_are_copied_where_links_cannot_be_made(pairs, target, monkeypatch):
    def refuse(self, source):
        raise OSError("another file system")

    monkeypatch.setattr("pathlib.Path.hardlink_to", refuse)
    convert(pairs, target)
    copy = target.images / "a.jpg"
    assert copy.read_bytes() == pairs[0].image.read_bytes()
    assert copy.stat().st_nlink == 1


def test_all_bad_maps_are_named_and_the_others_converted(pairs, target):
    bad = [
        Pair("text", pairs[0].image, pairs[0].image.with_name("text.png")),
        Pair("size", pairs[0].image, save(pairs[0].image.with_name("size.png"), np.zeros((5, 7)))),
    ]
    bad[0].mask.write_text("no image")
    with pytest.raises(DataError) as caught:
        convert([*bad, *pairs], target)
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert f"{bad[0].mask} cannot be decoded" in lines[1]
    assert lines[2].endswith(f"{pairs[0].image} is 3x1, {bad[1].mask} is 7x5")
    assert sorted(path.name for path in target.masks.iterdir()) == ["a_mask.png", "b_mask.png"]


def test_counts_that_differ_from_the_published_ones_are_listed():
    check_counts({"train": "abc", "val": "a"}, {"train": 3, "val": 1})
    with pytest.raises(DataError, match=r"(?s)--subset.*train: 3 instead of 4998\n  val: 1 instead of 5105"):
        check_counts({"train": "abc", "val": "a"}, {"train": 4998, "val": 5105})

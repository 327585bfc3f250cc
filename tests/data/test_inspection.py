import numpy as np
import pytest

from contextrast.data import CamVid, LabelTable, SegmentationDataset
from contextrast.data.inspection import Inspection, inspect_split
from contextrast.data.problems import collected_problems

from .conftest import grey, save


class Odd(SegmentationDataset):
    """Samples of several sizes, one of which makes its decoder fail in a way of its own."""

    labels = LabelTable("odd", ("a", "b", "c"), ((0, 0, 0),) * 3)
    masks = ([[0, 1, 1]], [[2, 255, 2]], None, [[0], [0]], [[3, 255, 7]])

    def __len__(self):
        return len(self.masks)

    def name(self, index):
        return str(index)

    def source(self, index):
        return f"odd/{index}.png"

    def read(self, index):
        if self.masks[index] is None:
            raise MemoryError("no room")
        mask = np.array(self.masks[index], np.uint8)
        return np.zeros((*mask.shape, 3), np.uint8), mask


@pytest.mark.parametrize("processes", [0, 2])
def test_a_split_is_counted_to_its_end(processes):
    found = inspect_split(Odd(), processes, "Reading", ["known before"])
    assert found.samples == 5
    assert list(found.sizes.items()) == [((1, 3), 2), ((2, 1), 1)]
    assert found.pixels.tolist() == [3, 2, 2]
    assert found.ignored == 1
    assert found.problems[0] == "known before"
    assert found.problems[1] == "odd/2.png or its mask cannot be read (MemoryError: no room)."
    assert found.problems[2].startswith("odd/4.png has the value(s) 3, 7")
    assert len(found.problems) == 3


def test_plain_containers():
    found = Inspection(3, {(4, 6): 2, (1, 2): 1}, np.array([5, 0]), 7, ("x",))
    assert found.to_dict() == {
        "samples": 3, "sizes": {"6x4": 2, "2x1": 1}, "pixels": [5, 0], "ignored_pixels": 7, "problems": ["x"],
        "notes": [],
    }  # fmt: skip


def test_nothing_of_an_unopened_split():
    found = Inspection.unopened(Odd.labels, ["gone"])
    assert (found.samples, found.pixels.tolist(), found.problems) == (0, [0, 0, 0], ("gone",))


def test_every_problem_of_a_folder_is_found_with_its_path(segnet_root):
    for index in range(3, 20):  # more than an error lists
        save(segnet_root / "train" / f"train_{index}.png", grey(0))
    save(segnet_root / "trainannot" / "lonely.png", np.zeros((4, 6)))
    save(segnet_root / "trainannot" / "train_1.png", np.zeros((5, 6)))
    save(segnet_root / "trainannot" / "train_2.png", np.full((4, 6), 77))
    (segnet_root / "trainannot" / "train_3.png").write_text("no image")
    with collected_problems() as problems:
        dataset = CamVid(segnet_root, "train")
    found = inspect_split(dataset, 0, "Reading", problems)
    masks = segnet_root / "trainannot"
    expected = {
        **{f"image without mask: {segnet_root / 'train' / f'train_{index}.png'}": 1 for index in range(4, 20)},
        f"mask without image: {masks / 'lonely.png'}": 1,
        f"{masks / 'train_1.png'} is 6x5": 1,
        f"{masks / 'train_2.png'} has the value(s) 77": 1,
        f"{masks / 'train_3.png'} cannot be decoded": 1,
    }
    assert {part: sum(part in problem for problem in found.problems) for part in expected} == expected
    assert len(found.problems) == len(expected)
    assert (found.samples, found.pixels[0], found.pixels.sum()) == (4, 24, 24)  # only train_0 can be used

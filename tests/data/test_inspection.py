import numpy as np
import pytest
import torch

from contextrast.data import CamVid, Folder, LabelTable, SegmentationDataModule, SegmentationDataset
from contextrast.data.inspection import Inspection, check_classes_present, inspect_split
from contextrast.data.problems import collected_problems
from contextrast.errors import DataError

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
    found = Inspection(3, {(4, 6): 2, (1, 2): 1}, np.array([5, 0]), 7, np.array([[1530, 0], [260100, 0]]), ("x",))
    assert found.to_dict() == {
        "samples": 3, "sizes": {"6x4": 2, "2x1": 1}, "pixels": [5, 0], "ignored_pixels": 7,
        "mean": [0.5, 0.0], "std": pytest.approx([1 / 12**0.5, 0.0]), "problems": ["x"],
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


class TestClassesOfTraining:
    """A folder of one's own whose classes are looked for before anything is trained."""

    @pytest.fixture
    def module(self, tmp_path):
        def make(masks, classes="road\ncar\n", **settings):
            for split, values in {"train": masks, "val": [0]}.items():
                for place, value in enumerate(values):
                    save(tmp_path / "images" / split / f"{place}.png", grey(1))
                    save(tmp_path / "masks" / split / f"{place}.png", np.full((4, 6), value))
            (tmp_path / "classes.txt").write_text(classes)
            return SegmentationDataModule(Folder, [4, 6], 1, root=tmp_path, num_workers=0, **settings)

        return make

    def test_one_without_a_pixel_stops_the_run(self, module):
        with pytest.raises(DataError, match=r"no pixel of car, so .*data\.allow_absent_classes=true") as told:
            module([0] * 40).setup("fit")
        assert "255" not in str(told.value)
        module([0] * 40, allow_absent_classes=True).setup("fit")
        module([0] * 39 + [1]).setup("fit")

    def test_255_is_hinted_at_where_masks_have_it(self, module):
        with pytest.raises(DataError, match=r"no pixel of car.*255 is ignored.*60\.0% of the pixels.*car 255 255 255"):
            module([0, 255, 255, 0, 255]).setup("fit")

    def test_no_more_masks_are_read_than_it_takes(self, module, monkeypatch):
        made = module([0, 1] * 100)
        made.dataset("train")
        read = []
        train_ids = Folder.train_ids
        monkeypatch.setattr(Folder, "train_ids", lambda *call: read.append(call[1]) or train_ids(*call))
        check_classes_present(made.dataset("train"))
        assert len(read) < 40

    def test_in_more_masks_than_are_read_it_is_a_warning(self, module, monkeypatch, caplog):
        monkeypatch.setattr("contextrast.data.inspection._MOST_MASKS", 5)
        module([0] * 10).setup("fit")
        assert "In 5 of 10 masks: " in caplog.text

    def test_the_runs_random_numbers_stay_as_they_were(self, module):
        made = module([0, 1])
        before = torch.random.get_rng_state()
        made.setup("fit")
        assert torch.equal(before, torch.random.get_rng_state())

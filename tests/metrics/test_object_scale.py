"""Object-scale mIoU against the worked example and flood fills."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from contextrast.metrics import ObjectScaleIoU, SegmentationScores, object_scale
from contextrast.metrics.object_scale import object_scale_counts
from tests.metrics.examples import OBJECTS_PREDICTION, OBJECTS_TARGET, draw

SHAPE = (9, 11)
LABELS = hnp.arrays(np.int64, SHAPE, elements=st.sampled_from([0, 0, 1, 2, 255]))
PREDICTIONS = hnp.arrays(np.int64, SHAPE, elements=st.sampled_from([-1, 0, 1, 1, 2, 255]))


def test_the_worked_example() -> None:
    measure = ObjectScaleIoU(3)
    measure.update(torch.from_numpy(OBJECTS_PREDICTION)[None], torch.from_numpy(OBJECTS_TARGET)[None])
    by_class = measure.counts.transpose(0, 1).tolist()
    assert by_class[0] == [[0, 0, 0], [0, 0, 0], [0, 0, 0], [12795, 512, 473]]
    assert by_class[1] == [[64, 61, 36], [360, 328, 40], [3480, 120, 120], [0, 0, 0]]
    assert by_class[2] == [[0, 0, 256], [0, 0, 0], [7340, 220, 316], [0, 0, 0]]
    report = measure.report(["a", "b", "c"])
    means = {"miou_tiny": 0.198758, "miou_small": 0.494505, "miou_medium": 0.933715, "miou_large": 0.928520}
    assert report.scores == {name: pytest.approx(value, abs=5e-7) for name, value in means.items()}
    assert [values["classes"] for values in report.groups.values()] == [2, 1, 2, 1]
    assert report.convention.startswith("partition")


def components(mask):
    """8-connected components by flood fill, as sets of pixels, in raster order of their first pixels."""
    left = set(map(tuple, np.argwhere(mask).tolist()))
    found = []
    for start in sorted(left):
        if start in left:
            left.remove(start)
            component, front = {start}, [start]
            while front:
                row, column = front.pop()
                for pixel in ((row + y, column + x) for y in (-1, 0, 1) for x in (-1, 0, 1)):
                    if pixel in left:
                        left.remove(pixel)
                        component.add(pixel)
                        front.append(pixel)
            found.append(component)
    return found


def slow_counts(prediction, target, limits):
    counts = np.zeros((4, 3, 3), np.int64)

    def scale(area):
        return sum(area > limit for limit in limits)

    valid = target != 255
    for train_id in range(3):
        objects = components(target == train_id)
        predicted = set(map(tuple, np.argwhere((prediction == train_id) & valid).tolist()))
        for pixels in objects:
            counts[scale(len(pixels)), train_id, 0] += len(pixels & predicted)
            counts[scale(len(pixels)), train_id, 2] += len(pixels - predicted)
        for piece in components((prediction == train_id) & valid):
            wrong = sum(target[pixel] != train_id for pixel in piece)
            shared = [len(piece & pixels) for pixels in objects]
            best = objects[shared.index(max(shared))] if any(shared) else piece
            counts[scale(len(best)), train_id, 1] += wrong
    return counts


@settings(max_examples=80, deadline=None)
@given(PREDICTIONS, LABELS, st.sampled_from([(1, 2, 4), (2, 5, 30), (256, 1024, 9216)]))
def test_random_maps_against_flood_fills(prediction, target, limits) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(object_scale, "LARGEST_AREAS", limits)  # maps of this size have no other scales
        np.testing.assert_array_equal(
            object_scale_counts(prediction, target, 3), slow_counts(prediction, target, limits)
        )


@settings(max_examples=30, deadline=None)
@given(PREDICTIONS, LABELS)
def test_scales_add_up_to_the_confusion_matrix(prediction, target) -> None:
    true_positive, false_positive, missed = object_scale_counts(prediction, target, 3).sum(0).T
    plain = SegmentationScores(3)
    plain.update(torch.from_numpy(prediction)[None], torch.from_numpy(target)[None])
    confusion = plain.confmat.numpy()
    np.testing.assert_array_equal(true_positive, confusion.diagonal())
    np.testing.assert_array_equal(false_positive, confusion.sum(0) - confusion.diagonal())
    np.testing.assert_array_equal(missed, confusion.sum(1) - confusion.diagonal() + plain.missed.numpy())


def test_a_piece_that_two_objects_share_equally_is_charged_to_the_first() -> None:
    """A small and a tiny object of class 1, each with 10 pixels in the same predicted bar, which has 10 wrong ones."""
    target = draw((30, 60), (1, 0, 0, 20, 20), (1, 19, 30, 1, 10))
    prediction = draw((30, 60), (1, 19, 10, 1, 30))
    counts = object_scale_counts(prediction, target, 2)
    assert counts[:, 1].tolist() == [[10, 0, 0], [10, 10, 390], [0, 0, 0], [0, 0, 0]]
    flipped = object_scale_counts(prediction[:, ::-1], target[:, ::-1], 2)
    assert flipped[:, 1].tolist() == [[10, 0, 0], [10, 10, 390], [0, 0, 0], [0, 0, 0]], "raster order: the upper one"
    lower = draw((30, 60), (1, 0, 0, 1, 20), (1, 0, 40, 20, 20))
    bar = draw((30, 60), (1, 0, 10, 1, 40))
    assert object_scale_counts(bar, lower, 2)[:, 1].tolist() == [[10, 20, 10], [10, 0, 390], [0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize(("area", "scale"), [(256, 0), (257, 1), (1024, 1), (1025, 2), (9216, 2), (9217, 3)])
def test_limits_belong_to_the_smaller_scale(area, scale) -> None:
    target = np.zeros((100, 100), np.int64)
    target.flat[:area] = 1
    assert object_scale_counts(target, target, 2)[:, 1, 0].tolist() == [area * (s == scale) for s in range(4)]

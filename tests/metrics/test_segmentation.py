"""Dataset-wide scores against loops that count pixel by pixel."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from contextrast.metrics import SegmentationScores, scores_from_counts

CLASSES = 4
SHAPE = (2, 3, 4)
LABELS = hnp.arrays(np.int64, SHAPE, elements=st.sampled_from([*range(CLASSES), 255]))
PREDICTIONS = hnp.arrays(np.int64, SHAPE, elements=st.sampled_from([-1, *range(CLASSES), 255]))


def slow_scores(prediction: np.ndarray, target: np.ndarray, ignore: int = 255) -> dict[str, float | list[float]]:
    """Sets of pixels, one class at a time, exactly as IoU is defined."""
    pixels = [(int(p), int(t)) for p, t in zip(prediction.flat, target.flat, strict=True) if t != ignore]
    iou, accuracy = [], []
    for n in range(CLASSES):
        labelled = sum(t == n for _, t in pixels)
        hit = sum(p == n and t == n for p, t in pixels)
        union = sum(n in (p, t) for p, t in pixels)
        iou.append(hit / union if union else math.nan)
        accuracy.append(hit / labelled if labelled else math.nan)
    present = [x for x in iou if not math.isnan(x)]
    recalls = [x for x in accuracy if not math.isnan(x)]
    return {
        "iou": iou,
        "accuracy": accuracy,
        "miou": sum(present) / len(present) if present else math.nan,
        "mean_accuracy": sum(recalls) / len(recalls) if recalls else math.nan,
        "pixel_accuracy": sum(p == t for p, t in pixels) / len(pixels) if pixels else math.nan,
    }


def assert_scores(scores, expected) -> None:
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(scores, name).numpy(), value, rtol=1e-12, err_msg=name)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(PREDICTIONS, LABELS), min_size=1, max_size=3))
def test_agrees_with_a_loop_over_pixels(batches) -> None:
    metric = SegmentationScores(CLASSES)
    for prediction, target in batches:
        metric.update(torch.from_numpy(prediction), torch.from_numpy(target))
    together = [np.concatenate(arrays) for arrays in zip(*batches, strict=True)]
    assert_scores(metric.compute(), slow_scores(*together))


@settings(max_examples=30, deadline=None)
@given(PREDICTIONS, LABELS, PREDICTIONS)
def test_predictions_under_ignored_labels_change_nothing(prediction, target, other) -> None:
    changed = np.where(target == 255, other, prediction)
    first, second = SegmentationScores(CLASSES), SegmentationScores(CLASSES)
    first.update(torch.from_numpy(prediction), torch.from_numpy(target))
    second.update(torch.from_numpy(changed), torch.from_numpy(target))
    assert torch.equal(first.confmat, second.confmat)
    assert torch.equal(first.missed, second.missed)


def test_a_worked_example() -> None:
    """3 x 4 pixels, one ignored; class 3 occurs nowhere, class 2 only in the prediction."""
    target = torch.tensor([[[0, 0, 0, 0], [1, 1, 1, 255], [0, 0, 1, 1]]])
    prediction = torch.tensor([[[0, 0, 1, 2], [1, 1, 0, 3], [0, 0, 1, 1]]])
    metric = SegmentationScores(CLASSES)
    metric.update(prediction, target)
    scores = metric.compute()
    assert scores.confusion.tolist() == [[4, 1, 1, 0], [1, 4, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert scores.iou[:3].tolist() == pytest.approx([4 / 7, 4 / 6, 0.0])
    assert scores.iou[3].isnan()
    assert scores.miou.item() == pytest.approx((4 / 7 + 4 / 6 + 0) / 3)
    assert scores.accuracy[:2].tolist() == pytest.approx([4 / 6, 4 / 5])
    assert scores.accuracy[2:].isnan().all()
    assert scores.mean_accuracy.item() == pytest.approx((4 / 6 + 4 / 5) / 2)
    assert scores.pixel_accuracy.item() == pytest.approx(8 / 11)


def test_scores_of_a_split_are_not_the_mean_of_scores_of_images() -> None:
    """One image with 1 of 4 pixels right, one of 36 pixels all right: 37/40, and not the images' mean of 62.5 %."""
    metric = SegmentationScores(2)
    metric.update(torch.tensor([[[0, 1], [1, 1]]]), torch.zeros(1, 2, 2, dtype=torch.long))
    metric.update(torch.zeros(1, 6, 6, dtype=torch.long), torch.zeros(1, 6, 6, dtype=torch.long))
    assert metric.compute().iou.tolist() == pytest.approx([37 / 40, 0.0])


def test_logits_count_like_their_largest_class() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, CLASSES, 8, 9, generator=generator)
    target = torch.randint(CLASSES, (2, 8, 9), generator=generator)
    from_logits, from_labels = SegmentationScores(CLASSES), SegmentationScores(CLASSES)
    from_logits.update(logits.bfloat16(), target)
    from_labels.update(logits.bfloat16().argmax(1), target.to(torch.uint8))
    assert torch.equal(from_logits.confmat, from_labels.confmat)
    assert from_logits.confmat.sum() == target.numel()


def test_a_prediction_of_no_class_is_a_false_negative_only() -> None:
    metric = SegmentationScores(2)
    metric.update(torch.tensor([[[0, 255, 7, -3]]]), torch.tensor([[[0, 0, 0, 1]]]))
    scores = metric.compute()
    assert scores.iou.tolist() == pytest.approx([1 / 3, 0.0])
    assert scores.missed.tolist() == [2, 1]
    assert scores.pixel_accuracy.item() == pytest.approx(1 / 4)


def test_the_ignored_label_may_be_a_class_id() -> None:
    metric = SegmentationScores(2, ignore_index=0)
    metric.update(torch.tensor([[[0, 1, 1]]]), torch.tensor([[[0, 0, 1]]]))
    assert metric.compute().confusion.tolist() == [[0, 0], [0, 1]]


def test_an_empty_split_is_nan_and_not_an_error() -> None:
    metric = SegmentationScores(CLASSES)
    metric.update(torch.zeros(1, 2, 2, dtype=torch.long), torch.full((1, 2, 2), 255))
    scores = metric.compute()
    assert scores.miou.isnan()
    assert scores.pixel_accuracy.isnan()
    assert scores.iou.isnan().all()


@pytest.mark.parametrize("preds", [torch.zeros(2, 3, 8, 9), torch.zeros(2, 8, 9, dtype=torch.long)])
def test_nothing_is_read_on_the_host(preds: Tensor) -> None:
    """Tensors of the meta device have no values, so every read of one, and every shape made of values, would raise."""
    metric = SegmentationScores(3).to("meta")
    metric.update(preds.to("meta"), torch.zeros(2, 8, 9, dtype=torch.long, device="meta"))
    assert scores_from_counts(metric.confmat, metric.missed).iou.shape == (3,)
    with pytest.raises((NotImplementedError, RuntimeError)):
        torch.bincount(metric.missed)


def test_reset_forgets_and_nothing_enters_a_checkpoint() -> None:
    metric = SegmentationScores(2)
    metric.update(torch.tensor([[[9, 1]]]), torch.tensor([[[0, 1]]]))
    metric.reset()
    assert metric.confmat.sum() == 0
    assert metric.missed.sum() == 0
    assert metric.state_dict() == {}


def test_counts_beyond_float32_stay_exact() -> None:
    confusion = torch.tensor([[2**24 + 1, 0], [0, 2**40]])
    scores = scores_from_counts(confusion, torch.tensor([1, 0]))
    assert scores.iou[0].item() == (2**24 + 1) / (2**24 + 2)


@pytest.mark.parametrize(
    ("preds", "target"),
    [
        (torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long)),
        (torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 5, dtype=torch.long)),
        (torch.zeros(1, 2, 4, 4, dtype=torch.long), torch.zeros(1, 4, 4, dtype=torch.long)),
        (torch.zeros(1, 4, 5, dtype=torch.long), torch.zeros(1, 5, 4, dtype=torch.long)),
    ],
)
def test_shapes_that_do_not_belong_together_are_named(preds: Tensor, target: Tensor) -> None:
    with pytest.raises(ValueError, match=r"got .*4"):
        SegmentationScores(2).update(preds, target)

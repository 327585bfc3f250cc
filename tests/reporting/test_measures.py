"""Measures are the same from a run's numbers and from its counts of images, and thin classes are the dataset's."""

import numpy as np
import pytest
import torch

from contextrast.data import CamVid, Cityscapes, LabelTable, Streets
from contextrast.metrics.counts import iou_from_counts
from contextrast.reporting.measures import Keyed, co_primary, thin_classes
from contextrast.runs.records import value_of

CLASSES = CamVid.labels.classes


def random_pixels(seed, missed=0):
    """A confusion matrix ``[N, N + 1]`` and what of it measures take, ``[3, N]``."""
    counts = np.random.default_rng(seed).integers(1, 1000, (len(CLASSES), len(CLASSES) + 1))
    counts[:, -1] = missed
    return counts, np.stack([counts.diagonal(), counts.sum(1), counts[:, :-1].sum(0)]).astype(float)


def test_counts_of_images_give_what_the_metrics_say():
    counts, whole = random_pixels(0, missed=7)
    near, band = random_pixels(1)
    iou = iou_from_counts(torch.tensor(counts))
    recorded = {
        "miou": iou.mean().item(),
        "iou": dict(zip(CLASSES, iou.tolist(), strict=True)),
        "b_miou": {"b_miou_3": iou_from_counts(torch.tensor(near)).mean().item()},
        "pixel_accuracy": counts.diagonal().sum() / counts.sum(),
    }
    for measure in co_primary():
        assert measure.of_images(whole, band, CLASSES) == pytest.approx(measure.value(recorded)), measure.key
    thin = [iou[CLASSES.index(name)].item() for name in thin_classes(CLASSES)]
    assert co_primary()[1].value(recorded) == pytest.approx(sum(thin) / 6)


def test_absent_classes_are_in_no_mean():
    _, whole = random_pixels(0)
    several = np.stack([whole, whole])
    several[1, :, CLASSES.index("Pole")] = 0
    miou, thin, *_ = (measure.of_images(several, several, CLASSES) for measure in co_primary())
    iou = several[1, 0] / np.where(several[1].sum(0) > 0, several[1, 1] + several[1, 2] - several[1, 0], np.nan)
    assert miou[1] == pytest.approx(np.nanmean(iou))
    assert thin[1] == pytest.approx(np.nanmean([iou[CLASSES.index(name)] for name in thin_classes(CLASSES)]))
    assert co_primary()[1].value({"iou": {"Pole": None, "Fence": 0.5}}) is None, "these are no known classes"
    assert co_primary(["Pole", "Fence"])[1].value({"iou": {"Pole": None, "Fence": 0.5}}) == 0.5


def test_thin_classes_are_in_the_facts_of_street_scenes_alone():
    assert thin_classes(Streets.labels.classes) == thin_classes(CLASSES)
    for dataset in (CamVid, Cityscapes):
        classes = dataset.labels.classes
        assert 6 <= len(thin_classes(classes)) < len(classes)
        assert set(thin_classes(classes)) < set(classes)
    for name in ("ade20k", "pascal_context", "coco_stuff10k"):
        assert thin_classes(LabelTable.load(name).classes) == ()
    assert thin_classes(("a", "b")) == ()
    assert co_primary()[1].value({"iou": {"a": 0.5, "b": 0.5}}) is None


def test_what_is_not_recorded_is_none():
    for measure in co_primary():
        assert measure.value(None) is None
        assert measure.value({"iou": 3}) is None
    assert Keyed("iou.Pole", "iou.Pole").value({"iou": {"Pole": 0.25}}) == 0.25
    assert Keyed("iou.Pole", "iou.Pole").of_images(*[np.zeros((3, 2))] * 2, ("a", "b")) is None
    assert value_of({"a": {"b": 1}}, "a.b.c") is None

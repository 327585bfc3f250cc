"""What all measures promise."""

import math

import pytest
import torch
from torchmetrics import MetricCollection

from tests.metrics.examples import CLASSES, every_measure, images

NAMES = [f"class {number}" for number in range(CLASSES)]


def found(measure):
    report = measure.report(NAMES)
    return report.scores, report.per_class, report.groups


def same(one, other) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return all(same(a, b) for a, b in zip(one, other, strict=True))
    return one == pytest.approx(other, rel=1e-12, nan_ok=True)


def fed(*shares):
    """Every measure, after an update with each of the shares of the images."""
    measures = every_measure()
    collection = MetricCollection(measures, compute_groups=False)
    for share in shares:
        collection.update(**images().only(share))
    return measures


def test_one_call_finds_what_calls_image_by_image_in_any_order_do() -> None:
    at_once, singly = fed(slice(None)), fed(*(slice(n, n + 1) for n in (3, 0, 4, 2, 1)))
    for name, measure in at_once.items():
        assert same(found(measure), found(singly[name])), name
        assert not all(math.isnan(score) for score in measure.report(NAMES).scores.values()), name


def test_states_do_not_grow() -> None:
    def size(measure):
        return sum(getattr(measure, state).numel() for state in measure._defaults)

    for name, measure in fed(*[slice(None)] * 3).items():
        assert size(measure) == size(every_measure()[name]), name


@pytest.mark.filterwarnings("ignore:The ``compute`` method")  # without a batch, which is just what a reset leaves
def test_a_reset_forgets_and_nothing_enters_a_checkpoint() -> None:
    for name, measure in fed(slice(None)).items():
        measure.reset()
        assert all(math.isnan(score) for score in measure.report(NAMES).scores.values()), name
        assert measure.state_dict() == {}


def test_score_names_are_each_used_once() -> None:
    names = [name for measure in fed(slice(None)).values() for name in measure.report(NAMES).scores]
    assert len(names) == len(set(names))
    assert {"b_miou_1", "b_miou_3", "boundary_iou", "iiou", "iiou_category", "miou_category", "miou_head"} <= set(names)
    assert {"miou_tiny", "miou_large", "alignment/stage2", "neighborhood_uniformity/stage5"} <= set(names)


def test_columns_have_a_value_for_each_class() -> None:
    for measure in fed(slice(None)).values():
        report = measure.report(NAMES)
        assert report.convention
        assert all(len(column) == CLASSES for column in report.per_class.values())


def test_a_measure_says_what_it_needs() -> None:
    needs = {name: measure.needs for name, measure in every_measure().items()}
    assert needs["b_miou"] == {"preds", "target"}
    assert needs["iiou"] == {"preds", "instances"}
    assert needs["features"] == {"features", "padded_target", "name"}


@pytest.mark.parametrize("name", [name for name in every_measure() if name not in ("object_scale", "features")])
def test_nothing_is_read_on_the_host(name) -> None:
    """Tensors of the meta device have no values, so every read of one, and every shape made of values, would raise."""
    measure = every_measure()[name].to("meta")
    seen = {key: value.to("meta") for key, value in images()._asdict().items() if key in measure.needs}
    measure.update(**seen)
    measure.compute()


def test_splits_without_labels_have_no_scores() -> None:
    measures, seen = every_measure(), images()
    empty = seen._replace(
        target=torch.full_like(seen.target, 255), padded_target=torch.full_like(seen.padded_target, 255),
        instances=torch.zeros_like(seen.instances),
    )  # fmt: skip
    MetricCollection(measures, compute_groups=False).update(**empty._asdict())
    for name, measure in measures.items():
        assert all(math.isnan(score) for score in measure.report(NAMES).scores.values()), name

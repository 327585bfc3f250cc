"""iIoU of Cityscapes against the worked example and loops over instances."""

import math

import numpy as np
import pytest
import torch

from contextrast.data.labels import read_table
from contextrast.errors import ConfigError
from contextrast.metrics import CityscapesInstanceIoU, instance_iou
from contextrast.metrics.instance_iou import AVERAGE_SIZES, CATEGORIES, LABEL_IDS, instance_counts, instance_scores

NAN = math.nan


def grid(text):
    return torch.tensor([[int(value) for value in line.split()] for line in text.strip().splitlines()])[None]


INSTANCES_A = grid("""
    26000 26000 26001 26001 26001 26001
    26000 26000 26001 26001 26001 26001
       26    26     7     7     0     0
    24000 24000     7     7 30000 30000""")
PREDICTION_A = grid("""
    26 26 26 26 26  7
    26  7 26 26 28  7
    26  7  7 26 26  7
    24 25  7  7 26  7""")
INSTANCES_B = grid("""
    25000 25000 33000 33000
    25000 24000 33000 33000
        7    23    24     4""")
PREDICTION_B = grid("""
    25 24 33 33
    25 24 33  7
    25 23 24 24""")
PAIRS = ((PREDICTION_A, INSTANCES_A), (PREDICTION_B, INSTANCES_B))


def train_ids(label_ids):
    lookup = {label: train_id for train_id, label in enumerate(LABEL_IDS)}
    return label_ids.clone().apply_(lambda label: lookup.get(label, 255))


def test_the_worked_example() -> None:
    measure = CityscapesInstanceIoU()
    for prediction, instances in PAIRS:
        measure.update(train_ids(prediction), instances)
    confusion = {
        (0, 7): 1, (0, 26): 1, (4, 24): 1, (7, 7): 3, (7, 25): 1, (7, 26): 1, (23, 23): 1, (24, 24): 3, (24, 25): 1,
        (25, 24): 1, (25, 25): 2, (26, 7): 4, (26, 26): 9, (26, 28): 1, (30, 7): 1, (30, 26): 1, (33, 7): 1,
        (33, 33): 3,
    }  # fmt: skip
    assert {
        tuple(cell): int(measure.confusion[tuple(cell)]) for cell in measure.confusion.nonzero().tolist()
    } == confusion
    hits, misses, category_hits, category_misses = measure.weighted
    for label, hit, miss in (
        (24, 5193.7134506466, 1731.2378168822), (25, 2620.319203767867, 1310.1596018839334),
        (26, 17591.777876500437, 7996.262671136562), (28, 0, 0), (33, 3504.243691669575, 1168.081230556525),
    ):  # fmt: skip
        assert float(hits[label]) == pytest.approx(hit, rel=1e-13)
        assert float(misses[label]) == pytest.approx(miss, rel=1e-13)
    human, vehicle = ([label for label in CATEGORIES[name] if label in LABEL_IDS] for name in ("human", "vehicle"))
    assert float(category_hits[human].sum()) == pytest.approx(10855.4300731806, rel=1e-13)
    assert float(category_misses[human].sum()) == 0
    assert float(category_hits[vehicle].sum()) == pytest.approx(22695.27410239732, rel=1e-13)
    assert float(category_misses[vehicle].sum()) == pytest.approx(7565.091367465775, rel=1e-13)
    report = measure.report([str(label) for label in LABEL_IDS])
    expected = {
        24: 0.7498917116261681, 25: 0.6663276099547991, 26: 0.6874731330294029, 28: 0.0, 33: 0.75,
    }  # fmt: skip
    assert report.per_class["iiou"] == pytest.approx([expected.get(label, NAN) for label in LABEL_IDS], nan_ok=True)
    assert report.scores["iiou"] == pytest.approx(0.570738490922074, rel=1e-14)
    assert report.scores["iiou_category"] == pytest.approx(0.8749415523065112, rel=1e-14)
    assert report.scores["miou_category"] == pytest.approx(0.7148026315789473, rel=1e-14)
    categories = {name: tuple(values.values()) for name, values in report.groups.items()}
    assert categories == {
        "flat": pytest.approx((0.3, NAN), nan_ok=True),
        "construction": pytest.approx((NAN, NAN), nan_ok=True),
        "object": pytest.approx((NAN, NAN), nan_ok=True),
        "nature": pytest.approx((NAN, NAN), nan_ok=True),
        "sky": pytest.approx((1.0, NAN), nan_ok=True),
        "human": pytest.approx((0.875, 0.9999078886896282)),
        "vehicle": pytest.approx((0.6842105263157895, 0.7499752159233942)),
    }


def slow_scores(pairs):
    """The definition, instance by instance: iIoU of classes and categories, and plain IoU of categories."""
    confusion = np.zeros((34, 34))
    instances = []
    for prediction, ids in pairs:
        prediction, ids = prediction.numpy(), ids.numpy()
        for value in np.unique(ids):
            label = value // 1000 if value >= 1000 else value
            for predicted in prediction[ids == value]:
                confusion[label, predicted] += 1
            if value > 1000 and label in LABEL_IDS:
                instances.append((label, prediction[ids == value]))
    evaluated = list(LABEL_IDS)

    def score(hit, miss, false_positive):
        whole = hit + miss + false_positive
        return hit / whole if whole else NAN

    classes = []
    for label in evaluated:
        own = [pixels for other, pixels in instances if other == label]
        weights = [AVERAGE_SIZES.get(label, NAN) / len(pixels) for pixels in own]
        hit = sum(w * (pixels == label).sum() for w, pixels in zip(weights, own, strict=True))
        miss = sum(w * (pixels != label).sum() for w, pixels in zip(weights, own, strict=True))
        wrong = sum(confusion[other, label] for other in evaluated if other != label)
        classes.append(score(hit, miss, wrong) if label in AVERAGE_SIZES else NAN)
    plain, weighted = [], []
    for name, labels in CATEGORIES.items():
        inner = [label for label in labels if label in evaluated]
        outer = [label for label in evaluated if label not in labels]
        hit = confusion[np.ix_(inner, inner)].sum()
        plain.append(score(hit, confusion[inner].sum() - hit, confusion[np.ix_(outer, inner)].sum()))
        own = [(AVERAGE_SIZES[label] / len(p), np.isin(p, labels)) for label, p in instances if label in inner]
        hit, miss = sum(w * inside.sum() for w, inside in own), sum(w * (~inside).sum() for w, inside in own)
        wrong = confusion[np.ix_(outer, labels)].sum()
        weighted.append(score(hit, miss, wrong) if name in ("human", "vehicle") else NAN)
    return classes, plain, weighted


@pytest.mark.parametrize("seed", range(5))
def test_random_maps_against_loops_over_instances(seed) -> None:
    """With groups, void, ignored classes with instances, and predictions of ignored labels such as caravan."""
    generator = torch.Generator().manual_seed(seed)
    values = [0, 4, 7, 8, 9, 11, 20, 23, 24, 26, 33, *(label * 1000 + n for label in range(24, 34) for n in (0, 1, 7))]

    def random(choices):
        drawn = torch.randint(len(choices), (2, 5, 7), generator=generator)
        return torch.tensor(choices)[drawn].repeat_interleave(2, 1)

    instances = random(values)
    prediction = torch.where(random([0, 1, 1]) == 1, torch.where(instances >= 1000, instances // 1000, instances), 0)
    prediction = torch.where(prediction == 0, random(range(34)), prediction)
    scores = instance_scores(instance_counts(prediction, instances.int()))
    for found, expected in zip(scores, slow_scores(zip(prediction, instances, strict=True)), strict=True):
        assert found.tolist() == pytest.approx(expected, nan_ok=True, rel=1e-12)


def test_constants_are_those_of_the_label_table() -> None:
    labels = [label for label in read_table("cityscapes")["labels"] if label["id"] >= 0]
    assert [
        label["id"] for label in sorted(labels, key=lambda label: label["train_id"]) if label["train_id"] < 19
    ] == list(LABEL_IDS)
    for name, ids in CATEGORIES.items():
        assert [label["id"] for label in labels if label["category"] == name] == list(ids)
    with_instances = {label["id"] for label in labels if label["has_instances"]}
    assert {label for label in with_instances if label in LABEL_IDS} == set(AVERAGE_SIZES)
    assert {name for name, ids in CATEGORIES.items() if with_instances >= set(ids)} == set(instance_iou.WITH_INSTANCES)


def test_other_classes_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"19 classes of Cityscapes, the data has 11"):
        CityscapesInstanceIoU(11)

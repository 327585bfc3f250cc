"""iIoU: the instance-level IoU of Cityscapes, for classes and categories (``evalPixelLevelSemanticLabeling.py``)."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from contextrast.data.labels import IGNORE_INDEX, read_table
from contextrast.errors import ConfigError
from contextrast.metrics.counts import histogram, is_class, to_ids
from contextrast.metrics.measure import Measure, Report

NUM_LABEL_IDS: Final = 34
"""Label ids are 0..33; 0 is unlabeled."""

_LABELS: Final = [one for one in read_table("cityscapes")["labels"] if one["category"] != "void" and one["id"] >= 0]

LABEL_IDS: Final = tuple(label["id"] for label in _LABELS if label["train_id"] != IGNORE_INDEX)
"""Label id of each train id: the evaluated classes."""

AVERAGE_SIZES: Final = {
    24: 3462.4756337644,  # person
    25: 3930.4788056518,  # rider
    26: 12794.0202738185,  # car
    27: 27855.1264367816,  # truck
    28: 35732.1511111111,  # bus
    31: 67583.7075812274,  # train
    32: 6298.7200839748,  # motorcycle
    33: 4672.3249222261,  # bicycle
}
"""Mean pixels of an instance at 1024x2048, by label id of the evaluated classes with instances. Never rescaled."""

CATEGORIES: Final = {
    name: tuple(label["id"] for label in _LABELS if label["category"] == name)
    for name in dict.fromkeys(label["category"] for label in _LABELS)
}
"""Label ids of each category, ignored ones included."""

WITH_INSTANCES: Final = ("human", "vehicle")
"""Categories all of whose labels have instances."""

_NUMBERS: Final = 1000  # instance id = label id * 1000 + number


class InstanceCounts(NamedTuple):
    """What the scores are made of, by label id; all of it sums over images.

    Attributes:
        confusion: Pixels of label ``row`` predicted as label ``column``. int64 ``[34, 34]``
        hits: Over the instances of a label, the share of pixels predicted as that label, times the label's average
            size. float64 ``[34]``
        misses: The same for pixels predicted otherwise.
        category_hits: The same for pixels predicted as any label of the instance's category.
        category_misses: The same for pixels predicted as a label of another category.
    """

    confusion: Tensor
    hits: Tensor
    misses: Tensor
    category_hits: Tensor
    category_misses: Tensor


class InstanceScores(NamedTuple):
    """Scores by `LABEL_IDS` (19) and `CATEGORIES` (7), float64; NaN where undefined.

    Attributes:
        iiou: iIoU of the classes; NaN for those without instances. ``[19]``
        category_iou: Plain IoU of the categories. ``[7]``
        category_iiou: iIoU of the categories; NaN for those without instances. ``[7]``
    """

    iiou: Tensor
    category_iou: Tensor
    category_iiou: Tensor


def instance_counts(prediction: Tensor, instances: Tensor) -> InstanceCounts:
    """Count a batch, without reading a value on the host.

    Each instance weighs as much as one of its class's average size. Groups (plain label ids of classes with instances)
    belong to no instance.

    Args:
        prediction: Label ids 0..33, integer ``[B, H, W]``.
        instances: Instance ids, int32 or int64 ``[B, H, W]``: label id * 1000 + number of the instance, or the plain
            label id of what has no instances or is a group.
    """
    prediction, instances = prediction.long(), instances.long()
    batch, bins = instances.shape[0], NUM_LABEL_IDS * _NUMBERS
    single = instances >= _NUMBERS
    label = torch.where(single, instances // _NUMBERS, instances)
    labelled = is_class(label, NUM_LABEL_IDS)
    confusion = histogram(label * NUM_LABEL_IDS + prediction, labelled, NUM_LABEL_IDS**2)
    # One histogram of fixed size over all instance ids there can be; the same id in two images is two instances.
    place = instances + bins * torch.arange(batch, device=instances.device).view(-1, 1, 1)
    category = _categories(instances.device)
    counted = single & labelled
    right = prediction == label
    related = category[prediction] == category[label.clamp(0, NUM_LABEL_IDS - 1)]
    size, hits, category_hits = (
        histogram(place, counted & which, batch * bins).view(batch, NUM_LABEL_IDS, _NUMBERS).double()
        for which in (counted, right, related)
    )
    weight = _average_sizes(instances.device)[:, None] / size.clamp_min(1)
    return InstanceCounts(
        confusion.view(NUM_LABEL_IDS, NUM_LABEL_IDS),
        *((weight * pixels).sum((0, 2)) for pixels in (hits, size - hits, category_hits, size - category_hits)),
    )


def instance_scores(counts: InstanceCounts) -> InstanceScores:
    """Turn summed counts into iIoU = iTP / (iTP + FP + iFN); FP are plain pixels of evaluated labels.

    Categories: their FP are pixels of evaluated labels outside the category, predicted as any label inside it. Plain
    category IoU counts evaluated labels only, with all their pixels below the line.
    """
    confusion = counts.confusion.double()
    evaluated = torch.zeros_like(confusion[0]).index_fill_(0, _tensor(LABEL_IDS, confusion), 1)
    correct = confusion.diagonal()
    false_positive = (evaluated @ confusion) - evaluated * correct
    iiou = counts.hits / (counts.hits + false_positive + counts.misses)
    iiou = torch.where(_average_sizes(confusion.device) > 0, iiou, torch.nan)
    plain, weighted = [], []
    for name, ids in CATEGORIES.items():
        inside = torch.zeros_like(evaluated).index_fill_(0, _tensor(ids, confusion), 1)
        inner, outer = inside * evaluated, evaluated * (1 - inside)
        plain.append(inner @ confusion @ inner / ((inner @ confusion).sum() + outer @ confusion @ inner))
        hits, misses = (inside @ values for values in (counts.category_hits, counts.category_misses))
        score = hits / (hits + outer @ confusion @ inside + misses)
        weighted.append(score if name in WITH_INSTANCES else torch.full_like(score, torch.nan))
    return InstanceScores(iiou[list(LABEL_IDS)], torch.stack(plain), torch.stack(weighted))


class CityscapesInstanceIoU(Measure):
    """iIoU of Cityscapes: IoU in which large instances do not drown small ones.

    Labels come from the instance ids alone; counts are summed over the images before any division. Predictions have to
    be at full resolution for numbers to be comparable, since the average sizes are constants.

    Args:
        num_classes: 19; predicted ids outside 0..18 count as unlabeled.
        **kwargs: Passed to ``torchmetrics.Metric``.

    Raises:
        ConfigError: If the classes are not those of Cityscapes.
    """

    confusion: Tensor
    weighted: Tensor

    needs = frozenset({"preds", "instances"})

    def __init__(self, num_classes: int = len(LABEL_IDS), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if num_classes != len(LABEL_IDS):
            raise ConfigError(
                f"metrics.iiou is defined for the {len(LABEL_IDS)} classes of Cityscapes, the data has {num_classes}. "
                "Leave iiou out of metrics=[...]."
            )
        self.num_classes = num_classes
        self.add_state("confusion", torch.zeros(NUM_LABEL_IDS, NUM_LABEL_IDS, dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("weighted", torch.zeros(4, NUM_LABEL_IDS, dtype=torch.double), dist_reduce_fx="sum")

    def update(self, preds: Tensor, instances: Tensor) -> None:
        """Count one batch; see `Measure` and `instance_counts`."""
        train_ids = to_ids(preds, instances, self.num_classes).long()
        known = is_class(train_ids, self.num_classes)
        label_ids = _tensor(LABEL_IDS, instances)[torch.where(known, train_ids, 0)]
        counts = instance_counts(torch.where(known, label_ids, 0), instances)
        self.confusion += counts.confusion
        self.weighted += torch.stack(counts[1:])

    def compute(self) -> InstanceScores:
        """Scores of classes and categories."""
        return instance_scores(InstanceCounts(self.confusion, *self.weighted))

    def report(self, classes: Sequence[str]) -> Report:  # noqa: ARG002  # names come with the table
        """Scores ``iiou``, ``iiou_category`` and ``miou_category``, with the values of classes and categories."""
        scores: InstanceScores = self.compute()
        pairs = zip(scores.category_iou.tolist(), scores.category_iiou.tolist(), strict=True)
        return Report(
            convention="as Cityscapes' own evaluation: pixels of an instance weigh average size of its class / its "
            "size, false positives are plain pixels",
            scores={
                "iiou": scores.iiou.nanmean().item(),
                "iiou_category": scores.category_iiou.nanmean().item(),
                "miou_category": scores.category_iou.nanmean().item(),
            },
            per_class={"iiou": scores.iiou.tolist()},
            groups={name: {"IoU": iou, "iIoU": iiou} for name, (iou, iiou) in zip(CATEGORIES, pairs, strict=True)},
        )


def _tensor(values: Sequence[int], like: Tensor) -> Tensor:
    return torch.tensor(values, device=like.device)


def _average_sizes(device: torch.device) -> Tensor:
    """Average size by label id, 0 for labels without instances and for ignored ones, float64 ``[34]``."""
    sizes = [AVERAGE_SIZES.get(label, 0.0) for label in range(NUM_LABEL_IDS)]
    return torch.tensor(sizes, dtype=torch.double, device=device)


def _categories(device: torch.device) -> Tensor:
    """Position in `CATEGORIES` by label id, -1 for void, int64 ``[34]``."""
    places = {label: place for place, ids in enumerate(CATEGORIES.values()) for label in ids}
    return torch.tensor([places.get(label, -1) for label in range(NUM_LABEL_IDS)], device=device)

"""mIoU of frequent, less frequent and rare classes."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from typing_extensions import override

from contextrast.errors import ConfigError
from contextrast.metrics.counts import confusion_counts, iou_from_counts, to_ids
from contextrast.metrics.measure import Measure, Report, Subject

Groups = Mapping[str, Sequence[int]]
"""Train ids of the classes of each group."""


def group_means(iou: Tensor, groups: Groups) -> dict[str, Tensor]:
    """Mean of each group's IoUs that are not NaN.

    Args:
        iou: ``[N]``.
        groups: Train ids by group.

    Returns:
        Scalars; NaN for a group without a class that occurs.
    """
    return {name: iou[list(ids)].nanmean() for name, ids in groups.items()}


class HeadMidTail(Measure):
    """mIoU of the head, mid and tail classes: those frequent in the training labels, those less so, and rare ones.

    Classes sorted by pixel frequency, most frequent first and ties by train id, are cut into three consecutive groups
    of near-equal size, extra ones to the earlier groups (`contextrast.data.LabelTable.groups`).

    Args:
        num_classes: N.
        groups: Train ids of each group.
        histogram: ``check.json`` of ``contextrast-check``, whose groups are counted on the training labels at hand;
            it takes precedence.
        **kwargs: Passed to ``torchmetrics.Metric``.

    Raises:
        ConfigError: If no groups are known, or they do not hold every class once.
    """

    counts: Tensor

    def __init__(
        self,
        num_classes: int,
        groups: Groups | None = None,
        histogram: str | Path | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if histogram is not None:
            groups = read_groups(Path(histogram))
        if groups is None:
            raise ConfigError(
                "metrics.head_mid_tail needs the classes' frequencies, which are not known for this dataset. Count "
                "them by contextrast-check and give metrics.head_mid_tail.histogram=PATH/check.json."
            )
        if sorted(train_id for ids in groups.values() for train_id in ids) != list(range(num_classes)):
            raise ConfigError(
                f"metrics.head_mid_tail: the groups {dict(groups)} do not hold each of the train ids "
                f"0..{num_classes - 1} once" + (f"; they are those of {histogram}." if histogram else ".")
            )
        self.num_classes = num_classes
        self.groups = {name: tuple(ids) for name, ids in groups.items()}
        counts = torch.zeros(num_classes, num_classes + 1, dtype=torch.long)
        self.add_state("counts", counts, dist_reduce_fx="sum")

    @classmethod
    @override
    def of(cls, subject: Subject, **settings: Any) -> Self | None:
        """The measure, with the groups that the dataset is known to have."""
        return cls(subject.num_classes, subject.groups, **settings)

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count one batch; see `Measure`."""
        self.counts += confusion_counts(to_ids(preds, target, self.num_classes), target, self.num_classes)

    def compute(self) -> dict[str, Tensor]:
        """Mean IoU of each group, scalars in float64."""
        return group_means(iou_from_counts(self.counts), self.groups)

    def report(self, classes: Sequence[str]) -> Report:
        """Scores ``miou_head``, ``miou_mid`` and ``miou_tail``, and which classes these are."""
        scores: dict[str, Tensor] = self.compute()
        means = {name: score.item() for name, score in scores.items()}
        return Report(
            convention="mean IoU of three near-equal groups of classes by pixel frequency in the training labels",
            scores={f"miou_{name}": value for name, value in means.items()},
            groups={name: {"mIoU": value, "classes": len(self.groups[name])} for name, value in means.items()},
            details={"classes": {name: [classes[train_id] for train_id in ids] for name, ids in self.groups.items()}},
        )


class HeadMidTailWhereKnown(HeadMidTail):
    """The same measure, left out where neither groups nor histogram are known."""

    @classmethod
    @override
    def of(cls, subject: Subject, **settings: Any) -> Self | None:
        """The measure or None."""
        return super().of(subject, **settings) if subject.groups or settings.get("histogram") else None


def read_groups(path: Path) -> Groups:
    """The groups in a ``check.json``.

    Raises:
        ConfigError: If there is no such file, or it has none.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        groups = {str(name): [int(train_id) for train_id in ids] for name, ids in content["groups"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"metrics.head_mid_tail.histogram={path} has no groups of classes ({type(error).__name__}: {error}). Give "
            "the check.json that contextrast-check writes for a dataset with training labels."
        ) from error
    return groups

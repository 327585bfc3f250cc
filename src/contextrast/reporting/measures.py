"""What comparisons look at: the co-primary measures, fixed beforehand, and any other score by its key."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from contextrast.runs.records import value_of

Floats = NDArray[np.float64]
Metrics = Mapping[str, Any] | None


@dataclass(frozen=True)
class Measure(ABC):
    """A score of a run, a fraction.

    Attributes:
        key: What ``--metric`` calls it.
        heading: What tables call it.
    """

    key: str
    heading: str

    @abstractmethod
    def value(self, metrics: Metrics) -> Any:
        """The score in what a run measured; None where it is not recorded."""

    def of_images(self, whole: Floats, band: Floats, classes: Sequence[str]) -> Floats | None:  # noqa: ARG002
        """The score from counts of images.

        Args:
            whole: Pixels by class, found, labelled and predicted ``[..., 3, N]``.
            band: The same near class boundaries.
            classes: N names.

        Returns:
            ``[...]``; None where counts of images do not give it.
        """
        return None


@dataclass(frozen=True)
class Keyed(Measure):
    """Any number of ``metrics.json``, by its dotted key."""

    @override
    def value(self, metrics: Metrics) -> Any:
        """The number."""
        return value_of(metrics, self.key)


@dataclass(frozen=True)
class MeanIoU(Keyed):
    """Mean IoU of the classes that occur, of whole images or of the band near boundaries.

    Attributes:
        path: Dotted key of the score in ``metrics.json``.
        part: What is counted.
    """

    path: str
    part: Literal["whole", "band"]

    @override
    def value(self, metrics: Metrics) -> Any:
        """The score."""
        return value_of(metrics, self.path)

    @override
    def of_images(self, whole: Floats, band: Floats, classes: Sequence[str]) -> Floats:
        """The score from counts of images."""
        return _mean(_iou({"whole": whole, "band": band}[self.part]))


@dataclass(frozen=True)
class ThinMeanIoU(Measure):
    """Mean IoU of the thin classes that occur.

    Attributes:
        classes: Their names; None takes the dataset's own, see `thin_classes`.
    """

    classes: Sequence[str] | None = None

    @override
    def value(self, metrics: Metrics) -> Any:
        """The score; None where classes are not recorded, or none of them is known to be thin."""
        iou = value_of(metrics, "iou")
        if not isinstance(iou, Mapping):
            return None
        values = [iou[name] for name in self._thin(list(iou)) if isinstance(iou.get(name), int | float)]
        return float(np.mean(values)) if values else None

    @override
    def of_images(self, whole: Floats, band: Floats, classes: Sequence[str]) -> Floats | None:
        """The score from counts of images."""
        places = [place for place, name in enumerate(classes) if name in self._thin(classes)]
        return _mean(_iou(whole)[..., places]) if places else None

    def _thin(self, classes: Sequence[str]) -> Sequence[str]:
        return thin_classes(tuple(classes)) if self.classes is None else self.classes


@dataclass(frozen=True)
class PixelAccuracy(Keyed):
    """Share of labelled pixels that are found."""

    @override
    def of_images(self, whole: Floats, band: Floats, classes: Sequence[str]) -> Floats:
        """The score from counts of images."""
        found: Floats = whole[..., 0, :].sum(-1) / whole[..., 1, :].sum(-1)
        return found


MIOU: Final = MeanIoU("miou", "mIoU", "miou", "whole")


def co_primary(thin: Sequence[str] | None = None) -> list[Measure]:
    """The measures that every comparison reports side by side.

    Args:
        thin: Names of thin classes; None takes those in the dataset's facts.
    """
    return [
        MIOU,
        ThinMeanIoU("thin", "thin mIoU", thin),
        MeanIoU("b_miou", "B-mIoU", "b_miou.b_miou_3", "band"),
        PixelAccuracy("pixel_accuracy", "pixel acc."),
    ]


@cache
def thin_classes(classes: tuple[str, ...]) -> tuple[str, ...]:
    """The thin classes in the facts of the dataset that has just these classes; none where there is no list."""
    for path in (files("contextrast") / "data" / "tables").iterdir():  # without the imports of contextrast.data
        content = json.loads(path.read_text("utf-8"))
        if tuple(content.get("classes", ())) == classes:
            return tuple(content.get("thin", ()))
    return ()


def _iou(pixels: Floats) -> Floats:
    """IoU of each class, ``[..., N]``, from pixels found, labelled and predicted ``[..., 3, N]``; NaN if absent."""
    found, labelled, predicted = (pixels[..., place, :] for place in range(3))
    union = labelled + predicted - found
    iou: Floats = np.divide(found, union, out=np.full(union.shape, np.nan), where=union > 0)
    return iou


def _mean(iou: Floats) -> Floats:
    """Mean of the classes that occur, ``[...]``; NaN where none does."""
    occurs = np.isfinite(iou)
    total = np.where(occurs, iou, 0).sum(-1)
    mean: Floats = np.divide(total, occurs.sum(-1), out=np.full(total.shape, np.nan), where=occurs.any(-1))
    return mean

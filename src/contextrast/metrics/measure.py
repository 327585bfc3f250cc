"""What all measures beside plain mIoU have in common: a sentence that defines them, and results with names."""

import inspect
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torchmetrics import Metric


@dataclass(frozen=True)
class Report:
    """What a measure found, as plain numbers for tables, files and loggers. NaN stands for what is undefined.

    Attributes:
        convention: The definition in a sentence; numbers of different conventions cannot be compared.
        scores: The numbers to quote, by names that no other measure uses.
        per_class: Columns of one value per class, by name.
        groups: A small table: columns by row, for what is not measured class by class.
        details: Further plain containers for files, by name.
        fractions: Whether the floating point numbers are fractions, shown in percent.
    """

    convention: str
    scores: Mapping[str, float]
    per_class: Mapping[str, Sequence[float]] = field(default_factory=dict)
    groups: Mapping[str, Mapping[str, float | int]] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    fractions: bool = True


class Measure(Metric):  # type: ignore[misc]  # mypy does not follow torchmetrics
    """A torchmetrics metric of fixed size that can say what it found.

    Its ``update`` takes, by name, what it needs of the following; ``torchmetrics.MetricCollection`` hands each of
    several measures what it takes.

    * ``preds``: predicted ids ``[B, H, W]``, or logits ``[B, N, H, W]``
    * ``target``: train ids ``[B, H, W]``
    * ``instances``: instance ids ``[B, H, W]``
    * ``features``: a map ``[B, C_i, H_i, W_i]`` for each encoder stage
    * ``padded_target``: train ids ``[B, H', W']``, at the size of the padded images that the features come from
    * ``name``: names of the B samples
    """

    @property
    def needs(self) -> frozenset[str]:
        """Names of what ``update`` takes."""
        return frozenset(inspect.signature(type(self).update).parameters) - {"self"}

    @abstractmethod
    def report(self, classes: Sequence[str]) -> Report:
        """What was found since the last ``reset()``, over all processes.

        Args:
            classes: N class names in the order of their train ids.
        """

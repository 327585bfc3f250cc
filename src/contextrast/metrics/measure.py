"""What all measures beside plain mIoU have in common: what they are given, their definition in a sentence, results."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, NamedTuple, Self

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


class Subject(NamedTuple):
    """What is evaluated, as far as measures know it before the first image.

    Attributes:
        num_classes: N.
        groups: Train ids of the head, mid and tail classes; None where their frequencies are not known.
        stages: Names of the feature maps that the network shows.
        channels: Channels C_i of each.
    """

    num_classes: int
    groups: Mapping[str, Sequence[int]] | None = None
    stages: Sequence[str] = ()
    channels: Sequence[int] = ()


GIVEN: Final = frozenset({"preds", "target", "instances", "features", "padded_target", "name"})
"""Names of what a measure can be updated with, see `Measure`."""


class Measure(Metric):  # type: ignore[misc]  # mypy does not follow torchmetrics
    """A torchmetrics metric of fixed size that can say what it found.

    Evaluation makes it with :meth:`of`, and calls ``update`` for every batch with what it :attr:`needs`, by name:

    * ``preds``: predicted ids ``[B, H, W]``, or logits ``[B, N, H, W]``
    * ``target``: train ids ``[B, H, W]``
    * ``instances``: instance ids ``[B, H, W]``
    * ``features``: a map ``[B, C_i, H_i, W_i]`` for each feature map that the network shows
    * ``padded_target``: train ids ``[B, H', W']``, at the size of the padded images that the features come from
    * ``name``: names of the B samples

    Attributes:
        needs: Which of these, and no others.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"preds", "target"})

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if unknown := sorted(set(cls.needs) - GIVEN):
            raise TypeError(f"{cls.__name__}.needs has {', '.join(unknown)}; measures get {', '.join(sorted(GIVEN))}")

    @classmethod
    def of(cls, subject: Subject, **settings: Any) -> Self | None:
        """The measure for what is evaluated; those that need more than the number of classes have their own.

        Args:
            subject: What is evaluated.
            **settings: Its settings in YAML.

        Returns:
            None where it is to be left out.
        """
        return cls(num_classes=subject.num_classes, **settings)

    @abstractmethod
    def report(self, classes: Sequence[str]) -> Report:
        """What was found since the last ``reset()``, over all processes.

        Args:
            classes: N class names in the order of their train ids.
        """

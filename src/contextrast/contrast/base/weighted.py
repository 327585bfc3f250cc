"""Several losses of logits and target as one: what every training loss stands on."""

import re
from collections.abc import Mapping
from inspect import signature
from typing import Self

from torch import Tensor, nn

from contextrast.contrast.base.cross_entropy import CrossEntropy
from contextrast.contrast.state import Stateful
from contextrast.errors import ConfigError, check_number


class WeightedLosses(Stateful):
    """Weighted sum of named losses of logits and target.

    Args:
        weights: Weight of each loss by its name.
        **losses: The losses by name: modules called on logits ``[B, N, H, W]`` and target ``[B, H, W]`` that return a
            scalar. None leaves one out, with its weight.

    Raises:
        ConfigError: If there is no loss, a weight is missing, no finite number or negative, or has no loss.
    """

    def __init__(self, weights: Mapping[str, float], **losses: nn.Module | None) -> None:
        super().__init__()
        left_out = {name for name, loss in losses.items() if loss is None}
        weights = {name: weight for name, weight in weights.items() if name not in left_out}
        kept = {name: loss for name, loss in losses.items() if loss is not None}
        if not kept or set(weights) != set(kept):
            raise ConfigError(
                f"weights must have one for each of the losses, {', '.join(kept) or 'none'}, got weights for "
                f"{', '.join(weights) or 'none'} (loss/base=NAME chooses a file that brings a loss and its weight)"
            )
        for name, weight in weights.items():
            check_number(f"weights.{name}", weight)
        self.weights = dict(weights)
        self.losses = nn.ModuleDict(kept)

    @classmethod
    def of(cls, base: nn.Module | None, ignore_index: int | None = 255) -> Self:
        """A loss by itself, named after its class: ``CrossEntropy`` becomes ``cross_entropy``.

        Args:
            base: The loss; weighted ones are taken as they are, None is plain cross-entropy.
            ignore_index: Label of pixels that take part in nothing, where no loss is given; None if there is no such
                label.
        """
        if isinstance(base, cls):
            return base
        # torch's cross-entropy knows no None: its own default, which no pixel has.
        loss = CrossEntropy(ignore_index=-100 if ignore_index is None else ignore_index) if base is None else base
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(loss).__name__).lower()
        return cls({name: 1.0}, **{name: loss})

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The weighted sum of logits ``[B, N, H, W]`` against ``[B, H, W]``, a scalar."""
        return self.total(self.terms(logits, target))

    def terms(self, logits: Tensor, target: Tensor, weight: Tensor | None = None) -> dict[str, Tensor]:
        """The losses by name, unweighted.

        Args:
            logits: ``[B, N, H, W]``.
            target: ``[B, H, W]``.
            weight: Weight of every pixel, ``[B, H, W]``, where losses can weigh pixels.

        Raises:
            ConfigError: If pixels have weights and a loss knows none, as losses of regions.
        """
        if weight is None:
            return {name: loss(logits, target) for name, loss in self.losses.items()}
        for name, loss in self.losses.items():
            if "weight" not in signature(loss.forward).parameters:
                raise ConfigError(
                    f"weight: the base's {name} does not weigh pixels, CrossEntropy does; choose it, or leave pixels "
                    "out by the ignore index"
                )
        return {name: loss(logits, target, weight) for name, loss in self.losses.items()}

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum of what :meth:`terms` returned."""
        first, *others = (weight * terms[name] for name, weight in self.weights.items())
        return sum(others, first)

"""What every training loss has in common: a base, such as cross-entropy, alone or with a contrast, as one interface."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn

from contextrast.contrast.base import WeightedLosses
from contextrast.contrast.inputs import check_features, checked_labels, checked_weight
from contextrast.contrast.state import Stateful
from contextrast.errors import ConfigError, check_number


def nothing_to_diagnose() -> dict[str, Tensor]:
    """The diagnostics of a loss without a contrast."""
    return {}


@dataclass(frozen=True)
class LossTerms(Mapping[str, Tensor]):
    """Named loss terms; a mapping over ``total`` and the terms.

    Attributes:
        total: What to call ``backward`` on, scalar.
        terms: The unweighted scalar terms that make it up, by name.
        weighted: The scalars whose sum it is, by where they come from: ``base`` and ``contrast``. What does not say so
            leaves it empty; no ratio of gradients is then to be had.
        diagnose: Computes detached values by name: scalars, ``[I]`` with one per stage, ``[I, N]`` with one per stage
            and class. It costs about a forward pass of the contrast, and has to be called before the optimiser's step.
    """

    total: Tensor
    terms: dict[str, Tensor]
    weighted: dict[str, Tensor] = field(default_factory=dict)
    diagnose: Callable[[], dict[str, Tensor]] = nothing_to_diagnose

    def __getitem__(self, name: str) -> Tensor:
        return self.total if name == "total" else self.terms[name]

    def __iter__(self) -> Iterator[str]:
        return iter(("total", *self.terms))

    def __len__(self) -> int:
        return 1 + len(self.terms)


class SegmentationLoss(Stateful):
    """What is common to a base alone and to one with a contrast: the base, and what it can be called with.

    Args:
        num_classes: N.
        base: A module of logits ``[B, N, H, W]`` and target ``[B, H, W]``, such as :class:`WeightedLosses`; plain
            cross-entropy if not given.
        ignore_index: Label of pixels that take part in nothing, which is the base's, too; None if there is none.

    Raises:
        ConfigError: If the base ignores another label.
    """

    def __init__(self, num_classes: int, base: nn.Module | None, ignore_index: int | None) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.base = WeightedLosses.of(base, ignore_index)
        for name, part in self.base.losses.named_modules():
            other = getattr(part, "ignore_index", ignore_index)
            if ignore_index is not None and other != ignore_index:
                raise ConfigError(f"base.{name} must have the ignore_index {ignore_index} of the loss, got {other}")


class CrossEntropyLoss(SegmentationLoss):
    """A base alone, cross-entropy or another one, behind the interface of :class:`ContextrastLoss`: the baseline.

    Args:
        num_classes: N.
        in_channels: Channels of the encoder stages; not used.
        base: A module of logits ``[B, N, H, W]`` and target ``[B, H, W]``, such as :class:`WeightedLosses`; plain
            cross-entropy if not given.
        ignore_index: Label of pixels that take part in nothing, which is the base's, too; None if there is none.

    Raises:
        ConfigError: If the base ignores another label.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: Sequence[int] = (),  # noqa: ARG002  (every loss is built from the same facts of the network)
        base: nn.Module | None = None,
        ignore_index: int | None = 255,
    ) -> None:
        super().__init__(num_classes, base, ignore_index)

    def forward(
        self,
        logits: Tensor,
        target: Tensor,
        features: Sequence[Tensor] = (),  # noqa: ARG002  (what a contrastive loss is called with)
        weight: Tensor | None = None,
    ) -> LossTerms:
        """Loss of logits ``[B, N, H, W]`` against ``[B, H, W]``; features are not used.

        Args:
            logits: ``[B, N, H, W]``.
            target: ``[B, H, W]``.
            features: Not used.
            weight: Weight of every pixel, ``[B, H, W]``, as of pseudo-labels; all equal if not given.

        Raises:
            ConfigError: If logits, target and weight do not fit, see :func:`checked_labels`.
        """
        target = checked_labels(logits, target, self.num_classes, self.ignore_index)
        if weight is not None:
            weight, target = checked_weight(weight, target, self.ignore_index)
        terms = self.base.terms(logits, target, weight)
        total = self.base.total(terms)
        return LossTerms(total, terms, {"base": total}, nothing_to_diagnose)  # a compiler does not find the default


class Contrast(Protocol):
    """Contrastive terms on embeddings, as :class:`ContrastiveLoss` takes them.

    One with a true attribute ``any_length`` gets embeddings of any length from heads that have ``embed``; every other
    one gets what heads return, which is of unit length.
    """

    def __call__(
        self, embeddings: Sequence[Tensor], target: Tensor, prediction: Tensor, **weights: Tensor
    ) -> dict[str, Tensor]:
        """Unweighted scalar terms by name of embeddings ``[B, D, H_i, W_i]`` and labels ``[B, H, W]``.

        One whose attribute ``weighs_pixels`` is true is called with ``weight`` ``[B, H, W]``, where there is one.
        """
        ...

    def diagnose(self, embeddings: Sequence[Tensor], target: Tensor, prediction: Tensor) -> dict[str, Tensor]:
        """What tells a user whether the terms work, detached, by name: see :attr:`LossTerms.diagnose`."""
        ...


class ContrastiveLoss(SegmentationLoss):
    """L = L_base + α·Σ terms of a contrast on embeddings: the frame of every contrastive loss here.

    Add its parameters to the optimiser, call it on logits, target and encoder features, and :meth:`update` once after
    each optimiser step. The deployed network is untouched: the heads live here.

    Args:
        num_classes: N.
        heads: Turns encoder features into unit-length embeddings; by a method ``embed``, if it has one, into embeddings
            of any length, for contrasts that look at their direction alone.
        contrast: The contrastive terms, an ``nn.Module``.
        alpha: α, the weight of the terms.
        start_step: Optimiser steps before which α is 0.
        warmup_steps: Steps over which α rises linearly from there; 0 is none.
        base: A module of logits ``[B, N, H, W]`` and target ``[B, H, W]``, such as :class:`WeightedLosses`; plain
            cross-entropy if not given.
        ignore_index: Label of pixels that take part in nothing, which is the base's, too; None if there is none.

    Raises:
        ConfigError: If the base ignores another label, or a number is out of range.
    """

    step: Tensor
    contrast: Contrast

    def __init__(
        self,
        num_classes: int,
        heads: nn.Module,
        contrast: Contrast,
        alpha: float = 0.1,
        start_step: int = 0,
        warmup_steps: int = 0,
        base: nn.Module | None = None,
        ignore_index: int | None = 255,
    ) -> None:
        super().__init__(num_classes, base, ignore_index)
        check_number("alpha", alpha)
        check_number("start_step", start_step, whole=True)
        check_number("warmup_steps", warmup_steps, whole=True)
        self.alpha = alpha
        self.start_step = start_step
        self.warmup_steps = warmup_steps
        self.heads = heads
        self.contrast = contrast
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    def forward(
        self, logits: Tensor, target: Tensor, features: Sequence[Tensor] = (), weight: Tensor | None = None
    ) -> LossTerms:
        """Loss of one batch.

        Args:
            logits: ``[B, N, H, W]``, at the target's resolution.
            target: ``[B, H, W]`` class ids or the ignore index.
            features: Feature maps ``[B, C_i, H_i, W_i]``, shallowest first.
            weight: Weight of every pixel, ``[B, H, W]``, as of pseudo-labels; all equal if not given. The base's mean
                and Contextrast's means over positives are weighted ones. A pixel of weight 0 takes part in nothing.

        Returns:
            ``total``, and the terms of the base and those of the contrast.

        Raises:
            ConfigError: If an argument does not fit the loss or the others, see :func:`checked_labels` and
                :func:`check_features`.
        """
        target = checked_labels(logits, target, self.num_classes, self.ignore_index)
        if weight is not None:
            weight, target = checked_weight(weight, target, self.ignore_index)
        check_features(features, logits, self.step.device)
        # Where the contrast looks at directions alone, nobody has to make a normalised copy of the maps.
        embed = getattr(self.heads, "embed", self.heads) if getattr(self.contrast, "any_length", False) else self.heads
        embeddings = embed(features)
        prediction = logits.detach().max(1).indices  # several times as fast as argmax on a CPU
        weighs = getattr(self.contrast, "weighs_pixels", False)
        further = {} if weight is None or not weighs else {"weight": weight}
        terms = self.contrast(embeddings, target, prediction, **further)
        contrast = self.current_alpha() * torch.stack(list(terms.values())).sum()
        # After the contrast, so that its backward pass comes first and frees what it kept before the contrast's begins.
        base_terms = self.base.terms(logits, target, weight)
        base = self.base.total(base_terms)
        seen = [embedding.detach() for embedding in embeddings]
        return LossTerms(
            base + contrast,
            {**base_terms, **terms},
            {"base": base, "contrast": contrast},
            partial(self.contrast.diagnose, seen, target, prediction),
        )

    def current_alpha(self) -> Tensor:
        """α of this step, a scalar on the loss's device: the warm-up ends with the full value at its last step."""
        progress = (self.step + 1 - self.start_step) / max(1, self.warmup_steps)
        return self.alpha * progress.clamp(0.0, 1.0)

    def update(self) -> None:
        """Bring what outlives a step up to date, α's schedule included. Call after every optimiser step."""
        super().update()
        self.step += 1

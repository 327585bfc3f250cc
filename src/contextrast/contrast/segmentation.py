"""What every training loss has in common: a base such as cross-entropy, alone or with a contrast, one interface."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from contextrast.contrast.base import WeightedLosses


@dataclass(frozen=True)
class LossTerms(Mapping[str, Tensor]):
    """Named loss terms; a mapping over ``total`` and the terms.

    Attributes:
        total: What to call ``backward`` on, scalar.
        terms: The unweighted scalar terms that make it up, by name.
        diagnostics: Detached values by name, ``[I]`` with one a stage or scalar; empty without a contrastive term, and
            where the loss was not asked for them.
    """

    total: Tensor
    terms: dict[str, Tensor]
    diagnostics: dict[str, Tensor] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Tensor:
        return self.total if name == "total" else self.terms[name]

    def __iter__(self) -> Iterator[str]:
        return iter(("total", *self.terms))

    def __len__(self) -> int:
        return 1 + len(self.terms)


class CrossEntropyLoss(nn.Module):
    """A base alone, cross-entropy or another one, behind the interface of :class:`ContextrastLoss`: the baseline.

    Args:
        num_classes: N.
        in_channels: Channels of the encoder stages; not used.
        base: A module of logits ``[B, N, H, W]`` and target ``[B, H, W]``, such as :class:`WeightedLosses`; plain
            cross-entropy if not given.
        ignore_index: Label of pixels that take part in nothing, where ``base`` is not given.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: Sequence[int] = (),  # noqa: ARG002  (every loss is built from the same facts of the network)
        base: nn.Module | None = None,
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.base = WeightedLosses.of(base, ignore_index)

    def forward(
        self,
        logits: Tensor,
        target: Tensor,
        features: Sequence[Tensor] = (),  # noqa: ARG002  (what a contrastive loss is called with)
        diagnose: bool = True,  # noqa: ARG002  (likewise)
    ) -> LossTerms:
        """Loss of logits ``[B, N, H, W]`` against ``[B, H, W]``; features are not used, and nothing is diagnosed."""
        terms = self.base.terms(logits, target)
        return LossTerms(self.base.total(terms), terms)

    def update(self) -> None:
        """Nothing outlives a step."""


class Diagnostics(Protocol):
    """What tells a user that a contrast works."""

    def by_name(self) -> dict[str, Tensor]:
        """Detached values, ``[I]`` with one a stage or scalar."""
        ...


class Contrast(Protocol):
    """Contrastive terms on embeddings, as :class:`ContrastiveLoss` takes them."""

    def __call__(self, embeddings: Sequence[Tensor], target: Tensor, prediction: Tensor) -> dict[str, Tensor]:
        """The same terms, without the work that only diagnostics need."""
        ...

    def forward_with_diagnostics(
        self, embeddings: Sequence[Tensor], target: Tensor, prediction: Tensor
    ) -> tuple[dict[str, Tensor], Diagnostics]:
        """Unweighted scalar terms by name of embeddings ``[B, D, H_i, W_i]`` and labels ``[B, H, W]``."""
        ...

    def update(self) -> None:
        """Move on what outlives a step."""
        ...


class ContrastiveLoss(nn.Module):
    """L = L_base + α·Σ terms of a contrast on embeddings: the frame of every contrastive loss here.

    Add its parameters to the optimiser, call it on logits, target and encoder features, and :meth:`update` once after
    each optimiser step. The deployed network is untouched: the heads live here.

    Args:
        num_classes: N.
        heads: Turns encoder features into unit-length embeddings.
        contrast: The contrastive terms, an ``nn.Module``.
        alpha: α, the weight of the terms.
        start_step: Optimiser steps before which α is 0.
        warmup_steps: Steps over which α rises linearly from there; 0 is none.
        base: A module of logits ``[B, N, H, W]`` and target ``[B, H, W]``, such as :class:`WeightedLosses`; plain
            cross-entropy if not given.
        ignore_index: Label of pixels that take part in nothing, where ``base`` is not given.
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
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        self.alpha = alpha
        self.start_step = start_step
        self.warmup_steps = warmup_steps
        self.num_classes = num_classes
        self.base = WeightedLosses.of(base, ignore_index)
        self.heads = heads
        self.contrast = contrast
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    def forward(self, logits: Tensor, target: Tensor, features: Sequence[Tensor], diagnose: bool = True) -> LossTerms:
        """Loss of one batch.

        Args:
            logits: ``[B, N, H, W]``, at the target's resolution.
            target: ``[B, H, W]`` class ids or the ignore index.
            features: Encoder stages ``[B, C_i, H_i, W_i]``, shallowest first.
            diagnose: Whether to fill ``diagnostics``, which costs time; the terms are the same either way.

        Returns:
            ``total``, and the terms of the base and those of the contrast.
        """
        base = self.base.terms(logits, target)
        prediction = logits.detach().max(1).indices  # several times as fast as argmax on a CPU
        named: dict[str, Tensor] = {}
        if diagnose:
            terms, diagnostics = self.contrast.forward_with_diagnostics(self.heads(features), target, prediction)
            named = diagnostics.by_name()
        else:
            terms = self.contrast(self.heads(features), target, prediction)
        total = self.base.total(base) + self.current_alpha() * torch.stack(list(terms.values())).sum()
        return LossTerms(total, {**base, **terms}, named)

    def current_alpha(self) -> Tensor:
        """α of this step, a scalar on the loss's device: the warm-up ends with the full value at its last step."""
        progress = (self.step + 1 - self.start_step) / max(1, self.warmup_steps)
        return self.alpha * progress.clamp(0.0, 1.0)

    def update(self) -> None:
        """Bring what outlives a step up to date, α's schedule included. Call after every optimiser step."""
        self.contrast.update()
        self.step += 1

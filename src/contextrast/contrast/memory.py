"""Memory of past anchors, and which anchor stands for a class (Contextrast++, Eqs. 7-11)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from contextrast.contrast.losses import anchor_anchor_loss, compare_with_queues, mean_where
from contextrast.contrast.queues import Entries, filled, push
from contextrast.contrast.random_keys import pixel_keys, smallest_of_segments, smallest_over_ranks
from contextrast.contrast.rows import unit_length
from contextrast.contrast.stages import StagePixels
from contextrast.contrast.state import Stateful
from contextrast.errors import ConfigError

PIXELS_A_STEP = 10
"""Pixels of a class that the ``pixel`` design stores at a step, as the pixel memory of Wang et al. does."""


class BatchAnchors(NamedTuple):
    """The anchors of one batch, from which queries and entries are taken.

    Attributes:
        stages: Pixels of every stage, shallowest first.
        anchors: Anchors before fusion, ``[I, N, D]``; zero for a class that does not occur at the stage.
        present: Boolean ``[I, N]``, whether a class occurs at a stage.
    """

    stages: Sequence[StagePixels]
    anchors: Tensor
    present: Tensor


class AnchorMemory(Stateful):
    """First-in-first-out queues of past anchors, one a class, and the loss of the current ones against them.

    The query S(c) is the class's anchor at the deepest stage in which it occurs, at unit length, with gradient. After
    the loss it is detached, and :meth:`update`, called once after the optimiser step, puts it into the class's queue,
    so that the first step's loss is 0. All stored entries are used.

    ====================  =================================================================
    ``design``            what a step stores
    ====================  =================================================================
    class_prioritised     the query
    earliest              the shallowest stage's anchor, where the class occurs there
    deepest               the deepest stage's anchor, where the class occurs there
    all                   every stage's anchor
    pixel                 ten random pixels of the class at the deepest stage it occurs in
    ====================  =================================================================

    The paper prints the designs' names only; these are their plainest readings.

    Args:
        num_classes: N.
        embedding_dim: D.
        size: K_M, slots a class.
        design: What is stored, as above.
        selection: Which anchor stands for a class: of the ``deepest`` or the ``earliest`` stage it occurs in, or the
            ``average`` over the stages it occurs in.
        seed: Seed of the draws of ``pixel``.

    Raises:
        ConfigError: If an option has a value not listed here.
    """

    queues: Tensor
    stored: Tensor
    step: Tensor
    entries: Tensor | None
    valid: Tensor | None

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int = 256,
        size: int = 100,
        design: str = "class_prioritised",
        selection: str = "deepest",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if size < 1:
            raise ConfigError(f"size must be at least 1, got {size}")
        if design not in DESIGNS:
            raise ConfigError(f"design must be one of {', '.join(DESIGNS)}, got {design!r}")
        if selection not in SELECTIONS:
            raise ConfigError(f"selection must be one of {', '.join(SELECTIONS)}, got {selection!r}")
        self.embedding_dim = embedding_dim
        self.select = SELECTIONS[selection]
        self.design = DESIGNS[design]
        self.seed = seed
        self.register_buffer("queues", torch.zeros(num_classes, size, embedding_dim))
        self.register_buffer("stored", torch.zeros(num_classes, dtype=torch.long))  # entries ever, so also the position
        self.register_buffer("step", torch.zeros((), dtype=torch.long))
        self.register_buffer("entries", None, persistent=False)  # of this batch, until the optimiser has stepped
        self.register_buffer("valid", None, persistent=False)

    def forward(self, batch: BatchAnchors, temperature: float) -> Tensor:
        """Anchor-anchor loss of a batch, whose entries wait for :meth:`update` where the module is in training.

        Args:
            batch: The batch's anchors.
            temperature: τ.

        Returns:
            Scalar.

        Raises:
            ConfigError: If the embeddings have another D than the memory.
        """
        queries, present = self._queries(batch)
        loss = anchor_anchor_loss(queries, present, self.queues, self.filled(), temperature)
        if self.training:
            with torch.no_grad():
                entries, self.valid = self.design(batch, queries, present, self._keys)
                self.entries = unit_length(entries, 2).to(self.queues.dtype)
        return loss

    @torch.no_grad()
    def diagnose(self, batch: BatchAnchors) -> dict[str, Tensor]:
        """What tells a user that the memory works, scalars.

        Returns:
            ``memory_filled``, the share of the slots that hold an entry; ``memory_positive_cosine`` and
            ``memory_negative_cosine``, the mean cosine between the queries and the entries of their own class and of
            other classes, 0 where there are none.
        """
        queries, present = self._queries(batch)
        held = self.filled()
        cosines, positive, negative = compare_with_queues(queries, present, self.queues, held)
        return {
            "memory_filled": held.to(queries.dtype).mean(),
            "memory_positive_cosine": mean_where(cosines, positive),
            "memory_negative_cosine": mean_where(cosines, negative),
        }

    def _queries(self, batch: BatchAnchors) -> tuple[Tensor, Tensor]:
        """S(c) in unit length, ``[N, D]``, and which classes the batch has, ``[N]``."""
        if batch.anchors.shape[-1] != self.embedding_dim:
            raise ConfigError(
                f"the memory holds anchors of D = {self.embedding_dim}, the embeddings have D = "
                f"{batch.anchors.shape[-1]}: give both the same embedding_dim"
            )
        queries, present = self.select(batch.anchors, batch.present)
        return unit_length(queries, 1), present

    def filled(self) -> Tensor:
        """Which slots hold an entry, boolean ``[N, K_M]``."""
        return filled(self.stored, self.queues.shape[1])

    @torch.no_grad()
    def update(self) -> None:
        """Put the last batch's entries into the queues; under gradient accumulation those of the last part of it."""
        self.step += 1
        if self.entries is not None and self.valid is not None:
            push(self.queues, self.stored, Entries(self.entries, self.valid))
        self.entries = self.valid = None

    def _keys(self, pixels: StagePixels) -> Tensor:
        return pixel_keys(self.seed, self.step, pixels.stage, pixels.grid)


def _deepest(anchors: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    return _earliest(anchors.flip(0), present.flip(0))


def _earliest(anchors: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Of every class the anchor of the first stage in which it occurs, ``[N, D]``, and whether there is one."""
    chosen = present & (present.cumsum(0) == 1)
    return (anchors * chosen.unsqueeze(2)).sum(0), present.any(0)


def _average(anchors: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    return (anchors * present.unsqueeze(2)).sum(0) / present.sum(0).clamp_min(1).unsqueeze(1), present.any(0)


SELECTIONS: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "deepest": _deepest,
    "earliest": _earliest,
    "average": _average,
}
"""Anchor that stands for a class, from anchors ``[I, N, D]`` and presence ``[I, N]``."""


Keys = Callable[[StagePixels], Tensor]
"""Random keys ``[B, H, W]`` of a stage's pixels."""


def _queries(_: BatchAnchors, queries: Tensor, present: Tensor, __: Keys) -> tuple[Tensor, Tensor]:
    return queries.unsqueeze(1), present.unsqueeze(1)


def _shallowest_stage(batch: BatchAnchors, *_: object) -> tuple[Tensor, Tensor]:
    return batch.anchors[0].unsqueeze(1), batch.present[0].unsqueeze(1)


def _deepest_stage(batch: BatchAnchors, *_: object) -> tuple[Tensor, Tensor]:
    return batch.anchors[-1].unsqueeze(1), batch.present[-1].unsqueeze(1)


def _all_stages(batch: BatchAnchors, *_: object) -> tuple[Tensor, Tensor]:
    return batch.anchors.transpose(0, 1), batch.present.transpose(0, 1)


def _pixels(batch: BatchAnchors, _: Tensor, __: Tensor, keys: Keys) -> tuple[Tensor, Tensor]:
    """Random pixels of every class at the deepest stage in which it occurs, ``[N, 10, D]``, and which there are."""
    deepest = batch.present & (batch.present.flip(0).cumsum(0).flip(0) == 1)  # [I, N], one stage a class
    drawn = [_draw(stage, here, keys(stage).flatten()) for stage, here in zip(batch.stages, deepest, strict=True)]
    pixels, key, valid = (torch.stack(parts).sum(0) for parts in zip(*drawn, strict=True))  # one stage has the class
    return smallest_over_ranks(pixels, key, valid.bool())


def _draw(pixels: StagePixels, classes: Tensor, keys: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Ten random pixels of each of some classes: embeddings ``[N, 10, D]``, keys and validity ``[N, 10]``, else 0."""
    segments = pixels.classes.flatten()
    segments = torch.where(F.pad(classes, (0, 1))[segments], segments, pixels.num_classes)
    positions, valid = smallest_of_segments(keys, segments, pixels.num_classes, PIXELS_A_STEP)
    return unit_length(pixels.rows_at(positions), 2) * valid.unsqueeze(2), keys[positions] * valid, valid.long()


DESIGNS: dict[str, Callable[[BatchAnchors, Tensor, Tensor, Keys], tuple[Tensor, Tensor]]] = {
    "class_prioritised": _queries,
    "earliest": _shallowest_stage,
    "deepest": _deepest_stage,
    "all": _all_stages,
    "pixel": _pixels,
}
"""What a step stores: entries ``[N, E, D]`` and which of them there are, ``[N, E]``."""

"""The contrastive term on embeddings: contextual contrastive learning with any sampling of negatives."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from contextrast.contrast.anchors import RunningAnchors, class_anchors
from contextrast.contrast.collective import logsumexp_over_ranks, world_size
from contextrast.contrast.fusion import StaticFusion
from contextrast.contrast.losses import pixel_anchor_loss
from contextrast.contrast.memory import AnchorMemory, BatchAnchors, MemoryDiagnostics
from contextrast.contrast.negatives import BoundaryAwareNegatives, mark_ignored
from contextrast.contrast.rows import at_least_float32, unit_length
from contextrast.contrast.similarity import Similarities
from contextrast.contrast.stages import StagePixels, as_rows, misclassified, to_grid
from contextrast.errors import ConfigError


class StageDiagnostics(NamedTuple):
    """What tells a user that the term works, one value a stage (``[I]``, detached), of this process's images.

    Attributes:
        error_share: Share of the valid pixels that are misclassified.
        negatives: Number of (anchor, negative) pairs.
        positive_cosine: Mean cosine between pixels and their own class's anchor.
        negative_cosine: Mean cosine over the negative pairs.
        classes_present: Number of classes in the batch.
        memory: What the memory says of itself, None without one.
    """

    error_share: Tensor
    negatives: Tensor
    positive_cosine: Tensor
    negative_cosine: Tensor
    classes_present: Tensor
    memory: MemoryDiagnostics | None = None

    def by_name(self) -> dict[str, Tensor]:
        """The values under their names, those of the memory among them."""
        named = self._asdict()
        memory = named.pop("memory")
        return named | ({} if memory is None else memory._asdict())


class _Contrasted(NamedTuple):
    """The terms of a batch, and what diagnostics are made of."""

    terms: dict[str, Tensor]
    stages: list[StagePixels]
    similarities: list[Similarities]
    counts: Tensor
    memory: MemoryDiagnostics | None


class ContextualContrast(nn.Module):
    """Pixel-anchor contrast over encoder stages with anchors fused with the deepest stage's (Contextrast, Eqs. 1-4).

    Embeddings come in unit length. Everything inside is computed in at least float32, under autocast too, and without
    a host-device synchronisation or a loop over images or classes.

    Args:
        num_classes: N.
        stage_weights: λ_i, shallowest stage first; their number is the number of stages.
        temperature: τ.
        fusion: Turns anchors and counts of all stages into fused anchors; static fusion if not given.
        negatives: Samples negatives; BANE if not given.
        memory: Class queues of past anchors, which bring the anchor-anchor loss with them; None has neither.
        running_anchors: Keeps running anchors up to date, see :meth:`update`.
        normalize_anchors: Bring fused anchors to unit length, so that logits are cosines over τ.
        detach_anchors: Stop gradients through the anchors.
        ignore_index: Label of pixels that take part in nothing; None if there is no such label.

    Raises:
        ConfigError: If there is no stage, or the temperature is not positive.
    """

    def __init__(
        self,
        num_classes: int,
        stage_weights: Sequence[float] = (0.1, 0.4, 0.7, 1.0),
        temperature: float = 0.1,
        fusion: nn.Module | None = None,
        negatives: nn.Module | None = None,
        memory: AnchorMemory | None = None,
        running_anchors: RunningAnchors | None = None,
        normalize_anchors: bool = True,
        detach_anchors: bool = False,
        ignore_index: int | None = 255,
    ) -> None:
        super().__init__()
        if not stage_weights:
            raise ConfigError(
                "loss.stage_weights is empty: give one weight for each encoder stage, such as [0.1, 0.4, 0.7, 1.0]"
            )
        if temperature <= 0:
            raise ConfigError(f"loss.temperature must be positive, got {temperature}")
        self.num_classes = num_classes
        self.stage_weights = tuple(float(weight) for weight in stage_weights)
        self.temperature = temperature
        self.fusion = StaticFusion() if fusion is None else fusion
        self.negatives = BoundaryAwareNegatives() if negatives is None else negatives
        self.memory = memory
        self.running_anchors = running_anchors
        self.normalize_anchors = normalize_anchors
        self.detach_anchors = detach_anchors
        self.ignore_index = ignore_index

    def forward(self, embeddings: Sequence[Tensor], target: Tensor, prediction: Tensor) -> dict[str, Tensor]:
        """The term's parts, unweighted by α.

        Args:
            embeddings: Unit-length ``[B, D, H_i, W_i]``, shallowest stage first.
            target: Ground truth ``[B, H, W]``.
            prediction: The network's own classes ``[B, H, W]``, at the same resolution as the target.

        Returns:
            ``{"pixel_anchor": scalar}``, and ``"anchor_anchor"`` with a memory.

        Raises:
            ConfigError: If the number of embeddings is not that of the stage weights, or shapes do not fit.
        """
        return self._contrast(embeddings, target, prediction).terms

    def forward_with_diagnostics(
        self, embeddings: Sequence[Tensor], target: Tensor, prediction: Tensor
    ) -> tuple[dict[str, Tensor], StageDiagnostics]:
        """As :meth:`forward`, with what tells a user that the term works."""
        seen = self._contrast(embeddings, target, prediction)
        return seen.terms, self._diagnose(seen)

    def _contrast(self, embeddings: Sequence[Tensor], target: Tensor, prediction: Tensor) -> _Contrasted:
        self._check(embeddings, target, prediction)
        with torch.autocast(target.device.type, enabled=False):
            stages = self._stages(embeddings, target, prediction)
            own, counts = class_anchors(stages)
            anchors = self._fused_anchors(own, counts)
            similarities = [
                self.negatives(pixels, anchor, self.temperature) for pixels, anchor in zip(stages, anchors, strict=True)
            ]
            partitions = logsumexp_over_ranks(torch.stack([part.log_partition for part in similarities]))
            losses = [
                weight * pixel_anchor_loss(similarity.positive, partition, pixels.classes, count)
                for weight, similarity, partition, pixels, count in zip(
                    self.stage_weights, similarities, partitions, stages, counts, strict=True
                )
            ]
            terms = {"pixel_anchor": torch.stack(losses).sum() * world_size()}
            memory = None
            if self.memory is not None:
                batch = BatchAnchors(stages, own, counts > 0)
                terms["anchor_anchor"], memory = self.memory(batch, self.temperature)
            return _Contrasted(terms, stages, similarities, counts, memory)

    def update(self) -> None:
        """Bring what outlives a step up to date; called once after every optimiser step."""
        for part in (self.running_anchors, self.fusion, self.negatives, self.memory):
            update = getattr(part, "update", None)
            if update is not None:
                update()

    def _stages(self, embeddings: Sequence[Tensor], target: Tensor, prediction: Tensor) -> list[StagePixels]:
        classes = mark_ignored(target, self.num_classes, self.ignore_index)
        return [
            StagePixels(
                as_rows(at_least_float32(embedding)),
                to_grid(classes, *embedding.shape[2:]),
                to_grid(prediction, *embedding.shape[2:]),
                self.num_classes,
                index,
            )
            for index, embedding in enumerate(embeddings)
        ]

    def _fused_anchors(self, anchors: Tensor, counts: Tensor) -> list[Tensor]:
        if self.detach_anchors:
            anchors = anchors.detach()
        sources, present = list(anchors), list(counts)
        if self.running_anchors is not None:
            if self.training:
                self.running_anchors.observe(anchors, counts)
            sources[-1], present[-1] = self.running_anchors.filled(anchors[-1], counts[-1])
        fused: list[Tensor] = self.fusion(sources, present)
        fused[-1] = anchors[-1]
        return [unit_length(anchor, 1) for anchor in fused] if self.normalize_anchors else fused

    @torch.no_grad()
    def _diagnose(self, seen: _Contrasted) -> StageDiagnostics:
        values = []
        for pixels, similarity, count in zip(seen.stages, seen.similarities, seen.counts, strict=True):
            valid = (pixels.classes < self.num_classes).sum().clamp_min(1)
            wrong = misclassified(pixels.classes, pixels.predictions, self.num_classes)
            values.append(
                (
                    (wrong.sum() / valid).to(count.dtype),
                    similarity.negatives.to(count.dtype),
                    similarity.positive.sum() * self.temperature / valid,
                    similarity.negative_mean * self.temperature,
                    (count > 0).sum().to(count.dtype),
                )
            )
        shares, numbers, positives, negatives, present = (torch.stack(value) for value in zip(*values, strict=True))
        return StageDiagnostics(shares, numbers, positives, negatives, present, seen.memory)

    def _check(self, embeddings: Sequence[Tensor], target: Tensor, prediction: Tensor) -> None:
        if len(embeddings) != len(self.stage_weights):
            raise ConfigError(
                f"{len(embeddings)} stages of embeddings for {len(self.stage_weights)} stage weights "
                f"{list(self.stage_weights)}: give one weight for each stage"
            )
        if target.shape != prediction.shape or target.ndim != 3 or target.shape[0] != embeddings[0].shape[0]:
            raise ConfigError(
                f"target and prediction must both be [B, H, W] with the embeddings' batch of {embeddings[0].shape[0]}, "
                f"got {tuple(target.shape)} and {tuple(prediction.shape)}"
            )

"""The contrastive term on embeddings: contextual contrastive learning with any sampling of negatives."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from contextrast.contrast.anchors import RunningAnchors, class_anchors
from contextrast.contrast.collective import logsumexp_over_ranks, sum_over_ranks, world_size
from contextrast.contrast.diagnostics import diagnose_stages
from contextrast.contrast.fusion import AnchorFusion, StaticFusion
from contextrast.contrast.losses import log_partition_over_negatives, pixel_anchor_losses
from contextrast.contrast.memory import AnchorMemory, BatchAnchors
from contextrast.contrast.negatives import BoundaryAwareNegatives
from contextrast.contrast.rows import unit_length
from contextrast.contrast.similarity import Similarities, StageSimilarities, directions_of_stages, stage_similarities
from contextrast.contrast.stages import StageLabels, check_stages, stage_labels, stage_pixels, to_grid
from contextrast.contrast.state import Stateful
from contextrast.errors import ConfigError, check_number

REDUCTIONS = ("sum", "mean")
"""Over the negatives of an anchor."""


class StageComparison(NamedTuple):
    """The anchors of a batch and what its pixels are to them.

    Attributes:
        embeddings: ``[B, D, H_i, W_i]`` of every stage, shallowest first.
        labels: Labels of all stages' pixels.
        own: Anchors before fusion, ``[I, N, D]``.
        pixels: Pixels of every class of the global batch, ``[I, N]`` in the embeddings' dtype.
        anchors: Fused anchors, ``[I, N, D]``.
        similarities: Similarities of all stages' pixels to them.
    """

    embeddings: Sequence[Tensor]
    labels: StageLabels
    own: Tensor
    pixels: Tensor
    anchors: Tensor
    similarities: Similarities | StageSimilarities


class ContextualContrast(Stateful):
    """Pixel-anchor contrast over encoder stages with anchors fused with the deepest stage's (Contextrast, Eqs. 1-4).

    Embeddings come as they are, and only their direction counts: no normalised copy of them is made. Everything inside
    is computed in at least float32, under autocast too, without a host-device synchronisation or a loop over images or
    classes, and for all stages at once, but for what reads the maps.

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
        anchor_negatives: w, the weight of the other present classes' fused anchors in Z, see
            :func:`log_partition_over_negatives`; 0 as published.
        reduce_negatives: Whether Z is the ``sum`` over negatives, as published, or their ``mean``, whose size does not
            depend on their number.

    Raises:
        ConfigError: If there is no stage, or a value is out of range.
    """

    weighs_pixels = True
    any_length = True

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
        anchor_negatives: float = 0.0,
        reduce_negatives: str = "sum",
    ) -> None:
        super().__init__()
        if not stage_weights:
            raise ConfigError(
                "stage_weights is empty: give one weight for each encoder stage, such as [0.1, 0.4, 0.7, 1.0]"
            )
        for weight in stage_weights:
            check_number("stage_weights", weight)
        check_number("temperature", temperature, above=True)
        check_number("anchor_negatives", anchor_negatives)
        if reduce_negatives not in REDUCTIONS:
            raise ConfigError(f"reduce_negatives must be one of {', '.join(REDUCTIONS)}, got {reduce_negatives!r}")
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
        self.anchor_negatives = float(anchor_negatives)
        self.reduce_negatives = reduce_negatives

    def forward(
        self, embeddings: Sequence[Tensor], target: Tensor, prediction: Tensor, weight: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The term's parts, unweighted by α.

        Args:
            embeddings: ``[B, D, H_i, W_i]`` of any length, shallowest stage first.
            target: Ground truth ``[B, H, W]``.
            prediction: The network's own classes ``[B, H, W]``, at the same resolution as the target.
            weight: Weight of every pixel among the positives, ``[B, H, W]``; all equal if not given. Anchors and
                negatives are those of all labelled pixels.

        Returns:
            ``{"pixel_anchor": scalar}``, and ``"anchor_anchor"`` with a memory.

        Raises:
            ConfigError: If the number of embeddings is not that of the stage weights, or shapes do not fit.
        """
        with torch.autocast(target.device.type, enabled=False):
            seen = self._compare(embeddings, target, prediction)
            if self.running_anchors is not None and self.training:
                self.running_anchors.observe(seen.own, seen.pixels)
            weights, totals = self._weights(seen, weight)
            loss = pixel_anchor_losses(
                seen.similarities.positive,
                self._partitions(seen),
                seen.labels.segments,
                totals,
                self.stage_weights,
                weights,
            )
            terms = {"pixel_anchor": loss * world_size()}
            if self.memory is not None:
                terms["anchor_anchor"] = self.memory(_batch_anchors(seen), self.temperature)
            return terms

    @torch.no_grad()
    def diagnose(self, embeddings: Sequence[Tensor], target: Tensor, prediction: Tensor) -> dict[str, Tensor]:
        """What tells a user whether the term works, of the arguments of :meth:`forward`; computed anew, without state.

        Returns:
            Detached values by name, see :func:`diagnose_stages`, and those of running anchors and memory.
        """
        with torch.autocast(target.device.type, enabled=False):
            seen = self._compare(embeddings, target, prediction)
            values = diagnose_stages(
                seen.labels, seen.similarities, self._counts(seen), seen.pixels > 0, self.temperature
            )
            if self.running_anchors is not None:
                values |= self.running_anchors.diagnose()
            if self.memory is not None:
                values |= self.memory.diagnose(_batch_anchors(seen))
            return values

    def _compare(self, embeddings: Sequence[Tensor], target: Tensor, prediction: Tensor) -> StageComparison:
        check_stages(embeddings, self.stage_weights)
        labels = stage_labels(embeddings, target, prediction, self.num_classes, self.ignore_index)
        assignment = self.negatives.assign(labels) if isinstance(self.negatives, BoundaryAwareNegatives) else None
        directions = directions_of_stages(embeddings, labels, assignment)
        similarities: Similarities | StageSimilarities
        own, pixels = class_anchors(
            torch.stack([one.sums for one in directions]).view(len(embeddings), self.num_classes, -1), labels
        )
        if self.detach_anchors:
            own = own.detach()
        anchors = self._fused(own, pixels)
        if assignment is not None:
            similarities = stage_similarities(directions, anchors, self.temperature, labels, assignment)
        else:
            stages = stage_pixels(embeddings, labels, directions)
            found = [
                self.negatives(stage, anchor, self.temperature) for stage, anchor in zip(stages, anchors, strict=True)
            ]
            positive, *others = zip(*found, strict=True)
            similarities = Similarities(torch.cat(positive), *(torch.stack(values) for values in others))
        return StageComparison(embeddings, labels, own, pixels, anchors, similarities)

    def _partitions(self, seen: StageComparison) -> Tensor:
        """Log Z of every stage's anchors, over the global batch, ``[I, N]``."""
        sums = logsumexp_over_ranks(seen.similarities.log_partition)
        mean = self.reduce_negatives == "mean"
        counts = self._counts(seen) if mean else seen.pixels  # not read for sums, so that processes need not talk
        return log_partition_over_negatives(
            sums, counts, seen.anchors, seen.pixels > 0, self.temperature, self.anchor_negatives, mean
        )

    @staticmethod
    def _weights(seen: StageComparison, weight: Tensor | None) -> tuple[Tensor | None, Tensor]:
        """Weights of all stages' pixels, ``[P]``, and their sums by class over the global batch, ``[I, N]``.

        None for equal weights, whose sums are the numbers of pixels.
        """
        if weight is None:
            return None, seen.pixels
        labels = seen.labels
        weights = torch.cat([to_grid(weight, height, width).flatten() for _, height, width in labels.grids])
        weights = weights.to(seen.pixels.dtype)
        sums = weights.new_zeros(labels.num_segments + 1).index_add(0, labels.segments, weights)
        return weights, sum_over_ranks(sums[:-1].view(seen.pixels.shape))

    @staticmethod
    def _counts(seen: StageComparison) -> Tensor:
        """Negatives of every anchor of the global batch, ``[I, N]``."""
        return sum_over_ranks(seen.similarities.counts)

    def _fused(self, own: Tensor, pixels: Tensor) -> Tensor:
        """Fused anchors of all stages, ``[I, N, D]``."""
        sources, present = own, pixels
        if self.running_anchors is not None and self.running_anchors.fill_deepest:
            deepest, count = self.running_anchors.filled(own[-1], pixels[-1])
            sources, present = torch.cat([own[:-1], deepest[None]]), torch.cat([pixels[:-1], count[None]])
        if isinstance(self.fusion, AnchorFusion):
            fused = self.fusion.fuse_stages(sources, present)
        else:
            fused = torch.stack(self.fusion(list(sources), list(present)))
        if sources is not own:
            fused = torch.cat([fused[:-1], own[-1:]])
        return unit_length(fused, 2) if self.normalize_anchors else fused


def _batch_anchors(seen: StageComparison) -> BatchAnchors:
    return BatchAnchors(stage_pixels(seen.embeddings, seen.labels), seen.own, seen.pixels > 0)

"""The whole training loss: cross-entropy, alone or with the contrastive term, behind one interface."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from contextrast.contrast.anchors import RunningAnchors
from contextrast.contrast.contextual import ContextualContrast
from contextrast.contrast.cross_entropy import CrossEntropy
from contextrast.contrast.heads import EmbeddingHeads
from contextrast.errors import ConfigError


@dataclass(frozen=True)
class LossTerms(Mapping[str, Tensor]):
    """Named loss terms; a mapping over ``total`` and the terms.

    Attributes:
        total: What to call ``backward`` on, scalar.
        terms: The unweighted scalar terms that make it up, by name.
        diagnostics: Detached values a stage, ``[I]``, by name; empty where there is no contrastive term.
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
    """Cross-entropy behind the interface of :class:`ContextrastLoss`: the baseline of every comparison.

    Args:
        num_classes: N.
        in_channels: Channels of the encoder stages; not used.
        cross_entropy: The cross-entropy; plain if not given.
        ignore_index: Label of pixels that take part in nothing, where ``cross_entropy`` is not given.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: Sequence[int] = (),  # noqa: ARG002  (every loss is built from the same facts of the network)
        cross_entropy: nn.Module | None = None,
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.cross_entropy = CrossEntropy(ignore_index=ignore_index) if cross_entropy is None else cross_entropy

    def forward(self, logits: Tensor, target: Tensor, features: Sequence[Tensor] = ()) -> LossTerms:  # noqa: ARG002
        """Loss of logits ``[B, N, H, W]`` against ``[B, H, W]``; features are not used."""
        cross_entropy = self.cross_entropy(logits, target)
        return LossTerms(cross_entropy, {"cross_entropy": cross_entropy})

    def update(self) -> None:
        """Nothing outlives a step."""


class ContextrastLoss(nn.Module):
    """Contextrast in any training loop: L = L_CE + α·L_PA, with the embedding heads it needs (CVPR 2024).

    Add its parameters to the optimiser, call it on logits, target and encoder features, and :meth:`update` once after
    each optimiser step. The deployed network is untouched: the heads live here.

    Args:
        num_classes: N.
        in_channels: Channels C_i of the encoder stages, shallowest first.
        stage_weights: λ_i.
        alpha: α, the weight of the contrastive term.
        warmup_steps: Steps over which α rises linearly from 0; 0 is none.
        temperature: τ.
        embedding_dim: D.
        fusion: Fusion of anchors; static if not given.
        negatives: Sampling of negatives; BANE if not given.
        memory: Class queues of past anchors; none yet.
        running_anchors_momentum: Momentum of the running anchors; None keeps none.
        fill_deepest: Let running anchors stand in for classes missing from the deepest stage of a batch.
        normalize_anchors: Bring fused anchors to unit length.
        detach_anchors: Stop gradients through the anchors.
        cross_entropy: The cross-entropy; plain if not given.
        ignore_index: Label of pixels that take part in nothing.

    Raises:
        ConfigError: If stages and their weights differ in number, or a value is out of range.
    """

    step: Tensor

    def __init__(
        self,
        num_classes: int,
        in_channels: Sequence[int],
        stage_weights: Sequence[float] = (0.1, 0.4, 0.7, 1.0),
        alpha: float = 0.1,
        warmup_steps: int = 0,
        temperature: float = 0.1,
        embedding_dim: int = 256,
        fusion: nn.Module | None = None,
        negatives: nn.Module | None = None,
        memory: None = None,
        running_anchors_momentum: float | None = 0.99,
        fill_deepest: bool = False,
        normalize_anchors: bool = True,
        detach_anchors: bool = False,
        cross_entropy: nn.Module | None = None,
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        if len(in_channels) != len(stage_weights):
            raise ConfigError(
                f"loss.stage_weights has {len(stage_weights)} values for {len(in_channels)} encoder stages: "
                "give one weight for each entry of model.stages"
            )
        self.alpha = alpha
        self.warmup_steps = warmup_steps
        self.num_classes = num_classes
        self.cross_entropy = CrossEntropy(ignore_index=ignore_index) if cross_entropy is None else cross_entropy
        self.heads = EmbeddingHeads(in_channels, embedding_dim)
        running = None
        if running_anchors_momentum is not None:
            running = RunningAnchors(
                len(in_channels), num_classes, embedding_dim, running_anchors_momentum, fill_deepest
            )
        self.contrast = ContextualContrast(
            num_classes,
            stage_weights,
            temperature,
            fusion,
            negatives,
            memory,
            running,
            normalize_anchors,
            detach_anchors,
            ignore_index,
        )
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    def forward(self, logits: Tensor, target: Tensor, features: Sequence[Tensor]) -> LossTerms:
        """Loss of one batch.

        Args:
            logits: ``[B, N, H, W]``, at the target's resolution.
            target: ``[B, H, W]`` class ids or the ignore index.
            features: Encoder stages ``[B, C_i, H_i, W_i]``, shallowest first.

        Returns:
            ``total`` and the terms ``cross_entropy`` and ``pixel_anchor``, with diagnostics a stage.
        """
        cross_entropy = self.cross_entropy(logits, target)
        terms, diagnostics = self.contrast.forward_with_diagnostics(
            self.heads(features),
            target,
            logits.detach().max(1).indices,  # several times as fast as argmax on a CPU
        )
        total = cross_entropy + self.current_alpha() * torch.stack(list(terms.values())).sum()
        return LossTerms(total, {"cross_entropy": cross_entropy, **terms}, diagnostics._asdict())

    def current_alpha(self) -> Tensor:
        """α of this step, a scalar on the loss's device: the warm-up ends with the full value at its last step."""
        progress = (self.step + 1) / max(1, self.warmup_steps)
        return self.alpha * progress.clamp_max(1.0)

    def update(self) -> None:
        """Bring what outlives a step up to date: running anchors, warm-up, draws. Call after every optimiser step."""
        self.contrast.update()
        self.step += 1

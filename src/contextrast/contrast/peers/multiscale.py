"""Multi-scale and cross-scale contrast (Pissas et al., ECCV 2022)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from contextrast.contrast.heads import EmbeddingHeads
from contextrast.contrast.peers.diagnostics import diagnose
from contextrast.contrast.peers.groups import GroupSampler, Samples
from contextrast.contrast.peers.pairs import pair_contrast
from contextrast.contrast.segmentation import ContrastiveLoss
from contextrast.contrast.stages import check_stages, stage_labels, stage_pixels
from contextrast.contrast.state import Stateful
from contextrast.errors import ConfigError, check_number


class MultiscaleContrast(Stateful):
    """Contrast between sampled pixels within each stage and across stages (Pissas et al., ECCV 2022).

    At every stage, groups are the (image, class) pairs with at least ``min_pixels`` pixels. Of each, equally many
    pixels are drawn uniformly: as many as the smallest group has, at most ``max_views`` and at most ⌊max_samples / T⌋
    for T groups. Within a stage the samples are compared with each other; across stages those of one stage are compared
    with those of another, all of the same class being positives, and gradients flow to both.

    Everything inside is computed in at least float32, under autocast too, and without a host-device synchronisation or
    a loop over images or classes. The draw's size is known on the device alone, so time is that of the largest draw,
    min(max_samples, pixels of the stage) samples, however small the smallest group is; memory is linear in it. A lower
    ``max_samples`` changes nothing but the time where the smallest group limits the draw anyway.

    Args:
        num_classes: N.
        stage_weights: Weights of the terms within stages, shallowest stage first; their number is that of the stages.
        cross_stages: Pairs of positions of stages that are compared, the anchors' one first.
        cross_weight: Weight of each of these terms.
        temperature: τ.
        min_pixels: Pixels that make an (image, class) pair a group.
        max_views: Number of pixels a group at most.
        max_samples: Number of sampled pixels of the global batch a stage at most.
        seed: Seed of the draws.
        ignore_index: Label of pixels that take part in nothing; None if there is no such label.

    Raises:
        ConfigError: If an option is out of range, or ``cross_stages`` names a stage that is not there.
    """

    any_length = True

    def __init__(
        self,
        num_classes: int,
        stage_weights: Sequence[float] = (1.0, 0.7, 0.4, 0.1),
        cross_stages: Sequence[Sequence[int]] = ((0, 3), (0, 2)),
        cross_weight: float = 1.0,
        temperature: float = 0.1,
        min_pixels: int = 5,
        max_views: int = 2500,
        max_samples: int = 10000,
        seed: int = 0,
        ignore_index: int | None = 255,
    ) -> None:
        super().__init__()
        stages = range(len(stage_weights))
        if any(len(pair) != 2 or not set(pair) <= set(stages) for pair in cross_stages):
            raise ConfigError(
                f"cross_stages must be pairs of positions 0 to {len(stages) - 1} of the {len(stages)} stages that "
                f"stage_weights has, got {[list(pair) for pair in cross_stages]}"
            )
        if not stages:
            raise ConfigError(
                "stage_weights is empty: give one weight for each encoder stage, such as [0.1, 0.4, 0.7, 1.0]"
            )
        for weight in stage_weights:
            check_number("stage_weights", weight)
        check_number("temperature", temperature, above=True)
        check_number("cross_weight", cross_weight)
        self.num_classes = num_classes
        self.stage_weights = tuple(float(weight) for weight in stage_weights)
        self.cross_stages = [(int(anchors), int(keys)) for anchors, keys in cross_stages]
        self.cross_weight = cross_weight
        self.temperature = temperature
        self.sampler = GroupSampler(min_pixels, max_views, max_samples, hard_half=False, seed=seed)
        self.ignore_index = ignore_index

    def forward(self, embeddings: Sequence[Tensor], target: Tensor, prediction: Tensor) -> dict[str, Tensor]:
        """The terms, unweighted by α.

        Args:
            embeddings: ``[B, D, H_i, W_i]`` of any length, shallowest stage first.
            target: Ground truth ``[B, H, W]``.
            prediction: The network's own classes ``[B, H, W]``; only diagnostics use them.

        Returns:
            ``{"within_stages": scalar, "across_stages": scalar}``.

        Raises:
            ConfigError: If the number of embeddings is not that of the stage weights, or shapes do not fit.
        """
        with torch.autocast(target.device.type, enabled=False):
            samples = [sample for sample, _ in self._drawn(embeddings, target, prediction)]
            within = [
                weight * pair_contrast(sample, None, self.temperature)
                for weight, sample in zip(self.stage_weights, samples, strict=True)
            ]
            across = [
                self.cross_weight * pair_contrast(samples[anchors], samples[keys], self.temperature)
                for anchors, keys in self.cross_stages
            ]
            terms = {"within_stages": torch.stack(within).sum()}
            if across:
                terms["across_stages"] = torch.stack(across).sum()
            return terms

    @torch.no_grad()
    def diagnose(self, embeddings: Sequence[Tensor], target: Tensor, prediction: Tensor) -> dict[str, Tensor]:
        """What tells a user whether the terms work, of the arguments of :meth:`forward`; computed anew.

        Returns:
            Detached ``[I]`` by name, see :func:`contextrast.contrast.peers.diagnostics.diagnose`.
        """
        with torch.autocast(target.device.type, enabled=False):
            stages = [diagnose(*drawn, None) for drawn in self._drawn(embeddings, target, prediction)]
        return {name: torch.stack([values[name] for values in stages]) for name in stages[0]}

    def _drawn(self, embeddings: Sequence[Tensor], target: Tensor, prediction: Tensor) -> list[tuple[Samples, Tensor]]:
        """Of each stage the samples and which of them are misclassified."""
        check_stages(embeddings, self.stage_weights)
        labels = stage_labels(embeddings, target, prediction, self.num_classes, self.ignore_index)
        return [self.sampler(pixels) for pixels in stage_pixels(embeddings, labels)]


class MultiscaleHead(nn.Sequential):
    """1×1 convolution, ReLU, batch norm, 1×1 convolution (Pissas et al., ECCV 2022).

    Maps ``[B, C, H, W]`` to ``[B, D, H, W]``.
    """

    def __init__(self, in_channels: int, embedding_dim: int = 256) -> None:
        super().__init__(
            nn.Conv2d(in_channels, in_channels, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.BatchNorm2d(in_channels, momentum=0.0003),
            nn.Conv2d(in_channels, embedding_dim, 1),
        )


class MultiscaleLoss(ContrastiveLoss):
    """Multi-scale contrast in any training loop, with the heads it needs (Pissas et al., ECCV 2022).

    L = L_base + α·(Σ_i w_i L_i + Σ L_ij), with L_i within stage i and L_ij across stages i and j. Defaults are those
    published for HRNet, whose branches have strides 4, 8, 16 and 32.

    Args:
        num_classes: N.
        in_channels: Channels C_i of the encoder stages, shallowest first.
        stage_weights: Weights w_i of the terms within stages.
        cross_stages: Pairs of positions of stages that are compared, the anchors' one first.
        cross_weight: Weight of each of these terms.
        alpha: α, the weight of all of them.
        start_step: Optimiser steps before which α is 0.
        warmup_steps: Steps over which α rises linearly from there; 0 is none.
        temperature: τ.
        embedding_dim: D.
        min_pixels: Pixels that make an (image, class) pair a group.
        max_views: Number of pixels a group at most.
        max_samples: Number of sampled pixels of the global batch a stage at most.
        seed: Seed of the draws.
        base: Loss of logits and target to which the contrast is added; plain cross-entropy if not given.
        ignore_index: Label of pixels that take part in nothing; None if there is no such label.

    Raises:
        ConfigError: If stages and their weights differ in number, or a value is out of range.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: Sequence[int],
        stage_weights: Sequence[float] = (1.0, 0.7, 0.4, 0.1),
        cross_stages: Sequence[Sequence[int]] = ((0, 3), (0, 2)),
        cross_weight: float = 1.0,
        alpha: float = 0.1,
        start_step: int = 0,
        warmup_steps: int = 0,
        temperature: float = 0.1,
        embedding_dim: int = 256,
        min_pixels: int = 5,
        max_views: int = 2500,
        max_samples: int = 10000,
        seed: int = 0,
        base: nn.Module | None = None,
        ignore_index: int | None = 255,
    ) -> None:
        if len(in_channels) != len(stage_weights):
            raise ConfigError(
                f"stage_weights has {len(stage_weights)} values for {len(in_channels)} feature maps: give one per map"
            )
        contrast = MultiscaleContrast(
            num_classes,
            stage_weights,
            cross_stages,
            cross_weight,
            temperature,
            min_pixels,
            max_views,
            max_samples,
            seed,
            ignore_index,
        )
        super().__init__(
            num_classes,
            EmbeddingHeads(in_channels, embedding_dim, MultiscaleHead),
            contrast,
            alpha,
            start_step,
            warmup_steps,
            base,
            ignore_index,
        )

"""Pixel contrast across images, with or without a memory (Wang et al., ICCV 2021)."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contextrast.contrast.heads import EmbeddingHead, as_parameters
from contextrast.contrast.inputs import check_widths
from contextrast.contrast.peers.diagnostics import diagnose
from contextrast.contrast.peers.groups import GroupSampler, Samples
from contextrast.contrast.peers.memory import PixelMemory
from contextrast.contrast.peers.pairs import pair_contrast
from contextrast.contrast.rows import unit_length
from contextrast.contrast.segmentation import ContrastiveLoss
from contextrast.contrast.stages import StagePixels, stage_labels, stage_pixels
from contextrast.contrast.state import Stateful
from contextrast.errors import ConfigError, check_number


class PixelContrast(Stateful):
    """Contrast between sampled pixels of one embedding map (Wang et al., ICCV 2021).

    Groups are the (image, class) pairs with more than ``max_views`` pixels. Of each, equally many pixels are drawn,
    half of them misclassified ones, see :class:`GroupSampler`. They are compared with each other, or, where there is a
    memory, with all that it holds: past pixels of their class and of other classes, and past regions. Every term is
    scaled by τ/τ_b. A pixel without positives is left out of the mean, so a class that is drawn once adds nothing; with
    a memory, that is every pixel of a class of which nothing is stored yet, so the first step's loss is 0.

    Everything inside is computed in at least float32, under autocast too, and without a host-device synchronisation or
    a loop over images or classes. Only the drawn pixels are brought to unit length.

    Args:
        num_classes: N.
        temperature: τ; as published 0.07, and 0.1 on Cityscapes.
        base_temperature: τ_b.
        max_samples: Number of sampled pixels of the global batch at most.
        max_views: V, number of pixels a group at most.
        memory: Queues of past pixels and regions; None compares the batch's pixels with each other.
        seed: Seed of the draws.
        ignore_index: Label of pixels that take part in nothing; None if there is no such label.

    Raises:
        ConfigError: If an option is out of range.
    """

    any_length = True

    def __init__(
        self,
        num_classes: int,
        temperature: float = 0.07,
        base_temperature: float = 0.07,
        max_samples: int = 1024,
        max_views: int = 100,
        memory: PixelMemory | None = None,
        seed: int = 0,
        ignore_index: int | None = 255,
    ) -> None:
        super().__init__()
        check_number("temperature", temperature, above=True)
        check_number("base_temperature", base_temperature, above=True)
        check_number("max_views", max_views, 1, whole=True)
        self.num_classes = num_classes
        self.temperature = temperature
        self.base_temperature = base_temperature
        self.sampler = GroupSampler(max_views + 1, max_views, max_samples, hard_half=True, seed=seed)
        self.memory = memory
        self.ignore_index = ignore_index

    def forward(self, embeddings: Sequence[Tensor], target: Tensor, prediction: Tensor) -> dict[str, Tensor]:
        """The term, unweighted by α.

        Args:
            embeddings: One map ``[B, D, H_1, W_1]`` of any length.
            target: Ground truth ``[B, H, W]``.
            prediction: The network's own classes ``[B, H, W]``.

        Returns:
            ``{"pixel_contrast": scalar}``.

        Raises:
            ConfigError: If there is not one map, or shapes do not fit.
        """
        with torch.autocast(target.device.type, enabled=False):
            pixels = self._pixels(embeddings, target, prediction)
            samples, _ = self.sampler(pixels)
            loss = pair_contrast(samples, self._keys(), self.temperature) * (self.temperature / self.base_temperature)
            if self.memory is not None and self.training:
                self.memory.observe(pixels)
            return {"pixel_contrast": loss}

    @torch.no_grad()
    def diagnose(self, embeddings: Sequence[Tensor], target: Tensor, prediction: Tensor) -> dict[str, Tensor]:
        """What tells a user whether the term works, of the arguments of :meth:`forward`; computed anew.

        Returns:
            Detached scalars by name, see :func:`contextrast.contrast.peers.diagnostics.diagnose`; with a memory also
            ``memory_filled``, the share of its slots that hold an entry.
        """
        with torch.autocast(target.device.type, enabled=False):
            samples, hard = self.sampler(self._pixels(embeddings, target, prediction))
            values = diagnose(samples, hard, self._keys())
        if self.memory is not None:
            values["memory_filled"] = self.memory.filled().to(samples.embeddings.dtype).mean()
        return values

    def _pixels(self, embeddings: Sequence[Tensor], target: Tensor, prediction: Tensor) -> StagePixels:
        if len(embeddings) != 1:
            raise ConfigError(f"pixel contrast takes one map of embeddings, got {len(embeddings)}: concatenate them")
        labels = stage_labels(embeddings, target, prediction, self.num_classes, self.ignore_index)
        (pixels,) = stage_pixels(embeddings, labels)
        return pixels

    def _keys(self) -> Samples | None:
        """What samples are compared with; None is each other."""
        return None if self.memory is None else self.memory.keys()


class ConcatenatedHead(nn.Module):
    """One embedding map of several encoder stages (Wang et al., ICCV 2021).

    The stages are brought to the shallowest one's size by bilinear interpolation and concatenated; 1×1 convolution,
    batch norm, ReLU, 1×1 convolution and L2 normalisation over channels follow.

    Args:
        in_channels: Channels C_i of the encoder stages, shallowest first.
        embedding_dim: D.
        stages: Positions of the stages that are used, counted from the end where negative; all if not given.

    Raises:
        ConfigError: If there is no such stage.
    """

    def __init__(
        self, in_channels: Sequence[int], embedding_dim: int = 256, stages: Sequence[int] | None = None
    ) -> None:
        check_number("embedding_dim", embedding_dim, 1, whole=True)
        super().__init__()
        number = len(in_channels)
        chosen = list(range(number)) if stages is None else list(stages)
        if not chosen or any(not -number <= position < number for position in chosen):
            raise ConfigError(
                f"stages must name some of the {number} encoder stages by position 0 to {number - 1}, "
                f"or from the end by -1 to {-number}, got {chosen}"
            )
        self.in_channels = tuple(in_channels)
        self.stages = chosen
        self.head = EmbeddingHead(sum(in_channels[position] for position in chosen), embedding_dim)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Map features ``[B, C_i, H_i, W_i]`` to one unit-length ``[B, D, H_1, W_1]`` in at least float32.

        Raises:
            ConfigError: If there is another number of features, or they have other channels.
        """
        return [unit_length(embedding, 1) for embedding in self.embed(features)]

    def embed(self, features: Sequence[Tensor]) -> list[Tensor]:
        """As :meth:`forward`, without the normalisation: what the head gives, ``[B, D, H_1, W_1]`` of any length."""
        check_widths(features, self.in_channels)
        maps = [as_parameters(features[position], self.head) for position in self.stages]
        size = maps[0].shape[2:]
        coarser = [F.interpolate(part, size=size, mode="bilinear", align_corners=False) for part in maps[1:]]
        return [self.head(torch.cat([maps[0], *coarser], 1))]


class PixelContrastLoss(ContrastiveLoss):
    """Pixel contrast in any training loop, with the head it needs: L = L_base + α·L_pixel (Wang et al., ICCV 2021).

    Defaults are those published for HRNet on Cityscapes, whose schedule has 40000 steps.

    Args:
        num_classes: N.
        in_channels: Channels C_i of the encoder stages, shallowest first.
        stages: Positions of the stages that are concatenated; all if not given, as for HRNet. DeepLabV3 uses [-1].
        alpha: α, the weight of the term.
        start_step: Optimiser steps before which α is 0.
        warmup_steps: Steps over which α rises linearly from there; 0 is none.
        temperature: τ.
        base_temperature: τ_b.
        embedding_dim: D.
        max_samples: Number of sampled pixels of the global batch at most.
        max_views: Number of pixels a group at most.
        memory: Queues of past pixels and regions, or what makes them of ``num_classes`` and ``embedding_dim``.
        seed: Seed of the draws.
        base: Loss of logits and target to which the contrast is added; plain cross-entropy if not given.
        ignore_index: Label of pixels that take part in nothing; None if there is no such label.

    Raises:
        ConfigError: If a value is out of range.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: Sequence[int],
        stages: Sequence[int] | None = None,
        alpha: float = 0.1,
        start_step: int = 5000,
        warmup_steps: int = 0,
        temperature: float = 0.07,
        base_temperature: float = 0.07,
        embedding_dim: int = 256,
        max_samples: int = 1024,
        max_views: int = 100,
        memory: PixelMemory | Callable[..., PixelMemory] | None = None,
        seed: int = 0,
        base: nn.Module | None = None,
        ignore_index: int | None = 255,
    ) -> None:
        if memory is not None and not isinstance(memory, PixelMemory):
            memory = memory(num_classes=num_classes, embedding_dim=embedding_dim)
        super().__init__(
            num_classes,
            ConcatenatedHead(in_channels, embedding_dim, stages),
            PixelContrast(
                num_classes, temperature, base_temperature, max_samples, max_views, memory, seed, ignore_index
            ),
            alpha,
            start_step,
            warmup_steps,
            base,
            ignore_index,
        )

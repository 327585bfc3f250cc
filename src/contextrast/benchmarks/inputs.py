"""Seeded inputs with the shapes of real ones, and the configuration of training."""

import torch
import torch.nn.functional as F
from omegaconf import DictConfig
from torch import Tensor

from contextrast.runs.composition import compose


def training(*overrides: str) -> DictConfig:
    """Compose the configuration of ``contextrast-train``, with the current folder for a run folder and no loggers."""
    return compose("train", [*overrides, "logger=none", "paths.run_dir=."])


def label_maps(batch: int, height: int, width: int, num_classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Target and prediction ``[B, H, W]`` of blob-like regions, 30 % of the blobs mistaken."""
    generator = torch.Generator().manual_seed(seed)

    def blobs(cells: int) -> Tensor:
        noise = torch.randn(batch, num_classes, cells, 2 * cells, generator=generator)
        return F.interpolate(noise, size=(height, width), mode="bicubic").argmax(1)

    target = blobs(8)
    mistaken = F.interpolate(torch.rand(batch, 1, 8, 16, generator=generator), size=(height, width))[:, 0] < 0.3
    return target, torch.where(mistaken, blobs(8), target)


def class_logits(prediction: Tensor, num_classes: int, seed: int = 0) -> Tensor:
    """Logits ``[B, N, H, W]`` that ask for a gradient: noise, and the predicted class ``[B, H, W]`` well above it."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(prediction), num_classes, *prediction.shape[1:], generator=generator)
    return noise.scatter_add_(1, prediction.unsqueeze(1), torch.full_like(noise[:, :1], 5.0)).requires_grad_()


def stage_embeddings(batch: int, height: int, width: int, dim: int = 256, stages: int = 4) -> list[Tensor]:
    """Unit-length embeddings ``[B, D, H / 2^i, W / 2^i]`` of each stage, channels last, that ask for a gradient."""
    generator = torch.Generator().manual_seed(0)
    return [
        F.normalize(torch.randn(batch, dim, height >> i, width >> i, generator=generator), dim=1)
        .to(memory_format=torch.channels_last)
        .requires_grad_()
        for i in range(stages)
    ]

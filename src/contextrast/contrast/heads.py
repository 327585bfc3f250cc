"""Embedding heads: they map encoder stages to the space the contrastive term works in, and exist in training only."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from contextrast.contrast.inputs import check_widths
from contextrast.contrast.rows import unit_length
from contextrast.errors import check_number


class EmbeddingHead(nn.Sequential):
    """1×1 convolution, batch norm, ReLU, 1×1 convolution: ``[B, C, H, W]`` to ``[B, D, H, W]``.

    The papers print parameter totals only; Σ (C² + D·C) over HRNet-W48's branches is the 0.38 M they print.
    """

    def __init__(self, in_channels: int, embedding_dim: int = 256) -> None:
        super().__init__(
            nn.Conv2d(in_channels, in_channels, 1, bias=False),  # batch norm has the bias
            nn.BatchNorm2d(in_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(in_channels, embedding_dim, 1),
        )


class EmbeddingHeads(nn.Module):
    """One head for each encoder stage, followed by L2 normalisation over channels.

    Args:
        in_channels: Channels C_i of the stages, shallowest first.
        embedding_dim: D, the channels of every embedding.
        head: Makes the head of C_i and D.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        embedding_dim: int = 256,
        head: Callable[[int, int], nn.Module] = EmbeddingHead,
    ) -> None:
        check_number("embedding_dim", embedding_dim, 1, whole=True)
        super().__init__()
        self.in_channels = tuple(in_channels)
        self.heads = nn.ModuleList(head(channels, embedding_dim) for channels in in_channels)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Map features ``[B, C_i, H_i, W_i]`` to unit-length embeddings ``[B, D, H_i, W_i]`` in at least float32.

        Raises:
            ConfigError: If there is another number of features, or they have other channels.
        """
        return [unit_length(embedding, dim=1) for embedding in self.embed(features)]

    def embed(self, features: Sequence[Tensor]) -> list[Tensor]:
        """As :meth:`forward`, without the normalisation: what the heads give, ``[B, D, H_i, W_i]`` of any length."""
        check_widths(features, self.in_channels)
        return [head(as_parameters(feature, head)) for head, feature in zip(self.heads, features, strict=True)]


def as_parameters(feature: Tensor, head: nn.Module) -> Tensor:
    """A feature map in the dtype of a head's parameters, whatever dtype a network makes; autocast does it by itself."""
    if torch.is_autocast_enabled(feature.device.type) and feature.dtype != torch.float64:  # which autocast leaves alone
        return feature
    return feature.to(next(head.parameters()).dtype)

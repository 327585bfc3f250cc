"""Embedding heads: they map encoder stages to the space the contrastive term works in, and exist in training only."""

from collections.abc import Sequence

from torch import Tensor, nn

from contextrast.contrast.rows import unit_length


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
    """

    def __init__(self, in_channels: Sequence[int], embedding_dim: int = 256) -> None:
        super().__init__()
        self.heads = nn.ModuleList(EmbeddingHead(channels, embedding_dim) for channels in in_channels)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Map features ``[B, C_i, H_i, W_i]`` to unit-length embeddings ``[B, D, H_i, W_i]`` in at least float32."""
        return [unit_length(head(feature), dim=1) for head, feature in zip(self.heads, features, strict=True)]

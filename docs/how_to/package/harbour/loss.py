"""A loss of one's own: cross-entropy plus a weighted term on embeddings of the feature maps."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from contextrast.contrast.heads import EmbeddingHeads
from contextrast.contrast.segmentation import ContrastiveLoss
from contextrast.contrast.stages import as_rows, to_grid


class Spread(NamedTuple):
    """What is logged: the mean distance of each feature map's pixels to their class's mean, ``[I]``."""

    spread: Tensor

    def by_name(self) -> dict[str, Tensor]:
        """The values under their names."""
        return self._asdict()


class Compactness(nn.Module):
    """The mean squared distance of pixels to the mean of their class in the batch.

    Args:
        num_classes: N.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes

    def forward(self, embeddings: Sequence[Tensor], target: Tensor, prediction: Tensor) -> dict[str, Tensor]:
        """The term, of unit-length embeddings ``[B, D, H_i, W_i]`` and labels ``[B, H, W]``."""
        return self.forward_with_diagnostics(embeddings, target, prediction)[0]

    def forward_with_diagnostics(
        self, embeddings: Sequence[Tensor], target: Tensor, prediction: Tensor
    ) -> tuple[dict[str, Tensor], Spread]:
        """The term, and its value at each feature map."""
        values = torch.stack([self._at(embedding, target) for embedding in embeddings])
        return {"compactness": values.mean()}, Spread(values.detach())

    def update(self) -> None:
        """Nothing outlives a step."""

    def _at(self, embedding: Tensor, target: Tensor) -> Tensor:
        rows = as_rows(embedding.float())
        classes = to_grid(target, *embedding.shape[-2:]).flatten().clamp(max=self.num_classes)  # ignored ones together
        counts = rows.new_zeros(self.num_classes + 1).index_add(0, classes, rows.new_ones(len(rows)))
        sums = rows.new_zeros(self.num_classes + 1, rows.shape[1]).index_add(0, classes, rows)
        means = sums / counts.clamp_min(1).unsqueeze(1)
        distances = (rows - means[classes]).square().sum(1)
        valid = classes < self.num_classes
        return (distances * valid).sum() / valid.sum().clamp_min(1)


class CompactLoss(ContrastiveLoss):
    """L = L_CE + α · compactness.

    Args:
        num_classes: N.
        in_channels: Channels C_i of the feature maps.
        alpha: α.
        embedding_dim: D.
    """

    def __init__(
        self, num_classes: int, in_channels: Sequence[int], alpha: float = 0.1, embedding_dim: int = 64
    ) -> None:
        super().__init__(num_classes, EmbeddingHeads(in_channels, embedding_dim), Compactness(num_classes), alpha)

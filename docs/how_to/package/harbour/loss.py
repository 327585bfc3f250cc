"""A loss of one's own: cross-entropy plus a weighted term on embeddings of the feature maps."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from contextrast.contrast.heads import EmbeddingHeads
from contextrast.contrast.segmentation import ContrastiveLoss
from contextrast.contrast.segments import counts_of_segments, sums_of_segments
from contextrast.contrast.stages import as_rows, to_grid


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
        values = torch.stack([self._at(embedding, target) for embedding in embeddings])
        return {"compactness": values.mean()}

    @torch.no_grad()
    def diagnose(self, embeddings: Sequence[Tensor], target: Tensor, prediction: Tensor) -> dict[str, Tensor]:
        """What the curves show: the mean distance of each feature map's pixels to their class's mean, ``[I]``."""
        return {"spread": torch.stack([self._at(embedding, target) for embedding in embeddings])}

    def _at(self, embedding: Tensor, target: Tensor) -> Tensor:
        rows = as_rows(embedding.float())
        classes = to_grid(target, *embedding.shape[-2:]).flatten().clamp(max=self.num_classes)  # ignored ones together
        counts = counts_of_segments(classes, self.num_classes + 1)
        means = sums_of_segments(rows, classes, self.num_classes + 1) / counts.clamp_min(1).unsqueeze(1)
        distances = (rows - means[classes]).square().sum(1)
        valid = classes < self.num_classes
        return (distances * valid).sum() / valid.sum().clamp_min(1)


class CompactLoss(ContrastiveLoss):
    """L = L_base + α · compactness.

    Args:
        num_classes: N.
        in_channels: Channels C_i of the feature maps.
        alpha: α.
        embedding_dim: D.
        base: L_base; plain cross-entropy if not given.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: Sequence[int],
        alpha: float = 0.1,
        embedding_dim: int = 64,
        base: nn.Module | None = None,
    ) -> None:
        heads = EmbeddingHeads(in_channels, embedding_dim)
        super().__init__(num_classes, heads, Compactness(num_classes), alpha, base=base)

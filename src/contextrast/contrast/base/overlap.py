"""Losses of the overlap of predicted and true regions: soft Dice and Tversky."""

import torch
from torch import Tensor, nn

from contextrast.contrast.collective import sum_for_equal_losses
from contextrast.contrast.rows import at_least_float32
from contextrast.errors import ConfigError


class SoftTversky(nn.Module):
    """Tversky loss of softmax probabilities (Salehi et al., MLMI 2017): 1 - TP / (TP + α·FP + β·FN), mean over classes.

    With the probabilities p of a class and its pixels g ∈ {0, 1}, TP = Σ p·g, FP = Σ p·(1 - g) and FN = Σ (1 - p)·g
    over the labelled pixels of the global batch, not image by image. The mean is over the classes that occur in it;
    segmentation_models_pytorch divides by the number of all classes, so both agree where all occur. α = β = 0.5 is
    Dice, α = β = 1 is Jaccard (IoU).

    Computed in at least float32, under autocast too, and without a host-device synchronisation.

    Args:
        alpha: α, weight of probability at pixels of other classes.
        beta: β, weight of probability that is missing at pixels of the class; above α it favours recall. The paper's
            best are 0.3 and 0.7.
        ignore_index: Label of pixels that take part in nothing.

    Raises:
        ConfigError: If a weight is negative, or both are 0.
    """

    def __init__(self, alpha: float = 0.3, beta: float = 0.7, ignore_index: int = 255) -> None:
        super().__init__()
        if not (alpha >= 0 and beta >= 0 and alpha + beta > 0):
            raise ConfigError(f"alpha and beta must be 0 or more, one of them above, got {alpha}, {beta}")
        self.alpha = alpha
        self.beta = beta
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss in 0..1 of logits ``[B, N, H, W]`` against ``[B, H, W]``, a connected 0 without labelled pixels."""
        with torch.autocast(target.device.type, enabled=False):
            valid = target != self.ignore_index
            probabilities = at_least_float32(logits).contiguous().softmax(1) * valid.unsqueeze(1)
            hits, predicted, pixels = self._sums(probabilities, torch.where(valid, target.long(), 0), valid)
            present = pixels > 0
            union = hits + self.alpha * (predicted - hits) + self.beta * (pixels - hits)
            smallest = torch.finfo(union.dtype).tiny  # where β = 0 and nothing at all is predicted
            losses = 1 - hits / torch.where(present, union, 1).clamp_min(smallest)
            return (losses * present).sum() / present.sum().clamp_min(1)

    def _sums(self, probabilities: Tensor, target: Tensor, valid: Tensor) -> tuple[Tensor, ...]:
        """Σ p·g, Σ p and Σ g of every class in the global batch, ``[N]`` each."""
        own = probabilities.gather(1, target.unsqueeze(1)).flatten(0, 2)
        rows, labels = own.new_zeros(len(own), probabilities.shape[1]), target.flatten(0, 1)
        # Row by row first: a sum of millions of float32 one after the other would lose digits.
        hits = rows.scatter_add(1, labels, own).sum(0)
        pixels = rows.scatter_add(1, labels, valid.flatten(0, 1).to(rows.dtype)).sum(0)
        return sum_for_equal_losses(torch.stack([hits, probabilities.sum((0, 2, 3)), pixels])).unbind()


class SoftDice(SoftTversky):
    """Dice loss of softmax probabilities: 1 - 2·Σ p·g / (Σ p + Σ g), mean over the classes that occur.

    The soft Dice of Milletari et al. (3DV 2016) squares p and g in the denominator; like segmentation_models_pytorch
    and the Tversky loss, whose α = β = 0.5 this is, this one does not. See :class:`SoftTversky` for the rest.

    Args:
        ignore_index: Label of pixels that take part in nothing.
    """

    def __init__(self, ignore_index: int = 255) -> None:
        super().__init__(0.5, 0.5, ignore_index)

"""Pixel-wise cross-entropy, with what segmentation adds to it."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contextrast.contrast.collective import sum_over_ranks, value_at, world_size
from contextrast.contrast.rows import at_least_float32
from contextrast.errors import ConfigError, check_number


class CrossEntropy(nn.Module):
    """Pixel-wise cross-entropy with class weights, label smoothing, focal weights and online hard example mining.

    Divisor and hard examples are those of the global batch.

    Args:
        class_weights: One weight a class; all equal if not given.
        label_smoothing: Share of the target distribution spread over all classes.
        ohem_threshold: Keep only pixels whose true class's probability is at most this (Shrivastava et al., CVPR 2016);
            None keeps all.
        ohem_min_share: Keep at least this share of the valid pixels, the hardest first.
        focal_gamma: γ of the focal loss (Lin et al., ICCV 2017) in its softmax form: each pixel's loss is multiplied by
            (1 - p)^γ for the probability p of its true class; 0 is none. The divisor stays that of all kept pixels.
        ignore_index: Label of pixels that take part in nothing.

    Raises:
        ConfigError: If a share lies outside [0, 1], γ is negative, or the weights are no list of numbers.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        class_weights: Sequence[float] | None = None,
        label_smoothing: float = 0.0,
        ohem_threshold: float | None = None,
        ohem_min_share: float = 0.1,
        focal_gamma: float = 0.0,
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        shares = {"label_smoothing": label_smoothing, "ohem_min_share": ohem_min_share}
        shares |= {} if ohem_threshold is None else {"ohem_threshold": ohem_threshold}
        for name, value in shares.items():
            check_number(name, value, 0, 1)
        check_number("focal_gamma", focal_gamma)
        if isinstance(class_weights, str):
            raise ConfigError(
                f"class_weights must be one number per class, such as [1.0, 2.5, 0.8], got {class_weights!r} (the "
                "configuration of contextrast-train also takes auto, which it computes from the data)"
            )
        for weight in class_weights or ():
            check_number("class_weights", weight)
        weights = None if class_weights is None else torch.tensor([float(weight) for weight in class_weights])
        self.register_buffer("class_weights", weights, persistent=False)
        self.label_smoothing = label_smoothing
        self.ohem_threshold = ohem_threshold
        self.ohem_min_share = ohem_min_share
        self.focal_gamma = focal_gamma
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Mean over the kept pixels of logits ``[B, N, H, W]`` against ``[B, H, W]``, a connected 0 if there is none.

        Args:
            logits: ``[B, N, H, W]``.
            target: ``[B, H, W]``.
            weight: Weight of every pixel in the mean, ``[B, H, W]``; all equal if not given.

        Raises:
            ConfigError: If the number of class weights is not that of the classes.
        """
        logits, weights = at_least_float32(logits), self.class_weights
        if weights is not None and len(weights) != logits.shape[1]:
            raise ConfigError(f"class_weights has {len(weights)} values for {logits.shape[1]} classes")
        target = target.long()
        losses = F.cross_entropy(
            logits,
            target,
            weight=None if weights is None else weights.to(logits.dtype),
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            reduction="none",
        )
        if self.focal_gamma:
            losses = losses * self._focal_factor(logits, target, losses)
        kept = (target != self.ignore_index).to(losses.dtype)
        if self.ohem_threshold is not None:
            kept = kept * self._hard(logits, target)
        if weight is not None:
            kept = kept * weight
        if weights is not None:
            divisor = weights.to(losses.dtype)[torch.where(target == self.ignore_index, 0, target)] * kept
        else:
            divisor = kept
        total = sum_over_ranks(divisor.sum().detach())
        return (losses * kept).sum() / total.clamp_min(torch.finfo(losses.dtype).tiny) * world_size()

    def _focal_factor(self, logits: Tensor, target: Tensor, losses: Tensor) -> Tensor:
        """(1 - p)^γ of every pixel, ``[B, H, W]``; of no meaning at ignored ones, whose loss is 0."""
        if self.class_weights is not None or self.label_smoothing:  # else they are -log p already
            losses = F.cross_entropy(logits, target, ignore_index=self.ignore_index, reduction="none")
        wrong = -torch.expm1(-losses)  # exact where p is close to 1
        # The derivative of a power below 1 is infinite at 0; below the smallest number the gradient is 0.
        return wrong.clamp_min(torch.finfo(wrong.dtype).tiny).pow(self.focal_gamma)

    @torch.no_grad()
    def _hard(self, logits: Tensor, target: Tensor) -> Tensor:
        """Pixels below the probability threshold, or the hardest share if that is more; ``[B, H, W]``."""
        assert self.ohem_threshold is not None
        valid = target != self.ignore_index
        index = torch.where(valid, target, 0).unsqueeze(1)
        probability = logits.softmax(1).gather(1, index).squeeze(1).masked_fill(~valid, 2.0)
        ordered = probability.flatten().sort().values
        number = sum_over_ranks(valid.sum())
        least = ((number * self.ohem_min_share).long() - 1).clamp(0, ordered.numel() * world_size() - 1)
        threshold = value_at(ordered, least).clamp_min(self.ohem_threshold)
        return (probability <= threshold).to(logits.dtype)

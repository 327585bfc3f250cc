"""Representative anchors: the mean embedding of each class at a stage (Contextrast, Eq. 1)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from contextrast.contrast.collective import sum_over_ranks
from contextrast.contrast.segments import counts_of_segments
from contextrast.contrast.stages import StageLabels
from contextrast.contrast.state import Stateful
from contextrast.errors import check_number


def class_anchors(sums: Tensor, labels: StageLabels) -> tuple[Tensor, Tensor]:
    """Mean embedding and pixel count of every class over the whole batch (Contextrast, Eq. 1).

    On several devices the batch is the global one, at the price of one sum of I·N·(D + 1) numbers over them.

    Args:
        sums: Sums of the directions of every class's pixels, ``[I, N, D]``.
        labels: Of all stages' pixels; ignored ones count nowhere.

    Returns:
        Anchors ``[I, N, D]`` (zero for a class that does not occur) and counts ``[I, N]`` in the dtype of the sums.
    """
    counts = counts_of_segments(labels.segments, labels.num_segments + 1)[:-1].view(*sums.shape[:2], 1)
    totals = sum_over_ranks(torch.cat([sums, counts.to(sums.dtype)], 2))
    sums, counts = totals[..., :-1], totals[..., -1].detach()
    return sums / counts.clamp_min(1).unsqueeze(-1), counts


class RunningAnchors(Stateful):
    """Anchors of every stage averaged over steps: curves show how far apart they are, and fusion may use them.

    A forward pass deposits the batch's anchors; :meth:`update`, called once after the optimiser step, folds them in.
    The first anchor of a class is taken as it is.

    Args:
        num_stages: Number of stages.
        num_classes: N.
        embedding_dim: D.
        momentum: Share of the old anchor that is kept at an update.
        fill_deepest: Use the running anchor of the deepest stage for classes that are missing from it in this batch.
    """

    anchors: Tensor
    seen: Tensor
    batch_anchors: Tensor
    batch_present: Tensor

    def __init__(
        self,
        num_stages: int,
        num_classes: int,
        embedding_dim: int = 256,
        momentum: float = 0.99,
        fill_deepest: bool = False,
    ) -> None:
        check_number("running_anchors_momentum", momentum, 0, 1)
        super().__init__()
        self.momentum = momentum
        self.fill_deepest = fill_deepest
        self.register_buffer("anchors", torch.zeros(num_stages, num_classes, embedding_dim))
        self.register_buffer("seen", torch.zeros(num_stages, num_classes, dtype=torch.bool))
        self.register_buffer("batch_anchors", torch.zeros(num_stages, num_classes, embedding_dim), persistent=False)
        self.register_buffer("batch_present", torch.zeros(num_stages, num_classes, dtype=torch.bool), persistent=False)

    @torch.no_grad()
    def observe(self, anchors: Tensor, counts: Tensor) -> None:
        """Deposit this batch's anchors ``[I, N, D]`` and counts ``[I, N]`` for the next :meth:`update`."""
        self.batch_anchors.copy_(anchors)
        self.batch_present.copy_(counts > 0)

    @torch.no_grad()
    def update(self) -> None:
        """Fold the deposited anchors in: a ← m·a + (1 − m)·batch for classes of the batch. Idempotent in between."""
        present = self.batch_present.unsqueeze(-1)
        momentum = self.momentum * self.seen.unsqueeze(-1).to(self.anchors.dtype)
        mixed = torch.lerp(self.batch_anchors, self.anchors, momentum)
        self.anchors.copy_(torch.where(present, mixed, self.anchors))
        self.seen.logical_or_(self.batch_present)
        self.batch_present.zero_()

    def filled(self, deepest: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Deepest-stage anchors and counts with classes missing from the batch taken from the running anchors."""
        if not self.fill_deepest:
            return deepest, counts
        use = (counts == 0) & self.seen[-1]
        return torch.where(use.unsqueeze(1), self.anchors[-1].to(deepest.dtype), deepest), counts + use.to(counts.dtype)

    @torch.no_grad()
    def diagnose(self) -> dict[str, Tensor]:
        """How far classes have come apart.

        Returns:
            ``anchor_cosine``: mean cosine between the anchors of two different classes seen so far, ``[I]``; 0 where
            there are fewer than two.
        """
        unit = F.normalize(self.anchors, dim=2) * self.seen.unsqueeze(2)
        number = self.seen.sum(1)
        pairs = number * (number - 1)
        return {"anchor_cosine": (unit.sum(1).square().sum(1) - number) / pairs.clamp_min(1) * (pairs > 0)}

r"""The Lovász-Softmax loss without sorting.

The loss of a class is the Lovász extension of its Jaccard loss Δ at the errors e_i of the pixels (1 - p at the class's
own pixels, p at all others), Σ_i e_i·g_i: g_i is what pixel i adds to Δ when pixels become wrong in the order of
falling errors. An exact one sorts all P pixels for each class, which costs many times what a contrast does. But g needs
an order of pixels whose errors differ, and no more: errors are counted in levels of width 1/K, and pixels of one level
share their g. That is

* never above the exact loss, and below it by 1/K at most;
* with a gradient (by p) that is a subgradient of the exact loss at errors which differ from the true ones by at most
  1/(2K).

For: the shared g is a mean of the g's of orders that a sort of the errors rounded to the middles ê of their levels may
return. Each order's g has non-negative entries with sum 1 and Σ e·g below the exact loss, which is the maximum over all
orders (Δ is submodular); so Σ e·g ≤ L(e), g is a subgradient at ê, and Σ e·g ≥ Σ ê·g - 1/(2K) = L(ê) - 1/(2K) ≥
L(e) - 1/K.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contextrast.contrast.collective import sum_over_ranks, world_size
from contextrast.contrast.rows import at_least_float32
from contextrast.errors import check_number


class LovaszSoftmax(nn.Module):
    """Lovász-Softmax (Berman et al., CVPR 2018): a surrogate of the mean IoU of the classes that occur in the batch.

    Over all images of the global batch at once (the paper's ``per_image=False``, ``classes="present"``): processes add
    up how many pixels have an error of each level. Errors are told apart in ``levels`` steps instead of being sorted,
    which makes the loss at most 1/``levels`` lower than the exact one, see this module's text.

    Computed in at least float32, under autocast too, and without a host-device synchronisation. Time is linear in the
    logits.

    Args:
        levels: K, number of levels that errors are told apart in.
        ignore_index: Label of pixels that take part in nothing.

    Raises:
        ConfigError: If levels are no whole number from 1 to 2^20.
    """

    def __init__(self, levels: int = 1024, ignore_index: int = 255) -> None:
        super().__init__()
        check_number("levels", levels, 1, 2**20, whole=True)  # times classes they are numbered in 32 bits
        self.levels = levels
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss in 0..1 of logits ``[B, N, H, W]`` against ``[B, H, W]``, a connected 0 without labelled pixels."""
        with torch.autocast(target.device.type, enabled=False):
            probabilities = at_least_float32(logits).contiguous().softmax(1)
            with torch.no_grad():  # the loss is linear in the errors as long as none changes its level
                shares, constant = self._linear(probabilities, target.unsqueeze(1).long())
            return ((probabilities * shares).sum() + constant) * world_size()

    def _linear(self, probabilities: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Derivative of the loss by each probability, and what remains of the loss where all are 0."""
        num_classes = probabilities.shape[1]
        valid = target != self.ignore_index
        target = torch.where(valid, target, 0)
        first = torch.arange(num_classes, dtype=torch.int32, device=target.device) * self.levels
        last = num_classes * self.levels  # where ignored pixels go
        own = probabilities.gather(1, target)
        every = self._level(probabilities).add_(first[:, None, None]).masked_fill_(~valid, last)
        as_other, as_own = (torch.where(valid, first[target] + self._level(errors), last) for errors in (own, 1 - own))
        foreground = self._count(as_own, num_classes)
        background = self._count(every, num_classes) - self._count(as_other, num_classes)
        counts = sum_over_ranks(torch.stack([foreground, background]))
        of_own, of_other = F.pad(jaccard_shares(counts[0], counts[1], probabilities.dtype).flatten(1), (0, 1))
        own_share = of_own.index_select(0, as_own.flatten()).view_as(own)
        shares = of_other.index_select(0, every.flatten()).view_as(probabilities)
        return shares.scatter_(1, target, -own_share), own_share.sum()

    def _level(self, errors: Tensor) -> Tensor:
        """int32 0 .. K - 1; 0 for what is no number, so that the loss is none either and no index is out of range."""
        return (errors * self.levels).to(torch.int32).clamp_(0, self.levels - 1)

    def _count(self, index: Tensor, num_classes: int) -> Tensor:
        """How often each class and level occurs, int32 ``[N, K]``; the index after all of them counts nowhere."""
        counts = torch.zeros(num_classes * self.levels + 1, dtype=torch.int32, device=index.device)
        one = torch.ones(1, dtype=torch.int32, device=index.device)
        return counts.index_add_(0, index.flatten(), one.expand(index.numel()))[:-1].view(num_classes, self.levels)


def jaccard_shares(foreground: Tensor, background: Tensor, dtype: torch.dtype) -> Tensor:
    """Derivative of the mean loss of the classes that occur by the error of a pixel of each class and level.

    With F pixels of the class, f of which and b others lie in higher levels, Δ = (f + b) / (F + b). The a pixels of the
    class and the o others of a level share what they add to it: half as if the former came first, half the latter.

    Args:
        foreground: Pixels of each class by the level of their error, ``[N, K]``, lowest level first.
        background: Pixels of all other classes, likewise.
        dtype: Of the result.

    Returns:
        ``[2, N, K]``: for pixels of the class, and for others; 0 for classes without a pixel.
    """
    size = foreground.sum(1, keepdim=True)
    before = (size + _in_higher_levels(background)).clamp_min(1).to(dtype)
    after = before + background
    correct = size - _in_higher_levels(foreground) - foreground / 2
    shares = torch.stack([(1 / before + 1 / after) / 2, correct / (before * after)])
    return shares * (size > 0) / (size > 0).sum().clamp_min(1)


def _in_higher_levels(counts: Tensor) -> Tensor:
    return counts.flip(1).cumsum(1).flip(1) - counts

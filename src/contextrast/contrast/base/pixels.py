"""What the losses of regions look at: probabilities of the labelled pixels."""

from typing import NamedTuple

import torch
from torch import Tensor

from contextrast.contrast.rows import at_least_float32


class LabelledPixels(NamedTuple):
    """Probabilities of a batch, and of each pixel that of its own class.

    Attributes:
        probabilities: ``[B, N, H, W]`` in at least float32, contiguous; 0 at ignored pixels.
        own: Probability of the true class, ``[P]``; 0 at ignored pixels.
        classes: True class of every pixel, int64 ``[P]``; N marks ignored pixels.
    """

    probabilities: Tensor
    own: Tensor
    classes: Tensor


def labelled_pixels(logits: Tensor, target: Tensor, ignore_index: int) -> LabelledPixels:
    """Softmax of logits ``[B, N, H, W]`` at the pixels of ``[B, H, W]`` that are not ignored."""
    num_classes = logits.shape[1]
    valid = target != ignore_index
    probabilities = at_least_float32(logits).contiguous().softmax(1) * valid.unsqueeze(1)
    index = torch.where(valid, target.long(), 0)
    own = probabilities.gather(1, index.unsqueeze(1))
    return LabelledPixels(probabilities, own.flatten(), torch.where(valid, index, num_classes).flatten())


def mean_of_present(losses: Tensor, present: Tensor) -> Tensor:
    """Mean of the losses ``[N]`` of the classes that occur, a connected 0 if none does."""
    return (losses * present).sum() / present.sum().clamp_min(1)

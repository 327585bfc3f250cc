"""Class probabilities of whole images: over several scales with flips, and over sliding windows."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from contextrast.errors import ConfigError

Predict = Callable[[Tensor], Tensor]
"""What segments a batch: float [B, 3, H, W] -> logits [B, N, H, W], such as a `Segmenter` in evaluation mode."""


@dataclass(frozen=True)
class InferenceProtocol:
    """How images are looked at: whole, at several scales with flips, or where they are large in sliding windows.

    Attributes:
        scales: Image scales that are averaged, see :func:`multi_scale_probabilities`.
        flip: Whether mirrored images enter the mean, too.
        batch_size: Views of each image (itself and mirrored, or windows) that are predicted at once.
        window: Height and width above which an image is predicted in windows, see
            :func:`sliding_window_probabilities`; None takes every image whole.
        overlap: Smallest share of a window that its neighbour covers too.
    """

    scales: Sequence[float] = (1.0,)
    flip: bool = False
    batch_size: int = 2
    window: Sequence[int] | None = None
    overlap: float = 0.25

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """The protocol of a command's settings, which are more than its own."""
        return cls(**{field.name: settings[field.name] for field in fields(cls)})

    def __call__(self, predict: Predict, image: Tensor) -> Tensor:
        """Class probabilities of a batch.

        Args:
            predict: Maps images [B, 3, h, w] of any size to logits [B, N, h, w].
            image: float [B, 3, H, W], normalised.

        Returns:
            float32 [B, N, H, W], non-negative, 1 in sum over the classes.

        Raises:
            ConfigError: If the settings are out of range, or windows are asked for with scales or flips.
        """
        window = self.window
        if window is None or (image.shape[2] <= window[0] and image.shape[3] <= window[1]):
            return multi_scale_probabilities(predict, image, self.scales, self.flip, self.batch_size)
        if list(self.scales) != [1.0] or self.flip:
            raise ConfigError("Sliding windows go with scales=[1.0] and flip=false; window=null predicts whole images.")
        return sliding_window_probabilities(predict, image, window, self.overlap, self.batch_size)


def multi_scale_probabilities(
    predict: Predict, image: Tensor, scales: Sequence[float] = (1.0,), flip: bool = False, batch_size: int = 2
) -> Tensor:
    """Average a network's softmax over image scales and, if asked, mirrored images.

    Each scaled image is predicted on its own, its logits are brought back bilinearly to the image's size, and their
    softmax enters the mean with the same weight: the multi-scale test of the segmentation literature.

    Args:
        predict: Maps images [B, 3, h, w] of any size to logits [B, N, h, w].
        image: float [B, 3, H, W], normalised.
        scales: Factors on height and width, each above 0.
        flip: Whether every scale is also predicted mirrored left to right.
        batch_size: Views of each image of the batch that are predicted at once: 2 takes an image and its mirrored
            image through the network together, 1 one after the other in half of the memory. Scales differ in size,
            so that each has a pass of its own.

    Returns:
        float32 [B, N, H, W], non-negative, 1 in sum over the classes.

    Raises:
        ConfigError: If there is no scale, or one is not above 0, or the batch size is below 1.
    """
    if not scales or min(scales) <= 0:
        raise ConfigError(f"Test scales must be numbers above 0, got {list(scales)}. Single scale is [1.0].")
    if batch_size < 1:
        raise ConfigError(f"Views are predicted at least 1 at once, got batch_size={batch_size}.")
    views = (False, True) if flip else (False,)
    height, width = image.shape[-2:]
    total: Tensor | None = None
    for scale in scales:
        size = [max(1, math.floor(side * scale + 0.5)) for side in (height, width)]
        scaled = _resize(image, size)
        for first in range(0, len(views), batch_size):
            group = views[first : first + batch_size]
            logits = predict(torch.cat([scaled.flip(-1) if mirrored else scaled for mirrored in group]))
            for mirrored, part in zip(group, torch.split(logits, len(image)), strict=True):
                upright = part.flip(-1) if mirrored else part
                probabilities = _resize(upright.float(), [height, width]).softmax(dim=1)
                total = probabilities if total is None else total + probabilities
    assert total is not None
    return total / (len(scales) * len(views))


def sliding_window_probabilities(
    predict: Predict, image: Tensor, window: Sequence[int], overlap: float = 0.5, batch_size: int = 4
) -> Tensor:
    """Predict large images piece by piece, and average the softmax where pieces overlap.

    Along each side as few windows as the overlap allows are spread evenly from edge to edge, so that none hangs over.
    A side shorter than the window is taken whole.

    Args:
        predict: Maps images [B, 3, h, w] to logits [B, N, h, w].
        image: float [B, 3, H, W], normalised.
        window: Height and width of a window in pixels.
        overlap: Smallest share of a window that its neighbour covers too, 0 <= overlap < 1.
        batch_size: Windows predicted at once for each image of the batch.

    Returns:
        float32 [B, N, H, W], non-negative, 1 in sum over the classes.

    Raises:
        ConfigError: If window, overlap or batch size is out of range.
    """
    if len(window) != 2 or min(window) < 1 or not 0 <= overlap < 1 or batch_size < 1:
        raise ConfigError(
            "Sliding windows need a height and width of at least 1 pixel, an overlap from 0 to below 1 and a batch "
            f"size of at least 1, got window={list(window)}, overlap={overlap}, batch_size={batch_size}."
        )
    batch, _, height, width = image.shape
    h, w = min(window[0], height), min(window[1], width)
    corners = [(y, x) for y in _starts(height, h, overlap) for x in _starts(width, w, overlap)]
    total: Tensor | None = None
    count = torch.zeros(height, width, device=image.device)
    for first in range(0, len(corners), batch_size):
        group = corners[first : first + batch_size]
        pieces = torch.cat([image[..., y : y + h, x : x + w] for y, x in group])
        probabilities = predict(pieces).float().softmax(dim=1)
        for (y, x), piece in zip(group, torch.split(probabilities, batch), strict=True):
            if total is None:
                total = piece.new_zeros(batch, piece.shape[1], height, width)
            total[..., y : y + h, x : x + w] += piece
            count[y : y + h, x : x + w] += 1
    assert total is not None
    return total / count


def _starts(side: int, window: int, overlap: float) -> list[int]:
    """First pixels of evenly spread windows that cover a side, their steps at most (1 - overlap) windows long."""
    if side <= window:
        return [0]
    step = max(1, math.floor(window * (1 - overlap)))
    number = math.ceil((side - window) / step) + 1
    return [(side - window) * index // (number - 1) for index in range(number)]


def _resize(x: Tensor, size: list[int]) -> Tensor:
    if list(x.shape[-2:]) == size:
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)

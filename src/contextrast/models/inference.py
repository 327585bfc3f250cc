"""Class probabilities of whole images: over several scales with flips, and over sliding windows."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise, product
from typing import Any, Final, NamedTuple, Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from contextrast.arguments import check_arguments
from contextrast.errors import ConfigError, check_number
from contextrast.models.coarse import Coarse, CoarseLogits

Predict = Callable[[Tensor], Tensor]
"""What segments a batch: float [B, C, H, W] -> logits [B, N, H, W], such as a `Segmenter` in evaluation mode.

Of one with a method ``coarse``, as a `Segmenter` has it, logits of a whole image never are in memory.
"""


class Network(Protocol):
    """What is evaluated: a `Segmenter`, or what was exported of one."""

    @property
    def channels(self) -> int:
        """Channels C of the images that it takes."""
        ...

    @property
    def stage_names(self) -> Sequence[str]:
        """Names of the feature maps that it shows."""
        ...

    @property
    def stage_channels(self) -> Sequence[int]:
        """Channels of each of them."""
        ...

    def normalize(self, image: Tensor) -> Tensor:
        """Bring images uint8 ``[B, C, H, W]`` to what it is called with, float ``[B, C, H, W]``."""
        ...

    def __call__(self, image: Tensor, /) -> Tensor:
        """Logits ``[B, N, H, W]``."""
        ...


_LARGEST_SCALE: Final = 100.0  # a larger image fits into no memory
_BAND: Final = 128  # rows or columns whose probabilities are computed at once


class Tile(NamedTuple):
    """A piece of a batch of images.

    Attributes:
        rows: Of the images.
        columns: Of the images.
        probabilities: Of their classes there, float32 [B, N, h, w], non-negative, 1 in sum over the classes.
    """

    rows: slice
    columns: slice
    probabilities: Tensor


@dataclass(frozen=True)
class InferenceProtocol:
    """How images are looked at: whole, at several scales with flips, or where they are large in sliding windows.

    Attributes:
        scales: Image scales, factors on height and width, whose softmax is averaged.
        flip: Whether mirrored images enter the mean, too.
        batch_size: Views of each image (itself and mirrored, or windows) that are predicted at once.
        window: Height and width above which an image is predicted in windows; None takes every image whole.
        overlap: Smallest share of a window that its neighbour covers too.

    Raises:
        ConfigError: If one of them is out of range.
    """

    scales: Sequence[float] = (1.0,)
    flip: bool = False
    batch_size: int = 2
    window: Sequence[int] | None = None
    overlap: float = 0.25

    def __post_init__(self) -> None:
        if not self.scales:
            raise ConfigError("scales must be numbers above 0, got none. Single scale is [1.0].")
        for scale in self.scales:
            check_number("scales", scale, 0, _LARGEST_SCALE, above=True)
        check_number("batch_size", self.batch_size, 1, whole=True)
        if not 0 <= self.overlap < 1:
            raise ConfigError(f"overlap must be a share of a window from 0 to below 1, got {self.overlap}")
        if self.window is None:
            return
        if len(self.window) != 2:
            raise ConfigError(f"window must be height and width, got {list(self.window)}")
        for side in self.window:
            check_number("window", side, 1, whole=True)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """The protocol of a command's settings, which are more than its own.

        Raises:
            ConfigError: If one is not of its kind, or out of range.
        """
        own = {field.name: settings[field.name] for field in fields(cls)}
        check_arguments(cls, own)
        return cls(**own)

    def __call__(self, predict: Predict, image: Tensor) -> Tensor:
        """Class probabilities of a batch, all in memory at once: image times classes.

        Args:
            predict: Maps images [B, 3, h, w] of any size to logits [B, N, h, w].
            image: float [B, C, H, W], normalised.

        Returns:
            float32 [B, N, H, W], non-negative, 1 in sum over the classes.

        Raises:
            ConfigError: If windows are to be seen at several scales or mirrored.
        """
        probabilities = torch.empty(0)
        for number, (rows, columns, part) in enumerate(self.tiles(predict, image)):
            if number == 0:
                probabilities = part.new_empty(*part.shape[:2], *image.shape[2:])
            probabilities[..., rows, columns] = part
        return probabilities

    def labels(self, predict: Predict, image: Tensor) -> Tensor:
        """Train ids of a batch, int64 [B, H, W]: the most probable class of each pixel; see `__call__`."""
        labels = torch.empty(len(image), *image.shape[2:], dtype=torch.int64, device=image.device)
        for rows, columns, part in self.tiles(predict, image):
            labels[:, rows, columns] = part.argmax(1)
        return labels

    def tiles(self, predict: Predict, image: Tensor) -> Iterator[Tile]:
        """Class probabilities of a batch piece by piece, each pixel once; arguments and errors are `__call__`'s.

        Beside what the network answers, sliding windows keep the probabilities of those pixels only that a later
        window sees again, and one view of whole images keeps none; several views keep those of the image.
        """
        window = self.window
        if window is None or (image.shape[2] <= window[0] and image.shape[3] <= window[1]):
            return _multi_scale(predict, image, self.scales, self.flip, self.batch_size)
        if list(self.scales) != [1.0] or self.flip:
            raise ConfigError("Sliding windows go with scales=[1.0] and flip=false; window=null predicts whole images.")
        return _sliding_windows(predict, image, window, self.overlap, self.batch_size)


def _multi_scale(
    predict: Predict, image: Tensor, scales: Sequence[float], flip: bool, batch_size: int
) -> Iterator[Tile]:
    """Average a network's softmax over image scales and, if asked, mirrored images.

    Each scaled image is predicted on its own, its logits are brought back bilinearly to the image's size, and their
    softmax enters the mean with the same weight: the multi-scale test of the segmentation literature.
    """
    height, width = image.shape[-2:]
    number = len(scales) * (2 if flip else 1)
    total: Tensor | None = None
    for done, (logits, mirrored) in enumerate(_views(predict, image, scales, flip, batch_size), start=1):
        for rows in _bands(0, height):
            part = logits.rows(rows).softmax(1)
            part = part.flip(-1) if mirrored else part
            if number > 1:
                total = part.new_zeros(*part.shape[:2], height, width) if total is None else total
                part = total[..., rows, :].add_(part)
            if done == number:
                yield Tile(rows, slice(0, width), part / number)


def _views(
    predict: Predict, image: Tensor, scales: Sequence[float], flip: bool, batch_size: int
) -> Iterator[tuple[CoarseLogits, bool]]:
    """Logits of each scaled image, for the image's size, and whether they are of its mirrored one.

    Of each image of the batch ``batch_size`` views are predicted at once: 2 takes an image and its mirrored one through
    the network together, 1 one after the other in half of the memory. Scales differ in size, so that each has a pass of
    its own.
    """
    views, (height, width) = (False, True) if flip else (False,), image.shape[2:]
    for scale in scales:
        scaled = _resized(image, [max(1, math.floor(side * scale + 0.5)) for side in image.shape[-2:]])
        for first in range(0, len(views), batch_size):
            group = views[first : first + batch_size]
            logits = _answer(predict, torch.cat([scaled.flip(-1) if mirrored else scaled for mirrored in group]))
            if scaled is not image:  # they are interpolated twice
                logits = CoarseLogits(logits.rows(slice(0, scaled.shape[2])), height, width, width)
            for values, mirrored in zip(torch.split(logits.values, len(image)), group, strict=True):
                yield logits._replace(values=values), mirrored
            del logits, values  # before the next ones are made


def _sliding_windows(
    predict: Predict, image: Tensor, window: Sequence[int], overlap: float, batch_size: int
) -> Iterator[Tile]:
    """Predict large images piece by piece, and average the softmax where pieces overlap.

    Along each side as few windows as the overlap allows are spread evenly from edge to edge, so that none hangs over.
    A side shorter than the window is taken whole. The edges of all windows cut the image into cells, each of which is
    done with once all windows that cover it have been predicted.
    """
    sides, extents = image.shape[-2:], [min(pair) for pair in zip(window, image.shape[-2:], strict=True)]
    starts = [_starts(side, extent, overlap) for side, extent in zip(sides, extents, strict=True)]
    cells = [_cells(first, extent) for first, extent in zip(starts, extents, strict=True)]
    corners = list(product(*starts))
    sums: dict[tuple[int, int], Tensor] = {}
    seen: Counter[tuple[int, int]] = Counter()
    for first in range(0, len(corners), batch_size):
        group = corners[first : first + batch_size]
        logits = _answer(predict, torch.cat([image[..., y : y + extents[0], x : x + extents[1]] for y, x in group]))
        for (y, x), values in zip(group, torch.split(logits.values, len(image)), strict=True):
            for rows, over_rows in cells[0][y]:
                band = logits._replace(values=values).rows(slice(rows.start - y, rows.stop - y)).softmax(1)
                for columns, over_columns in cells[1][x]:
                    inside, place = band[..., columns.start - x : columns.stop - x], (rows.start, columns.start)
                    sums[place] = sums[place].add_(inside) if place in sums else inside.clone()
                    seen[place] += 1
                    if seen[place] == over_rows * over_columns:
                        yield Tile(rows, columns, sums.pop(place) / seen[place])
        del logits, values, band, inside  # before the next ones are made


def _cells(starts: Sequence[int], extent: int) -> dict[int, list[tuple[slice, int]]]:
    """For each window along a side, by its first pixel: the cells in it, each with the number of windows over it."""
    edges = sorted({*starts, *(start + extent for start in starts)})
    cells = [band for start, stop in pairwise(edges) for band in _bands(start, stop)]
    covers = {start: [cell for cell in cells if start <= cell.start < start + extent] for start in starts}
    over = Counter(cell.start for inside in covers.values() for cell in inside)
    return {start: [(cell, over[cell.start]) for cell in inside] for start, inside in covers.items()}


def _bands(start: int, stop: int) -> list[slice]:
    """Pixels from ``start`` to ``stop`` in pieces that are small beside an image."""
    return [slice(first, min(first + _BAND, stop)) for first in range(start, stop, _BAND)]


def _starts(side: int, window: int, overlap: float) -> list[int]:
    """First pixels of evenly spread windows that cover a side, their steps at most (1 - overlap) windows long."""
    if side <= window:
        return [0]
    step = max(1, math.floor(window * (1 - overlap)))
    number = math.ceil((side - window) / step) + 1
    return [(side - window) * index // (number - 1) for index in range(number)]


def _answer(predict: Predict | Coarse, image: Tensor) -> CoarseLogits:
    """What is predicted for a batch, as coarse as it comes."""
    if isinstance(predict, Coarse):
        return predict.coarse(image)
    height, width = image.shape[2:]
    return CoarseLogits(predict(image), height, width, width)


def _resized(image: Tensor, size: list[int]) -> Tensor:
    if list(image.shape[-2:]) == size:
        return image
    return F.interpolate(image, size=size, mode="bilinear", align_corners=False)

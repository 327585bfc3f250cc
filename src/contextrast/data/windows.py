"""The host's half of augmentation on a device: which pixels of an image a crop needs, and the draws as small tensors.

A worker reads an image and cuts out the window that the drawn crop covers, in the image's own pixels. Windows of one
batch are padded to one size, since scales and images differ. `contextrast.data.device_transforms` does the rest; as
all draws are made here, nothing that it computes has to come back to the host.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Self, TypedDict

import torch
from torch import Tensor
from torch.utils.data import Dataset

from contextrast.data.dataset import Sample
from contextrast.data.sampler import SampleKey
from contextrast.data.transforms import Draws, TrainTransform

_CONTRAST, _SATURATION, _HUE = 1, 2, 3  # numbers in `Draws.jitter["order"]`; 0 is brightness
_IDENTITY: Final = (1.0, 0.0, 0.0)


class ColorDraws(NamedTuple):
    """Colour jitter: three blends, the shift of the hue, three more blends; what is not needed is an identity.

    Brightness, contrast and saturation by a factor f are all blends: f times the colour plus 1 - f times black, the
    image's mean grey, or the pixel's own grey. The four can follow each other in any order; at most three of them come
    before the hue's turn and at most three after it.

    Attributes:
        blends: Weights of colour, mean grey and own grey, float32 ``[6, 3]``; of a batch ``[B, 6, 3]``.
        hue: Shift in turns of the colour circle, float32 ``[]``; of a batch ``[B]``.
    """

    blends: Tensor
    hue: Tensor

    @classmethod
    def of(cls, draws: Draws) -> Self:
        """The tensors of one sample."""
        blends, hue, place = [_IDENTITY] * 6, 0.0, 0
        if draws.jitter is not None:
            factors = [draws.jitter[name] for name in ("brightness", "contrast", "saturation", "hue")]
            for step in draws.jitter["order"]:
                if step == _HUE:
                    hue, place = factors[step], 3
                    continue
                other = 1 - factors[step]
                blends[place] = (factors[step], other * (step == _CONTRAST), other * (step == _SATURATION))
                place += 1
        return cls(torch.tensor(blends), torch.tensor(hue))


class DeviceDraws(NamedTuple):
    """The draws of a sample, or of a batch, as a device takes them.

    Attributes:
        axes: Row 0 for height, row 1 for width, int64 ``[2, 5]``; of a batch ``[B, 2, 5]``: the image's size, the
            scaled image's size, the scaled image's pixel that the crop's first pixel shows (-1 and less: padding), the
            step from there to the next (-1 in a mirrored width), and where the window begins in the image.
        color: ``None`` where the configuration has no jitter.
    """

    axes: Tensor
    color: ColorDraws | None


class Window(TypedDict):
    """What a crop needs of a sample.

    Attributes:
        image: uint8 ``[C, h, w]``.
        mask: Train ids, uint8 ``[h, w]``.
        name: The sample's.
        draws: What is to happen to it.
    """

    image: Tensor
    mask: Tensor
    name: str
    draws: DeviceDraws


class WindowBatch(TypedDict):
    """Windows, padded at the bottom and on the right to one size with zeros that nobody looks at.

    Attributes:
        image: uint8 ``[B, C, h, w]``.
        mask: Train ids, uint8 ``[B, h, w]``.
        name: B names.
        draws: Those of all samples, stacked.
    """

    image: Tensor
    mask: Tensor
    name: list[str]
    draws: DeviceDraws


class WindowDataset(Dataset[Window]):
    """The windows that random crops of a dataset need, with the draws that `TrainTransform` makes for the same keys.

    Args:
        dataset: A dataset without augmentation.
        transform: What to draw.
    """

    def __init__(self, dataset: Dataset[Sample], transform: TrainTransform) -> None:
        self.dataset = dataset
        self.transform = transform

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]  # all of ours have a length

    def __getitem__(self, key: int | SampleKey) -> Window:
        """Read a sample and cut its window out; a plain index stands for epoch 0.

        Raises:
            DataError: As the dataset.
        """
        if not isinstance(key, SampleKey):
            key = SampleKey(0, key)
        sample = self.dataset[key]
        size = height, width = sample["mask"].shape
        draws, crop = self.transform.draw((height, width), key), self.transform.crop
        rows, columns = map(needed, size, draws.scaled, draws.corner, crop)
        return Window(
            image=sample["image"][:, rows, columns],
            mask=sample["mask"][rows, columns].to(torch.uint8),
            name=sample["name"],
            draws=device_draws(draws, (height, width), (rows.start, columns.start), crop[1], self.transform.jitters),
        )


def needed(source: int, scaled: int, corner: int, length: int) -> slice:
    """Pixels of an axis that linear and nearest interpolation of a crop look at.

    Pixel i of the scaled axis lies at ``(i + 1/2) source / scaled - 1/2`` of the source axis.

    Args:
        source: Length of the image.
        scaled: Length of the scaled image.
        corner: Where the crop begins in the scaled image; negative where padding comes first.
        length: Length of the crop.
    """
    first, last = max(corner, 0), min(corner + length, scaled) - 1
    left, right = (((2 * i + 1) * source - scaled) // (2 * scaled) for i in (first, last))
    return slice(max(left, 0), min(right + 2, source))


def device_draws(
    draws: Draws, size: tuple[int, int], window: tuple[int, int], width: int, jitters: bool
) -> DeviceDraws:
    """The draws of one sample as tensors.

    Args:
        draws: What was drawn.
        size: Height and width of the image.
        window: Row and column of the image where the window begins.
        width: Width of the crop.
        jitters: Whether the configuration has colour jitter.
    """
    top, left = draws.corner
    start, step = ((top, left + width - 1), (1, -1)) if draws.flip else ((top, left), (1, 1))
    axes = torch.tensor([size, draws.scaled, start, step, window]).T
    return DeviceDraws(axes, ColorDraws.of(draws) if jitters else None)


def collate_windows(windows: Sequence[Window]) -> WindowBatch:
    """Stack windows of any sizes."""
    height, width = (max(window["mask"].shape[axis] for window in windows) for axis in (0, 1))
    image = torch.zeros(len(windows), windows[0]["image"].shape[0], height, width, dtype=torch.uint8)
    mask = torch.zeros(len(windows), height, width, dtype=torch.uint8)
    for place, window in enumerate(windows):
        rows, columns = window["mask"].shape
        image[place, :, :rows, :columns] = window["image"]
        mask[place, :rows, :columns] = window["mask"]
    axes = torch.stack([window["draws"].axes for window in windows])
    colors = [window["draws"].color for window in windows]
    jitter = [color for color in colors if color is not None]
    color = ColorDraws(*(torch.stack(values) for values in zip(*jitter, strict=True))) if jitter else None
    return WindowBatch(
        image=image, mask=mask, name=[window["name"] for window in windows], draws=DeviceDraws(axes, color)
    )

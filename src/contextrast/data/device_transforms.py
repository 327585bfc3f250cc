"""The device's half of augmentation: scales, crops, flips and jitters a batch of windows at once, with kornia.

It does to a sample what `TrainTransform` does for the same key, up to rounding:

* Images differ by at most one level of 255 before the jitter, as OpenCV's weights have 11 bits. Masks differ where a
  sampling point falls between two pixels of different labels, as OpenCV's coordinates have 16 bits after the point and
  these are exact fractions: 0.06 % of the pixels of CamVid's crops, 0.8 % of the worst one.
* The jitter's four steps have albumentations' definitions and the drawn order. On the CPU, colours are brought back to
  whole levels after each step, brightness and contrast by rounding down, and hues have steps of two degrees; here they
  stay floats until the end. Together that is one level on average.

No value is read back to the host, and no operation runs over images or pixels one by one.
"""

from math import pi
from typing import NamedTuple

import torch
from torch import Tensor

from contextrast.data.labels import IGNORE_INDEX
from contextrast.data.loader import Batch
from contextrast.data.windows import WindowBatch


class Axis(NamedTuple):
    """Where the pixels of crops lie along an axis of their windows.

    Attributes:
        nearest: The window's nearest pixel, int64 ``[B, L]``.
        position: The point in the window, 0 in the middle of its first pixel, float32 ``[B, L]``.
        inside: Whether the point lies in the image and not in padding, bool ``[B, L]``.
    """

    nearest: Tensor
    position: Tensor
    inside: Tensor


def augment_on_device(batch: WindowBatch, crop: tuple[int, int]) -> Batch:
    """Make augmented crops of windows.

    Args:
        batch: Windows with their draws, on any device.
        crop: Height and width of the crops.

    Returns:
        A batch like those that are augmented on the CPU: image uint8 ``[B, C, H, W]``, mask int64 ``[B, H, W]``.
    """
    image, mask = resample(batch["image"], batch["mask"], batch["draws"].axes, crop)
    if batch["draws"].color is not None:
        image = jitter(image, *batch["draws"].color)
    return Batch(image=(image * 255).round().to(torch.uint8), mask=mask, name=batch["name"])


def resample(image: Tensor, mask: Tensor, axes: Tensor, crop: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Scales, crops and flips in one step: images linearly, masks by the nearest pixel.

    Args:
        image: Windows, uint8 ``[B, C, h, w]``.
        mask: Their train ids, uint8 ``[B, h, w]``.
        axes: See `DeviceDraws`, int64 ``[B, 2, 5]``.
        crop: Height H and width W of the result.

    Returns:
        Image, float32 0..1 ``[B, C, H, W]``, 0 in padding, and train ids, int64 ``[B, H, W]``, `IGNORE_INDEX` in
        padding.
    """
    rows, columns = (_axis(axes[:, i], crop[i], mask.shape[1 + i]) for i in (0, 1))
    inside = rows.inside[:, :, None] & columns.inside[:, None, :]
    sample = torch.arange(len(mask), device=mask.device)[:, None, None]
    labels = mask[sample, rows.nearest[:, :, None], columns.nearest[:, None, :]].masked_fill(~inside, IGNORE_INDEX)
    import kornia.geometry  # noqa: PLC0415  (a second of start-up, for those who augment on the device)

    pixels: Tensor = kornia.geometry.remap(
        image.float() / 255,
        _normalized(columns.position, mask.shape[2])[:, None, :].expand(inside.shape),
        _normalized(rows.position, mask.shape[1])[:, :, None].expand(inside.shape),
        mode="bilinear",
        align_corners=False,
        normalized_coordinates=True,  # kornia would copy the window's size to the device, and wait for that
        padding_mode="border",
    )
    return pixels * inside[:, None], labels.long()


def jitter(image: Tensor, blends: Tensor, hue: Tensor) -> Tensor:
    """Change brightness, contrast, saturation and hue, each image in its own order.

    The three that are blends run through one function and not through kornia's three, since which of them comes when
    differs between the images of a batch.

    Args:
        image: RGB, float 0..1 ``[B, 3, H, W]``.
        blends: See `ColorDraws`, ``[B, 6, 3]``.
        hue: Shift in turns of the colour circle, ``[B]``.

    Returns:
        The changed images, 0..1 ``[B, 3, H, W]``.
    """
    for weights in blends[:, :3].unbind(1):
        image = _blend(image, weights)
    import kornia.enhance  # noqa: PLC0415  (likewise)

    image = kornia.enhance.adjust_hue(image, hue * (2 * pi))
    for weights in blends[:, 3:].unbind(1):
        image = _blend(image, weights)
    return image


def _blend(image: Tensor, weights: Tensor) -> Tensor:
    own, mean, grey = weights[:, :, None, None, None].unbind(1)
    import kornia.color  # noqa: PLC0415  (likewise)

    luma: Tensor = kornia.color.rgb_to_grayscale(image)
    return (own * image + mean * luma.mean((-2, -1), keepdim=True) + grey * luma).clamp(0, 1)


def _axis(axis: Tensor, length: int, window: int) -> Axis:
    """Places of a crop's pixels: pixel i of a scaled axis lies at ``(i + 1/2) source / scaled - 1/2`` of the source."""
    source, scaled, start, step, begin = (values[:, None] for values in axis.unbind(1))
    at = start + step * torch.arange(length, device=axis.device)
    whole = (2 * at + 1) * source  # in units of 1 / (2 scaled), so that no rounding decides which pixel is nearest
    pixel = torch.div(whole, 2 * scaled, rounding_mode="floor")
    fraction = (whole - pixel * 2 * scaled) / (2 * scaled)
    position = (pixel - begin + fraction - 0.5).clamp(min=-begin, max=source - 1 - begin)
    return Axis((pixel - begin).clamp(0, window - 1), position, (at >= 0) & (at < scaled))


def _normalized(position: Tensor, size: int) -> Tensor:
    """Bring positions to grid_sample's -1..1, which span the pixels' outer edges."""
    return (2 * position + 1) / size - 1

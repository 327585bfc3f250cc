"""Augmentation of training images: what is drawn for a sample, and the CPU's way to apply it.

Evaluation sees images as they are. `contextrast.data.device_transforms` applies the same draws on an accelerator.
"""

import random
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import albumentations as A
import cv2
import numpy as np

from contextrast.data.arrays import RGB
from contextrast.data.decoding import Picture
from contextrast.data.labels import IGNORE_INDEX
from contextrast.data.sampler import SampleKey
from contextrast.errors import ConfigError

_NO_JITTER: Final = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0, "p": 1.0}
_LARGEST: Final = 2**15 - 1  # pixels of a side that OpenCV takes
_MOST: Final = 100  # times; a larger picture fits into no memory
_PADDING: Final = {"pad_if_needed": True, "pad_position": "random", "fill": 0, "p": 1.0}


@dataclass(frozen=True, slots=True)
class Draws:
    """What is drawn for one sample, in albumentations' terms.

    Attributes:
        scale: Scale factor.
        scaled: Height and width of the scaled image.
        padding: Rows and columns added to the scaled image, ``pad_top`` and so on; ``None`` for none.
        crop: Left, top, right and bottom of the crop in the scaled and padded image.
        flip: Whether the crop is mirrored left to right.
        jitter: Factors ``brightness``, ``contrast`` and ``saturation``, shift ``hue`` in turns of the colour circle,
            and ``order``, in which these four (0..3) are applied; ``None`` where colours stay.
    """

    scale: float
    scaled: tuple[int, int]
    padding: Mapping[str, int] | None
    crop: tuple[int, int, int, int]
    flip: bool
    jitter: Mapping[str, Any] | None

    @property
    def corner(self) -> tuple[int, int]:
        """Row and column of the scaled image where the crop begins; negative where padding comes first."""
        left, top, _, _ = self.crop
        padding = self.padding or {"pad_top": 0, "pad_left": 0}
        return top - padding["pad_top"], left - padding["pad_left"]


class TrainTransform:
    """Random scale, crop, horizontal flip and colour jitter, drawn from (seed, epoch, index) alone.

    What a sample looks like does therefore not depend on the number of workers, on the order of reading, on the
    process that reads it, or on whether a run was resumed. Masks are scaled by nearest neighbour; where the crop
    reaches over the scaled image, the image is padded with black and the mask with `IGNORE_INDEX`. Colours are those of
    RGB: images of other than three channels keep theirs.

    Args:
        crop: Height and width of the result.
        scale: Range of the scale factor, drawn uniformly.
        flip: Probability of a horizontal flip.
        color_jitter: Arguments of albumentations' ``ColorJitter`` (``brightness``, ``contrast``, ``saturation``,
            ``hue``, ``p``); what is not named is left alone. ``None`` switches it off.
        seed: Seed of all draws.
        channels: Of the images.

    Attributes:
        crop: Height and width of the result.
        jitters: Whether colours may change.
        leaves_colors_alone: Whether a jitter was asked for and is left out.

    Raises:
        ConfigError: An argument is out of range or unknown.
    """

    def __init__(
        self,
        crop: Sequence[int],
        scale: Sequence[float] = (0.5, 2.0),
        flip: float = 0.5,
        color_jitter: Mapping[str, float] | None = None,
        seed: int = 0,
        channels: int = RGB,
    ) -> None:
        height, width = self.crop = _two_numbers("crop", crop)
        low, high = _two_numbers("scale", scale)
        if not 1 <= min(height, width) <= max(height, width) <= _LARGEST:
            raise ConfigError(f"data.crop={[height, width]} is not a size; height and width are from 1 to {_LARGEST}.")
        if not 0 < low <= high <= _MOST:
            raise ConfigError(f"data.scale={[low, high]} is not a range of factors: 0 < low <= high <= {_MOST}.")
        self.seed = seed
        self.leaves_colors_alone = color_jitter is not None and channels != RGB
        self.jitters = color_jitter is not None and channels == RGB
        self._scale = _step(
            "scale",
            A.RandomScale,
            scale_limit=(low - 1, high - 1),  # albumentations adds the 1
            interpolation=cv2.INTER_LINEAR,
            mask_interpolation=cv2.INTER_NEAREST_EXACT,  # plain INTER_NEAREST shifts by up to half a pixel
            p=1.0,
        )
        self._crop = _step("crop", A.RandomCrop, height=height, width=width, fill_mask=IGNORE_INDEX, **_PADDING)
        self._flip = _step("flip", A.HorizontalFlip, p=flip)
        jitter = _NO_JITTER | dict(color_jitter) if color_jitter is not None and self.jitters else {"p": 0.0}
        self._jitter = _step("color_jitter", A.ColorJitter, **jitter)

    def draw(self, size: tuple[int, int], key: SampleKey) -> Draws:
        """Draw what happens to the sample ``key``, whose image has this height and width; read no pixel."""
        words = np.random.SeedSequence((self.seed, key.epoch, key.index))
        # One generator shared by all steps: albumentations' own `set_random_seed` starts each step from the same seed,
        # so that, say, every large scale would come with a flip.
        generator = np.random.default_rng(words)
        python_random = random.Random(int(words.generate_state(1)[0]))  # noqa: S311  # no cryptography here
        for step in (self._scale, self._crop, self._flip, self._jitter):
            step.set_random_state(generator, python_random)
        python_random.random()  # `A.Compose` draws this one first, so that keys mean what they mean to it
        scale: float = self._scale.get_params()["scale"]
        scaled = int(size[0] * scale), int(size[1] * scale)
        place = self._crop.get_params_dependent_on_data({"shape": scaled}, {})
        flip = self._flip.should_apply()
        jitter = self._jitter.get_params() if self._jitter.should_apply() else None
        return Draws(scale, scaled, place["pad_params"], place["crop_coords"], flip, jitter)

    def __call__(self, image: Picture, mask: Picture, key: SampleKey) -> tuple[Picture, Picture]:
        """Augment an image ``[H, W, C]`` and its mask ``[H, W]``; return both at the size of the crop."""
        height, width = mask.shape
        draws = self.draw((height, width), key)
        data = self._scale.apply_with_params({"scale": draws.scale}, image=image, mask=mask)
        data = self._crop.apply_with_params({"crop_coords": draws.crop, "pad_params": draws.padding}, **data)
        if draws.flip:
            data = self._flip.apply_with_params({}, **data)
        if draws.jitter is not None:
            data = self._jitter.apply_with_params(draws.jitter, **data)
        return data["image"], data["mask"]


def _two_numbers(key: str, value: Any) -> tuple[Any, Any]:
    items = list(value) if isinstance(value, Iterable) else [value]
    if len(items) != 2 or not all(isinstance(item, int | float) for item in items):
        raise ConfigError(f"data.{key}={value} has to be two numbers: data.{key}=[FIRST,SECOND].")
    return items[0], items[1]


def _step(key: str, kind: Callable[..., A.BasicTransform], **arguments: Any) -> A.BasicTransform:
    """Build a step; what albumentations only warns about (unknown arguments, which it then leaves out) is an error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            return kind(**arguments)
    except (UserWarning, ValueError, TypeError) as error:
        reason = " ".join(str(error).split(" [type=")[0].split())  # without pydantic's address and input dump
        raise ConfigError(f"data.{key} does not fit albumentations' {kind.__name__}: {reason}.") from error

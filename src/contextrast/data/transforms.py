"""Augmentation of training images on the CPU; evaluation sees images as they are."""

import random
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import albumentations as A
import cv2
import numpy as np

from contextrast.data.dataset import Picture
from contextrast.data.labels import IGNORE_INDEX
from contextrast.data.sampler import SampleKey
from contextrast.errors import ConfigError

_NO_JITTER: Final = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0, "p": 1.0}
_PADDING: Final = {"pad_if_needed": True, "pad_position": "random", "fill": 0, "p": 1.0}


class TrainTransform:
    """Random scale, crop, horizontal flip and colour jitter, drawn from (seed, epoch, index) alone.

    What a sample looks like does therefore not depend on the number of workers, on the order of reading, on the
    process that reads it, or on whether a run was resumed. Masks are scaled by nearest neighbour; where the crop
    reaches over the scaled image, the image is padded with black and the mask with `IGNORE_INDEX`.

    Args:
        crop: Height and width of the result.
        scale: Range of the scale factor, drawn uniformly.
        flip: Probability of a horizontal flip.
        color_jitter: Arguments of albumentations' ``ColorJitter`` (``brightness``, ``contrast``, ``saturation``,
            ``hue``, ``p``); what is not named is left alone. ``None`` switches it off.
        seed: Seed of all draws.

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
    ) -> None:
        height, width = _two_numbers("crop", crop)
        low, high = _two_numbers("scale", scale)
        if min(height, width) < 1:
            raise ConfigError(f"data.crop={[height, width]} is not a size; height and width have to be at least 1.")
        if not 0 < low <= high:
            raise ConfigError(f"data.scale={[low, high]} is not a range of factors: 0 < smallest <= largest.")
        self.seed = seed
        jitter = None if color_jitter is None else _NO_JITTER | dict(color_jitter)
        steps = [
            _step(
                "scale",
                A.RandomScale,
                scale_limit=(low - 1, high - 1),  # albumentations adds the 1
                interpolation=cv2.INTER_LINEAR,
                mask_interpolation=cv2.INTER_NEAREST_EXACT,  # plain INTER_NEAREST shifts by up to half a pixel
                p=1.0,
            ),
            _step("crop", A.RandomCrop, height=height, width=width, fill_mask=IGNORE_INDEX, **_PADDING),
            _step("flip", A.HorizontalFlip, p=flip),
            *([] if jitter is None else [_step("color_jitter", A.ColorJitter, **jitter)]),
        ]
        self._pipeline = A.Compose(steps)

    def __call__(self, image: Picture, mask: Picture, key: SampleKey) -> tuple[Picture, Picture]:
        """Augments an image ``[H, W, 3]`` and its mask ``[H, W]``; returns both at the size of the crop."""
        words = np.random.SeedSequence((self.seed, key.epoch, key.index))
        # One generator shared by all steps: albumentations' own `set_random_seed` starts each step from the same seed,
        # so that, say, every large scale would come with a flip.
        python_random = random.Random(int(words.generate_state(1)[0]))  # noqa: S311  # no cryptography here
        self._pipeline.set_random_state(np.random.default_rng(words), python_random)
        result = self._pipeline(image=image, mask=mask)
        return result["image"], result["mask"]


def _two_numbers(key: str, value: Any) -> tuple[Any, Any]:
    items = list(value) if isinstance(value, Iterable) else [value]
    if len(items) != 2 or not all(isinstance(item, int | float) for item in items):
        raise ConfigError(f"data.{key}={value} has to be two numbers: data.{key}=[FIRST,SECOND].")
    return items[0], items[1]


def _step(key: str, kind: Callable[..., A.BasicTransform], **arguments: Any) -> A.BasicTransform:
    """Builds a step; what albumentations only warns about (unknown arguments, which it then leaves out) is an error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            return kind(**arguments)
    except (UserWarning, ValueError, TypeError) as error:
        reason = " ".join(str(error).split(" [type=")[0].split())  # without pydantic's address and input dump
        raise ConfigError(f"data.{key} does not fit albumentations' {kind.__name__}: {reason}.") from error

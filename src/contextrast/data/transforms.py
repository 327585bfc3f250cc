"""Augmentation of training images on the CPU; evaluation sees images as they are."""

import random
import warnings
from collections.abc import Callable, Mapping, Sequence

import albumentations as A
import cv2
import numpy as np

from contextrast.data.dataset import Picture
from contextrast.data.labels import IGNORE_INDEX
from contextrast.data.sampler import SampleKey
from contextrast.errors import ConfigError


class TrainTransform:
    """Random scale, crop, horizontal flip and colour jitter, drawn from (seed, epoch, index) alone.

    What a sample looks like does therefore not depend on the number of workers, on the order of reading, on the
    process that reads it, or on whether a run was resumed. Masks are scaled by nearest neighbour; where the crop reaches
    over the scaled image, the image is padded with black and the mask with `IGNORE_INDEX`.

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
        if len(crop) != 2 or min(crop) < 1:
            raise ConfigError(
                f"data.crop={list(crop)} is not a size: give height and width in pixels, both at least 1."
            )
        if len(scale) != 2 or not 0 < scale[0] <= scale[1]:
            raise ConfigError(
                f"data.scale={list(scale)} is not a range: give the smallest and largest factor, both above 0."
            )
        self.seed = seed
        self._pipeline = _strictly(lambda: _pipeline(crop, scale, flip, color_jitter))

    def __call__(self, image: Picture, mask: Picture, key: SampleKey) -> tuple[Picture, Picture]:
        """Augments an image ``[H, W, 3]`` and its mask ``[H, W]``; returns both at the size of the crop."""
        words = np.random.SeedSequence((self.seed, key.epoch, key.index))
        # One generator shared by all steps: albumentations' own `set_random_seed` starts each step from the same seed,
        # so that, say, every large scale would come with a flip.
        python_random = random.Random(int(words.generate_state(1)[0]))  # noqa: S311  # no cryptography here
        self._pipeline.set_random_state(np.random.default_rng(words), python_random)
        result = self._pipeline(image=image, mask=mask)
        return result["image"], result["mask"]


def _pipeline(
    crop: Sequence[int], scale: Sequence[float], flip: float, color_jitter: Mapping[str, float] | None
) -> A.Compose:
    steps = [
        A.RandomScale(
            scale_limit=(scale[0] - 1, scale[1] - 1),  # albumentations adds the 1
            interpolation=cv2.INTER_LINEAR,
            mask_interpolation=cv2.INTER_NEAREST_EXACT,  # plain INTER_NEAREST shifts by up to half a pixel
            p=1,
            strict=True,
        ),
        A.RandomCrop(
            *crop, pad_if_needed=True, pad_position="random", fill=0, fill_mask=IGNORE_INDEX, p=1, strict=True
        ),
        A.HorizontalFlip(p=flip, strict=True),
    ]
    if color_jitter is not None:
        unchanged = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0, "p": 1.0}
        steps.append(A.ColorJitter(**{**unchanged, **color_jitter}, strict=True))
    return A.Compose(steps, strict=True)


def _strictly(build: Callable[[], A.Compose]) -> A.Compose:
    """Builds a pipeline; whatever albumentations only warns about is an error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            return build()
    except (UserWarning, ValueError, TypeError) as error:
        raise ConfigError(
            f"The augmentation under data (scale, flip, color_jitter) cannot be built: {error}"
        ) from error

"""The dataset `streets`: generated scenes of 11 classes, for trying everything out without a download."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

import numpy as np

from contextrast.data.dataset import SegmentationDataset, Transform
from contextrast.data.decoding import Picture
from contextrast.data.labels import LabelTable
from contextrast.data.streets.backdrop import draw_street, paint_ground, paint_sky, paint_skyline
from contextrast.data.streets.canvas import Camera
from contextrast.data.streets.chance import Chance
from contextrast.data.streets.photo import annotate, photograph
from contextrast.data.streets.place import Place
from contextrast.data.streets.things import draw_things
from contextrast.data.streets.walls import paint_fronts
from contextrast.errors import ConfigError, DataError, check_number

LENGTHS: Final[Mapping[str, int]] = MappingProxyType({"train": 2000, "val": 100, "test": 200})
"""Images per split."""

_STREAMS: Final = {"train": 0, "val": 1, "test": 2}  # fixed: a new split must not change the pictures of another
_SMALLEST = 32  # pixels; below it most things are smaller than a pixel
_LARGEST = 2**14  # pixels; a scene of that size takes minutes
_LONGEST = 10**7  # scenes; an epoch's order is a list of them


class Streets(SegmentationDataset):
    """Street-like scenes with CamVid's classes; each is a function of (seed, split, index, size) and nothing else.

    Nothing is read or downloaded: an image and its mask are drawn together when they are asked for, the same bytes in
    every process and on every machine.

    Args:
        split: ``train``, ``val`` or ``test``; the splits share no scene.
        size: Height and width of the images, pixels.
        seed: Chooses another world of scenes.
        lengths: Number of images per split.
        transform: Augmentation; ``None`` leaves images as they are.

    Raises:
        DataError: There is no such split.
        ConfigError: Size, seed or lengths cannot work.
    """

    labels = replace(LabelTable.load("camvid"), name="streets", frequency=None, values=tuple(range(11)))
    counted_images = 200  # of thousands, drawn when asked for: weights then differ by less than a tenth

    def __init__(
        self,
        split: str,
        size: tuple[int, int] = (256, 320),
        seed: int = 0,
        lengths: Mapping[str, int] = LENGTHS,
        transform: Transform | None = None,
    ) -> None:
        super().__init__(transform)
        if split not in _STREAMS:
            raise DataError(f"streets has no split {split!r}; choose one of {', '.join(_STREAMS)}.")
        if len(size) != 2 or not _SMALLEST <= min(size) <= max(size) <= _LARGEST:
            raise ConfigError(
                f"streets: size={tuple(size)} must be height and width, each from {_SMALLEST} to {_LARGEST} pixels."
            )
        check_number("seed", seed, whole=True)
        check_number(f"lengths.{split}", lengths.get(split), 1, _LONGEST, whole=True)
        self.split = split
        self.size = (int(size[0]), int(size[1]))
        self.seed = seed
        self._length = int(lengths[split])

    def __len__(self) -> int:
        return self._length

    def name(self, index: int) -> str:
        """Short id, for example ``streets_train_00012``."""
        return f"streets_{self.split}_{index:05d}"

    def source(self, index: int) -> str:
        """Where a scene comes from, for messages."""
        return f"streets {self.split} #{index} (seed {self.seed})"

    def read(self, index: int) -> tuple[Picture, Picture]:
        """Draw one scene.

        Returns:
            Image, RGB uint8 ``[H, W, 3]``, and train ids, uint8 ``[H, W]``.
        """
        chance = Chance(self.seed, _STREAMS[self.split], index)
        height, width = self.size
        camera = Camera(
            height=height,
            width=width,
            focal=height * chance.uniform(0.85, 1.2),
            eye=chance.uniform(1.2, 1.8),
            horizon=height * chance.uniform(0.4, 0.54),
            center=width * chance.uniform(0.32, 0.68),
        )
        canvas = np.zeros(self.size, dtype="<u4")
        street = draw_street(chance, paint_sky(canvas, camera, chance))
        paint_skyline(canvas, camera, chance, street.haze)
        paint_ground(canvas, camera, chance, street)
        paint_fronts(canvas, camera, chance, street)
        draw_things(Place(canvas, camera, street, chance))
        return photograph(canvas, chance), annotate(canvas, chance)

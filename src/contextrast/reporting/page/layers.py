"""Layers of the pictures of a run, written while it trains so that a page can lay them over each other later."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from PIL import Image

from contextrast.data.labels import LabelTable
from contextrast.reporting.figures import EDGE_COLOR, ERROR_COLOR, ERROR_LEGEND, NEGATIVE_COLOR, Ids, Mask, Picture
from contextrast.reporting.page.pictures import COMMON, INDEX, OWN
from contextrast.runs.files import write_json

SIDE: Final = 480
"""Longest side of a layer in pixels; larger ones are scaled down."""

Color = tuple[int, int, int]


class Layers(NamedTuple):
    """What there is to see of one image.

    Attributes:
        name: Short id of the sample.
        image: RGB picture ``[H, W, 3]``.
        target: Ground truth ``[H, W]``.
        prediction: Predicted train ids ``[H, W]``.
        errors: Wrong pixels ``[H, W]``.
        edges: Edge pixels of the error regions ``[H, W]``.
        negatives: Pixels that boundary-aware sampling selects ``[H, W]``.
    """

    name: str
    image: Picture
    target: Ids
    prediction: Ids
    errors: Mask
    edges: Mask
    negatives: Mask


def write_layers(directory: str | Path, step: int, examples: Sequence[Layers], labels: LabelTable) -> None:
    """Write the layers of a few images and what they show, over those of an earlier step.

    Args:
        directory: Folder of the layers. An image takes about 100 kB in it, whatever the size of the dataset's.
        step: Steps trained.
        examples: The images.
        labels: Classes and their colours.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / INDEX).unlink(missing_ok=True)  # pictures of two steps are never taken for those of one
    for place, example in enumerate(examples):
        photo = Image.fromarray(example.image)
        photo.thumbnail((SIDE, SIDE))
        photo.save(directory / f"{place}_{COMMON['image']}", quality=85)
        marks = np.where(example.edges, 2, example.negatives.astype(np.uint8))
        layers = {
            COMMON["truth"]: _classes(example.target, labels),
            OWN["prediction"]: _classes(example.prediction, labels),
            OWN["errors"]: _transparent(example.errors.astype(np.uint8), [ERROR_COLOR]),
            OWN["negatives"]: _transparent(marks, [NEGATIVE_COLOR, EDGE_COLOR]),
        }
        for name, layer in layers.items():
            small = layer.resize(photo.size, Image.Resampling.NEAREST)  # a class or a mark has no half
            small.save(directory / f"{place}_{name}", optimize=True, transparency=0)
    content = {
        "step": step,
        "names": [example.name for example in examples],
        "classes": {name: f"#{bytes(color).hex()}" for name, color in zip(labels.classes, labels.palette, strict=True)},
        "marks": {name: f"#{bytes(color).hex()}" for name, color in ERROR_LEGEND},
    }
    write_json(directory / INDEX, content)


def _classes(ids: Ids, labels: LabelTable) -> Image.Image:
    """Classes in their colours; whatever is no class is transparent."""
    known = (ids >= 0) & (ids < labels.num_classes)
    return _transparent(np.where(known, ids + 1, 0).astype(np.uint8), labels.palette)


def _transparent(values: Ids, colors: Iterable[Color]) -> Image.Image:
    """Picture with a palette: 0 is transparent, 1 the first colour."""
    picture = Image.fromarray(values)  # of mode L, until it gets a palette
    picture.putpalette([0, 0, 0, *(part for color in colors for part in color)])
    return picture

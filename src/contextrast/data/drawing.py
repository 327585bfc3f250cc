"""A sample as a figure to look at."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from contextrast.data.labels import IGNORE_INDEX, LabelTable
from contextrast.errors import ConfigError

_WIDTH, _LINE = 10.0, 0.22  # inches


def as_rgb(image: NDArray[np.uint8], rgb: Sequence[int] | None = None) -> NDArray[np.uint8]:
    """Three channels of an image, as a picture.

    Args:
        image: uint8 ``[H, W, C]``.
        rgb: The channels that are red, green and blue, counted from 0; None: the first three, and of fewer the first
            alone, as grey.

    Returns:
        RGB picture ``[H, W, 3]``.
    """
    if rgb is None:
        rgb = (0, 1, 2) if image.shape[2] >= 3 else (0, 0, 0)
    return image if image.shape[2] == 3 and tuple(rgb) == (0, 1, 2) else np.ascontiguousarray(image[..., list(rgb)])


def checked_rgb(setting: str, rgb: Any, channels: int) -> tuple[int, int, int] | None:
    """The channels that pictures show as red, green and blue, as a setting gives them; None for none.

    Raises:
        ConfigError: They are not three of an image's channels.
    """
    if rgb is None:
        return None
    numbers = list(rgb) if isinstance(rgb, Sequence) and not isinstance(rgb, str) else []
    known = set(range(channels))
    if len(numbers) != 3 or not all(type(number) is int and number in known for number in numbers):
        raise ConfigError(
            f"{setting}={rgb} has to be three channels of 0 to {channels - 1}, those that are shown as red, green and "
            f"blue; null shows the first."
        )
    return numbers[0], numbers[1], numbers[2]


def sample_figure(
    image: NDArray[np.uint8], mask: NDArray[np.integer[Any]], labels: LabelTable, title: str = ""
) -> Figure:
    """Draw an image beside its mask.

    Args:
        image: RGB picture ``[H, W, 3]``.
        mask: Train ids ``[H, W]``.
        labels: Names and colours; the legend has those that are in the mask, of 171 classes a few.
        title: Heading.

    Returns:
        The figure.
    """
    present = np.unique(mask).tolist()
    patches = [
        Patch(facecolor=f"#{bytes(labels.palette[value]).hex()}", edgecolor="black", label=labels.classes[value])
        for value in present
        if value < labels.num_classes
    ]
    if IGNORE_INDEX in present:
        patches.append(Patch(facecolor="black", edgecolor="black", label="ignored"))
    columns = 5
    lines = -(-len(patches) // columns)
    height, width = mask.shape
    figure = Figure(figsize=(_WIDTH, _WIDTH / 2 * height / width + 0.4 + _LINE * lines), dpi=100, layout="constrained")
    figure.suptitle(title, fontsize=10, parse_math=False)
    for axes, picture in zip(figure.subplots(1, 2), (image, labels.colorize(mask)), strict=True):
        axes.imshow(picture, interpolation="nearest")
        axes.set_axis_off()
    legend_below(figure, patches, [str(patch.get_label()) for patch in patches], columns, fontsize=8)
    return figure


def legend_below(figure: Figure, handles: Sequence[Artist], names: Sequence[str], columns: int, fontsize: int) -> None:
    """Add a legend below a figure, with names as they are: a ``$`` in them begins no formula.

    Args:
        figure: Where to.
        handles: What stands before each name.
        names: Of classes, networks, files.
        columns: Names beside each other.
        fontsize: Of the names, in points.
    """
    legend = figure.legend(handles, names, loc="outside lower center", ncols=columns, fontsize=fontsize, frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)

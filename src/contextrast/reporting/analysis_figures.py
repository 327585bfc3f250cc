"""Figures of what a network learned: cosines by the distance to the error boundary, t-SNE, Grad-CAM."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from contextrast.data.drawing import legend_below
from contextrast.data.labels import LabelTable
from contextrast.metrics.error_distance import ErrorCurve
from contextrast.reporting.figures import Picture

FEWEST_PIXELS: Final = 30
"""Means of fewer pixels than these are noise, and left out of the curves."""

# Okabe and Ito's colours, which stay apart for all kinds of colour vision; the markers do so in print.
_COLORS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X")
_PANEL: Final = 3.1  # width of a stage's panel in inches
_IMAGE_WEIGHT: Final = 0.45  # of the photograph below the heat


def error_distance_figure(curves: Mapping[str, Sequence[ErrorCurve]], titles: Sequence[str], title: str) -> Figure:
    """Mean cosine of error pixels to their class's anchor by the distance to the error boundary (Contextrast, Fig. 5).

    One column per stage: the curves of all networks above, and how many pixels they are over below. A dashed line is
    the mean of the network's correctly classified pixels.

    Args:
        curves: The curves of each network by its name, one per stage.
        titles: Names of the stages.
        title: Heading.
    """
    width = max(5.0, 1.0 + _PANEL * len(titles))
    figure = Figure(figsize=(width, 4.9), dpi=150, layout="constrained")
    figure.suptitle(title, fontsize=11, parse_math=False)
    axes = figure.subplots(
        2, len(titles), sharex="col", sharey="row", squeeze=False, gridspec_kw={"height_ratios": (3, 1)}
    )
    for number, of_stages in enumerate(curves.values()):
        for curve, (above, below) in zip(of_stages, axes.T, strict=True):
            _draw_curve(curve, above, below, number)
    for name, (above, below) in zip(titles, axes.T, strict=True):
        above.set_title(name, fontsize=10, parse_math=False)
        below.set_yscale("log")
        below.set_xlabel("distance to the error boundary\n(pixels of the stage's grid)", fontsize=9)
        below.xaxis.get_major_locator().set_params(integer=True)
        below.set_xlim(-0.3, max(1.3, below.get_xlim()[1]))  # one distance alone would get an axis of fractions
        for panel in (above, below):
            panel.grid(color="0.9", linewidth=0.6)
            panel.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_ylabel("mean cosine to\nthe true class's anchor")
    axes[1, 0].set_ylabel("error pixels")
    handles = [
        Line2D([], [], color=_color(number), marker=_MARKERS[number % len(_MARKERS)], markersize=5)
        for number in range(len(curves))
    ]
    handles.append(Line2D([], [], color="0.4", linestyle="--", linewidth=1))
    names = [*curves, "correctly classified pixels"]
    legend_below(figure, handles, names, max(1, int(width // 3)), fontsize=9)
    return figure


def plane_figure(
    points: Mapping[str, Sequence[tuple[NDArray[np.float32], NDArray[np.int64]]]],
    titles: Sequence[str],
    labels: LabelTable,
    title: str,
) -> Figure:
    """Pixels in the plane in the colours of their classes: a row per network, a column per stage.

    Args:
        points: Of each network by its name, for each stage: places ``[P, 2]`` and true classes ``[P]``.
        titles: Names of the stages.
        labels: Names and colours of the classes.
        title: Heading.
    """
    present = np.unique(np.concatenate([classes for stages in points.values() for _, classes in stages])).tolist()
    columns = max(1, int(_PANEL * len(titles) / 1.6))
    lines = math.ceil(len(present) / columns)
    size = (0.4 + _PANEL * len(titles), 0.7 + _PANEL * len(points) + 0.2 * lines)
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    figure.suptitle(title, fontsize=11, parse_math=False)
    axes = figure.subplots(len(points), len(titles), squeeze=False)
    palette = np.array(labels.palette) / 255
    for (name, stages), row in zip(points.items(), axes, strict=True):
        row[0].set_ylabel(name, fontsize=10, parse_math=False)
        for (places, classes), panel in zip(stages, row, strict=True):
            panel.scatter(*places.T, s=7, c=palette[classes], edgecolors="0.3", linewidths=0.15)
            panel.set(xticks=(), yticks=())
    for name, panel in zip(titles, axes[0], strict=True):
        panel.set_title(name, fontsize=10, parse_math=False)
    handles = [
        Line2D([], [], linestyle="", marker="o", color=palette[train_id], markeredgecolor="0.3", markeredgewidth=0.4)
        for train_id in present
    ]
    names = [labels.classes[train_id] for train_id in present]
    legend_below(figure, handles, names, columns, fontsize=9)
    return figure


def heated(image: Picture, activation: NDArray[np.float32]) -> Picture:
    """An activation map over an image; black, purple, orange and yellow as it grows.

    Args:
        image: RGB picture ``[H, W, 3]``.
        activation: From 0 to 1, ``[H, W]``.

    Returns:
        RGB picture ``[H, W, 3]``.
    """
    mixed = image * _IMAGE_WEIGHT + _heat(activation) * (1 - _IMAGE_WEIGHT)
    picture: Picture = mixed.round().astype(np.uint8)
    return picture


def heat_legend() -> list[tuple[str, tuple[int, int, int]]]:
    """Names and colours in `heated`, for `contact_sheet`; there the photograph shines through them."""
    levels = {"no activation": 0.0, "half of the map's largest": 0.5, "the map's largest": 1.0}
    return [(name, tuple(_heat(np.array([level])).astype(int)[0].tolist())) for name, level in levels.items()]


def _heat(activation: NDArray[np.floating]) -> NDArray[np.floating]:
    colors: NDArray[np.floating] = 255 * colormaps["inferno"](activation)[..., :3]
    return colors


def _draw_curve(curve: ErrorCurve, above: Axes, below: Axes, number: int) -> None:
    color, marker = _color(number), _MARKERS[number % len(_MARKERS)]
    pixels = curve.pixels.cpu().numpy()
    last = int(pixels.nonzero()[0].max(initial=-1)) + 1
    distances = np.arange(last)
    cosine = np.where(pixels >= FEWEST_PIXELS, curve.cosine.cpu().numpy(), np.nan)[:last]
    above.plot(distances, cosine, color=color, marker=marker, markersize=4, linewidth=1.4)
    if curve.correct_pixels:
        above.axhline(float(curve.correct_cosine), color=color, linestyle="--", linewidth=1)
    below.plot(distances, pixels[:last], color=color, marker=marker, markersize=3, linewidth=1)


def _color(number: int) -> str:
    return _COLORS[number % len(_COLORS)]

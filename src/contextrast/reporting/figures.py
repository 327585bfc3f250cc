"""Pictures of segmentations: RGB arrays in, RGB arrays out. Nothing here knows a network or a data set."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from contextrast.data.labels import LabelTable

Picture = NDArray[np.uint8]
"""RGB picture ``[H, W, 3]``, 0..255."""

Mask = NDArray[np.bool_]
"""Boolean map ``[H, W]``."""

Ids = NDArray[np.integer[Any]]
"""Train ids ``[H, W]``; whatever is no class is ignored."""

ERROR_COLOR: Final = (214, 48, 49)
EDGE_COLOR: Final = (255, 221, 51)
NEGATIVE_COLOR: Final = (0, 200, 220)
CORRECT_COLOR: Final = (230, 230, 230)
_BAND: Final = 256  # rows that are mixed at once: fractions of a large image would take 24 bytes for each of its bytes


def greyed(image: Picture) -> Picture:
    """The image in grey of little contrast, on which bright marks stand out in sky and shadow alike.

    Args:
        image: RGB picture ``[H, W, 3]``.

    Returns:
        RGB picture ``[H, W, 3]``, from 50 (black) to 170 (white).
    """
    luma = image @ np.array([0.299, 0.587, 0.114])
    grey = 50.0 + luma * (120.0 / 255.0)
    return np.repeat(grey[..., None], 3, axis=2).round().astype(np.uint8)


def overlay(image: Picture, ids: Ids, labels: LabelTable, alpha: float = 0.5) -> Picture:
    """Class colours laid over an image.

    Args:
        image: RGB picture ``[H, W, 3]``.
        ids: Train ids ``[H, W]``; ignored pixels show the image as it is.
        labels: Colours of the classes.
        alpha: Opacity of the colours, in [0, 1].

    Returns:
        RGB picture ``[H, W, 3]``.
    """
    picture = np.empty_like(image)
    for first in range(0, len(image), _BAND):
        rows = slice(first, first + _BAND)
        opacity = np.where(_is_class(ids[rows], labels.num_classes), alpha, 0.0)[..., None]
        picture[rows] = (image[rows] * (1.0 - opacity) + labels.colorize(ids[rows]) * opacity).round()
    return picture


def error_map(target: Ids, prediction: Ids, num_classes: int) -> Picture:
    """Where a prediction is wrong: red errors, pale hits, black where the label is ignored.

    Args:
        target: Ground truth ``[H, W]``.
        prediction: Predicted train ids ``[H, W]``.
        num_classes: N; labels outside 0..N-1 are ignored.

    Returns:
        RGB picture ``[H, W, 3]``.
    """
    labelled = _is_class(target, num_classes)
    wrong = labelled & (target != prediction)
    picture = np.zeros((*target.shape, 3), dtype=np.uint8)
    picture[labelled] = CORRECT_COLOR
    picture[wrong] = ERROR_COLOR
    return picture


def error_boundary(image: Picture, errors: Mask, edges: Mask, negatives: Mask) -> Picture:
    """Where boundary-aware sampling (BANE, Contextrast section 3.3) looks: errors, their edges, what it selects.

    Args:
        image: RGB picture ``[H, W, 3]``; drawn in grey.
        errors: Wrong pixels ``[H, W]``; red where nothing below covers them.
        edges: Edge pixels of the error regions ``[H, W]``; yellow, on top, since they are always selected.
        negatives: Selected pixels ``[H, W]``; cyan.

    Returns:
        RGB picture ``[H, W, 3]``.
    """
    picture = greyed(image)
    picture[errors] = ERROR_COLOR
    picture[negatives] = NEGATIVE_COLOR
    picture[edges] = EDGE_COLOR
    return picture


def confusion_figure(confusion: NDArray[np.integer[Any]], classes: Sequence[str], title: str = "") -> Picture:
    """A confusion matrix, each row as shares of the class's labelled pixels.

    Args:
        confusion: Pixels of class ``row`` predicted as class ``column``, ``[N, N]``.
        classes: N class names.
        title: Heading.

    Returns:
        RGB picture ``[H, W, 3]``. Shares are written into the cells up to 25 classes; the row of a class without a
        pixel stays empty.
    """
    count = len(classes)
    totals = confusion.sum(axis=1, keepdims=True)
    shares = np.divide(confusion, totals, out=np.full(confusion.shape, np.nan), where=totals > 0)
    side = 2.0 + 0.48 * min(count, 25) + 0.16 * max(0, count - 25)  # inches; cells without text may be smaller
    figure = Figure(figsize=(side + 0.8, side), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    drawn = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    axes.set_xticks(range(count), classes, rotation=90, fontsize=9, parse_math=False)
    axes.set_yticks(range(count), classes, fontsize=9, parse_math=False)
    axes.set(xlabel="predicted", ylabel="labelled")
    axes.set_title(title, parse_math=False)
    figure.colorbar(drawn, ax=axes, shrink=0.8, label="share of the labelled pixels")
    if count <= 25:
        for row, column in np.argwhere(shares >= 0.005):
            shade = "white" if shares[row, column] > 0.6 else "black"
            text = f"{100 * shares[row, column]:.0f}"
            axes.text(column, row, text, ha="center", va="center", color=shade, fontsize=8)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]  # no stub
    drawn_pixels: Any = canvas.buffer_rgba()  # type: ignore[no-untyped-call]  # no stub
    return np.ascontiguousarray(np.asarray(drawn_pixels)[..., :3])


def contact_sheet(
    rows: Sequence[Sequence[Picture]],
    titles: Sequence[str],
    legend: Sequence[tuple[str, tuple[int, int, int]]] = (),
    tile_width: int = 480,
    font_size: int = 14,
) -> Picture:
    """Pictures in a grid with a title over each column and a legend of colours below.

    Args:
        rows: Rows of pictures, one per column; all pictures of a row have one size.
        titles: One title per column.
        legend: Names and colours, drawn in order and wrapped at the sheet's width.
        tile_width: Largest width of a picture in pixels; wider ones are scaled down, keeping their shape.
        font_size: Height of titles and legend in pixels.

    Returns:
        RGB picture ``[H, W, 3]``.

    Raises:
        ValueError: If a row has not one picture per title.
    """
    if any(len(row) != len(titles) for row in rows):
        raise ValueError(f"every row needs {len(titles)} pictures, one per title; got {[len(row) for row in rows]}")
    gap, font = 6, ImageFont.load_default(font_size)
    tiles = [[_fit(picture, tile_width) for picture in row] for row in rows]
    widths = [max(row[column].width for row in tiles) for column in range(len(titles))]
    heights = [max(tile.height for tile in row) for row in tiles]
    width = sum(widths) + gap * (len(widths) + 1)
    key = _legend(legend, width - 2 * gap, font_size)
    top = 2 * gap + font_size + 2
    sheet = Image.new("RGB", (width, top + sum(heights) + gap * (len(heights) + 1) + key.height), "white")
    draw = ImageDraw.Draw(sheet)
    left = gap
    for column, title in enumerate(titles):
        draw.text((left, gap), title, fill="black", font=font)
        below = top
        for row, height in zip(tiles, heights, strict=True):
            sheet.paste(row[column], (left, below))
            below += height + gap
        left += widths[column] + gap
    sheet.paste(key, (gap, sheet.height - key.height))
    return np.asarray(sheet)


def class_legend(labels: LabelTable) -> list[tuple[str, tuple[int, int, int]]]:
    """Names and colours of a data set's classes, and black for what is ignored, for `contact_sheet`."""
    return [*zip(labels.classes, labels.palette, strict=True), ("ignored", (0, 0, 0))]


ERROR_LEGEND: Final = [
    ("error", ERROR_COLOR),
    ("edge of an error region", EDGE_COLOR),
    ("selected negative", NEGATIVE_COLOR),
]
"""Names and colours in `error_boundary`, for `contact_sheet`."""


def _is_class(ids: Ids, num_classes: int) -> Mask:
    inside: Mask = (ids >= 0) & (ids < num_classes)
    return inside


def _fit(picture: Picture, width: int) -> Image.Image:
    tile = Image.fromarray(picture)
    if tile.width <= width:
        return tile
    return tile.resize((width, max(1, round(tile.height * width / tile.width))), Image.Resampling.LANCZOS)


def _legend(entries: Sequence[tuple[str, tuple[int, int, int]]], width: int, font_size: int) -> Image.Image:
    """Boxes and names from left to right, in as many lines as the width asks for."""
    font, line, box = ImageFont.load_default(font_size), font_size + 8, font_size
    places: list[tuple[int, int]] = []
    x = y = 0
    for name, _ in entries:
        needed = box + 6 + round(font.getlength(name)) + 16
        if x and x + needed > width:
            x, y = 0, y + line
        places.append((x, y))
        x += needed
    picture = Image.new("RGB", (max(1, width), y + line + 4 if entries else 1), "white")
    draw = ImageDraw.Draw(picture)
    for (name, color), (left, top) in zip(entries, places, strict=True):
        draw.rectangle((left, top + 2, left + box, top + 2 + box), fill=color, outline="black")
        draw.text((left + box + 6, top), name, fill="black", font=font)
    return picture

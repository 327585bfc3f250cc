"""What the page shows of an image: pictures as RGB arrays, and areas as a table in HTML."""

from collections.abc import Sequence
from html import escape
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contextrast.data.labels import LabelTable
from contextrast.reporting.figures import Picture, greyed, overlay

UNSURE: Final = (255, 140, 0)
"""What pixels turn into as the network is less sure of them."""

DIFFERENT: Final = (0, 200, 220)
"""Of pixels that two networks take for different classes."""

_BAND: Final = 256  # rows that are mixed at once: fractions of a large image would take 24 bytes for each of its bytes


class Found(NamedTuple):
    """What a network finds in an image.

    Attributes:
        ids: Train ids, uint8 ``[H, W]``.
        confidence: Probability of these classes, 0..255 for 0..1, uint8 ``[H, W]``; None where the network tells none.
    """

    ids: NDArray[np.uint8]
    confidence: NDArray[np.uint8] | None = None


def classes(image: Picture, found: Found, labels: LabelTable, opacity: float) -> Picture:
    """Classes in their colours over an image; see `overlay`."""
    return overlay(image, found.ids, labels, opacity)


def confidence(image: Picture, found: Found) -> Picture:
    """The image ``[H, W, 3]`` in grey, the more orange the less sure a network is; as it is where that is unknown."""
    if found.confidence is None:
        return image
    return _marked(image, 255 - found.confidence, UNSURE)


def differences(image: Picture, found: Sequence[Found], labels: Sequence[LabelTable]) -> tuple[Picture, float]:
    """Where two networks name different classes, which may be numbered differently by each.

    Args:
        image: RGB ``[H, W, 3]``.
        found: What the two find.
        labels: Their classes.

    Returns:
        The image in grey, cyan where they differ, paler where one of them is not sure; and the share of such pixels.
    """
    differ = ~_same_names(*labels)[found[0].ids, found[1].ids]
    strength = np.full(differ.shape, 255, np.uint8)
    for one in found:
        if one.confidence is not None:
            strength = np.minimum(strength, one.confidence)
    return _marked(image, strength * differ, DIFFERENT), float(differ.mean())


def areas(found: Sequence[Found], labels: Sequence[LabelTable]) -> str:
    """HTML: each class in an image with its colour and share of the pixels, the largest first.

    Args:
        found: What each network finds: one, or two, whose shares stand side by side with their difference.
        labels: Their classes.
    """
    shares = [_shares(one, table) for one, table in zip(found, labels, strict=True)]
    colors = [dict(zip(table.classes, table.palette, strict=True)) for table in labels]
    names = {name: sum(share.get(name, 0.0) for share in shares) for name in {**shares[0], **shares[-1]}}
    several = len(found) > 1
    heads = ["area 1 %", "area 2 %", "2 − 1"] if several else ["area %", "confidence %"]
    rows = []
    for name in sorted(names, key=lambda one: -names[one]):
        known = dict.fromkeys(table[name] for table in colors if name in table)
        boxes = "".join(f'<i style="background:rgb{tuple(color)}"></i>' for color in known)
        values = [share.get(name, 0.0) for share in shares]
        cells = [f"{100 * value:.1f}" for value in values]
        cells.append(_signed(values[1] - values[0]) if several else _mean_confidence(found[0], labels[0], name))
        rows.append(f"<tr><th>{boxes}{escape(name)}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    head = "".join(f"<th>{text}</th>" for text in ("class", *heads))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _marked(image: Picture, strength: NDArray[np.uint8], color: tuple[int, int, int]) -> Picture:
    """The image in grey, mixed with a colour by strengths 0..255 ``[H, W]``."""
    picture = np.empty_like(image)
    for first in range(0, len(image), _BAND):
        rows = slice(first, first + _BAND)
        share = strength[rows, :, None] / np.float32(255)
        picture[rows] = (greyed(image[rows]) * (1 - share) + np.array(color, np.float32) * share).round()
    return picture


def _same_names(first: LabelTable, second: LabelTable) -> NDArray[np.bool_]:
    """Whether train ids of two tables have the same name ``[256, 256]``; what is no class is like none."""
    same = np.zeros((256, 256), bool)
    for train_id, name in enumerate(first.classes):
        if name in second.classes:
            same[train_id, second.classes.index(name)] = True
    return same


def _shares(found: Found, labels: LabelTable) -> dict[str, float]:
    """Shares of the pixels by name of the class, of those that are there."""
    counts = np.bincount(found.ids.ravel(), minlength=256)[: labels.num_classes]
    return {name: count / found.ids.size for name, count in zip(labels.classes, counts, strict=True) if count}


def _signed(difference: float) -> str:
    """A difference of shares in points of percent; what rounds to nothing has no sign."""
    points = round(100 * difference, 1)
    return f"{points:+.1f}".replace("-", "−") if points else "0.0"


def _mean_confidence(found: Found, labels: LabelTable, name: str) -> str:
    if found.confidence is None:
        return "–"
    return f"{found.confidence[found.ids == labels.classes.index(name)].mean() / 2.55:.1f}"

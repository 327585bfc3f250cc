"""What is missing in a folder of one's own, proposed from what is there: a classes file, and a split."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import numpy as np

from contextrast.data.classes_file import NAMES
from contextrast.data.folder import layouts, list_of
from contextrast.data.formats import opened
from contextrast.data.labels import IGNORE_INDEX
from contextrast.data.masks import MAX_CLASSES
from contextrast.data.pairing import image_files
from contextrast.errors import ConfigError, DataError, check_number

LISTS: Final = tuple(list_of(Path(), split).name for split in ("train", "val"))
"""Files that say which names belong to which split, where ``images`` and ``masks`` have no folders for them."""

_LOOKED_AT: Final = 200
"""Masks that are opened, spread evenly over all."""

_NAMED: Final = 12
"""Values that a sentence names."""

_NUMBER: Final = re.compile(r"^(.*?)[_.\- ]?\d+$")
"""A name with the number of a frame at its end."""


@dataclass(frozen=True)
class Proposal:
    """A file that is missing.

    Attributes:
        path: Where it would lie.
        text: What would be in it.
        says: What it says and what it was made from, in one sentence.
    """

    path: Path
    text: str
    says: str

    def write(self) -> None:
        """Write it.

        Raises:
            FileExistsError: If it is there by now.
        """
        with self.path.open("x", encoding="utf-8") as file:
            file.write(self.text)


def proposals(root: Path, share: float = 0.2, group: str | None = None, seed: int = 0) -> list[Proposal]:
    """Files that a folder of images and masks lacks.

    Args:
        root: The folder.
        share: Share of the images that become validation images, where there is no split.
        group: A regular expression; names whose first group (or match) is the same stay together. None: what precedes
            the number at the end of a name, so that frames of one sequence do; where that is one group, the last
            frames in their order are validation.
        seed: Of the choice of groups.

    Raises:
        ConfigError: If there is no such share, or an expression cannot be read.
        DataError: If there are no masks, or they have too many values to be classes.
    """
    check_number("share", share, 0, 0.9, above=True)
    found = []
    if not any((root / name).is_file() for name in NAMES):
        found.append(_classes(root))
    if not _has_split(root) and not any((root / name).is_file() for name in LISTS):
        found += _split(root, share, group, seed)
    return found


def _has_split(root: Path) -> bool:
    return any((root / name).is_dir() for names in layouts("train") for name, kind in names.items() if kind == "images")


def _classes(root: Path) -> Proposal:
    folders = [path for path in sorted(root.rglob("masks")) if path.is_dir()]
    masks = [path for folder in folders for path in image_files(folder, subfolders=True).values()]
    if not masks:
        raise DataError(f"There are no masks in a folder 'masks' of {root}, from which classes could be proposed.")
    looked_at = masks[:: -(-len(masks) // _LOOKED_AT)]
    values, colors = _content(looked_at)
    lines, says = _of_colors(colors) if colors else _of_values(values)
    where = f"{len(looked_at)} of {len(masks)} masks"
    if not 2 <= len(lines) <= MAX_CLASSES:
        raise DataError(f"{where} hold {len(lines)} different {says}, and 2 to {MAX_CLASSES} can be classes.")
    return Proposal(root / NAMES[-1], "\n".join(lines) + "\n", f"{says} in {where}; give the classes their names")


def _of_colors(colors: set[tuple[int, ...]]) -> tuple[list[str], str]:
    """Lines of a classes file, and what they are made from."""
    lines = [f"class_{place} {' '.join(map(str, color))}" for place, color in enumerate(sorted(colors))]
    return lines, "colours, of which some may be no class,"


def _of_values(values: set[int]) -> tuple[list[str], str]:
    """As `_of_colors`. Values that do not count up, as of masks that were scaled to be seen, are named."""
    if values == {0, IGNORE_INDEX}:
        return ["background 0 0 0", "object 255 255 255"], "values 0 and 255, as greys,"
    classes = sorted(values - {IGNORE_INDEX})
    says = "values " + ", ".join(map(str, classes[:_NAMED])) + (", ..." if len(classes) > _NAMED else "")
    if classes and classes[-1] <= 2 * len(classes):
        return [f"class_{value}" for value in range(classes[-1] + 1)], says
    given = f"data.dataset.values=[{','.join(map(str, classes))}]"
    return [f"class_{value}" for value in classes], f"{says} (which do not count up: check and train with {given})"


def _content(masks: Iterable[Path]) -> tuple[set[int], set[tuple[int, ...]]]:
    """The values of index masks, and the colours of colour masks."""
    values: set[int] = set()
    colors: set[tuple[int, ...]] = set()
    for path in masks:
        with opened(path) as image:
            pixels = np.asarray(image if len(image.getbands()) == 1 else image.convert("RGB"))
        if pixels.ndim == 2:
            values |= set(np.unique(pixels).tolist())
        else:
            colors |= set(map(tuple, np.unique(pixels.reshape(-1, 3), axis=0).tolist()))
        if len(colors) > 4 * MAX_CLASSES:
            raise DataError(
                f"{path} and those before it hold {len(colors)} colours: edges are smoothed, or it is no mask."
            )
    return values, colors


def _split(root: Path, share: float, group: str | None, seed: int) -> list[Proposal]:
    if not ((root / "images").is_dir() and (root / "masks").is_dir()):
        return []
    names = sorted(image_files(root / "images", subfolders=True))
    if len(names) < 2:
        raise DataError(f"{root / 'images'} holds {len(names)} image(s), which cannot be split.")
    groups = _groups(names, group)
    count = max(1, round(share * len(names)))
    if len(groups) == 1:
        chosen, how = set(names[-count:]), "the last ones in their order, as all are of one sequence"
    else:
        chosen, how = _drawn(groups, count, seed), f"whole groups of {len(groups)}, drawn with seed {seed}"
    lists = {
        LISTS[0]: [name for name in names if name not in chosen],
        LISTS[1]: [name for name in names if name in chosen],
    }
    if not all(lists.values()):
        raise DataError(f"The names in {root / 'images'} make {len(groups)} group(s), which leave one split empty.")
    return [
        Proposal(root / file, "\n".join(listed) + "\n", f"{len(listed)} of {len(names)} names, {how}")
        for file, listed in lists.items()
    ]


def _groups(names: Sequence[str], pattern: str | None) -> Mapping[str, list[str]]:
    try:
        compiled = _NUMBER if pattern is None else re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"group={pattern} is no regular expression ({error}).") from error
    found: dict[str, list[str]] = {}
    for name in names:
        match = compiled.search(name)
        key = name if match is None else match[1] if compiled.groups else match[0]
        found.setdefault(key, []).append(name)
    return found


def _drawn(groups: Mapping[str, list[str]], count: int, seed: int) -> set[str]:
    """Names of whole groups, about as many as asked for, and never all."""
    order = sorted(groups)
    Random(seed).shuffle(order)  # noqa: S311  (a split)
    chosen: set[str] = set()
    for key in order[:-1]:
        if chosen and len(chosen) + len(groups[key]) / 2 > count:
            continue
        chosen |= set(groups[key])
        if len(chosen) >= count:
            break
    return chosen

"""The classes file of a dataset of one's own: names in the order of their train ids, with or without colours.

As text, where empty lines and lines that begin with ``#`` do not count::

    road 128 64 128
    traffic light #faaa1e

or as YAML; the same without the colours are ``road`` and ``- road``::

    road: [128, 64, 128]
    traffic light: "#faaa1e"
"""

import colorsys
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from omegaconf import OmegaConf

from contextrast.data.labels import LabelTable
from contextrast.data.masks import MAX_CLASSES, Color
from contextrast.data.pairing import given_path
from contextrast.data.problems import stop_if
from contextrast.data.text_files import read_lines
from contextrast.errors import DataError

NAMES: Final = ("classes.yaml", "classes.yml", "classes.txt")
"""What a classes file is called where its name is not given."""

FORMAT: Final = (
    "A classes file is text with one class per line, 'road' or 'road 128 64 128' or 'road #804080' (name and RGB "
    "colour), or YAML with a list of names or with 'road: [128, 64, 128]' for each class. The order is that of the "
    "classes."
)
_LINE: Final = re.compile(r"(?P<name>.*?[^\s,])(?:[\s,]+(?:(\d+)[\s,]+(\d+)[\s,]+(\d+)|(#[0-9a-fA-F]{6})))?[\s,]*")
_HEX: Final = re.compile("#[0-9a-fA-F]{6}")
_COMMENT: Final = re.compile(r"(.*(?::|-\s.*\S))\s+(#[0-9a-fA-F]{6})\s*")  # in YAML: what was meant as a colour

_DIGITS: Final = 9  # of a number that are read: it is no colour anyway, and Python refuses thousands of them
_DEEPEST: Final = 8  # levels of YAML; two are used
_LONGEST: Final = 500  # characters of another library's message

Entry = tuple[Any, Any]
"""Name and colour as they stand in the file."""


@dataclass(frozen=True)
class ClassesFile:
    """What a classes file says.

    Attributes:
        path: The file.
        names: Class names; position = train id.
        colors: One RGB colour per class, or ``None``.
    """

    path: Path
    names: tuple[str, ...]
    colors: tuple[Color, ...] | None

    def label_table(self, name: str) -> LabelTable:
        """The classes as a table called ``name``; without colours of their own they get well-spread ones."""
        count = len(self.names)
        return LabelTable(name, self.names, self.colors or tuple(_spread(place, count) for place in range(count)))


def read_classes(root: Path, given: str | Path | None) -> ClassesFile:
    """Read a classes file.

    Args:
        root: The dataset's folder.
        given: Path of the file, absolute or from ``root``; ``None`` looks for one of `NAMES` in it.

    Raises:
        DataError: There is no such file, or it is no list of 2..254 different names with as many different colours or
            none.
    """
    candidates = [root / name for name in (NAMES if given is None else [given_path("data.dataset.classes", given)])]
    path = next((candidate for candidate in candidates if candidate.is_file()), None)
    if path is None:
        missing = " or ".join(map(str, candidates))
        raise DataError(f"There is no {missing}. Write it, or name it by data.dataset.classes=PATH. {FORMAT}")
    entries = _entries(path)
    stop_if(_problems(entries), f"{path} cannot be used. {FORMAT} What is wrong")
    colors = tuple((int(red), int(green), int(blue)) for red, green, blue in (color for _, color in entries if color))
    return ClassesFile(path, tuple(name for name, _ in entries), colors or None)


def _entries(path: Path) -> list[Entry]:
    try:
        if path.suffix.lower() not in (".yaml", ".yml"):
            return [_line(line) for line in read_lines(path) if line and not line.startswith("#")]
        _check_structure(path)
        content: Any = OmegaConf.to_container(OmegaConf.load(path))  # unlike plain YAML, it refuses a name given twice
    except DataError:
        raise
    except Exception as error:  # wrong tags, wrong dates, deep nesting: PyYAML raises anything
        raise DataError(f"{path} cannot be read ({_first_lines(error)}). {FORMAT}") from error
    if not isinstance(content, dict):
        return [(name, None) for name in content]
    return [(name, _rgb(color) if isinstance(color, str) and _HEX.fullmatch(color) else color)
            for name, color in content.items()]  # fmt: skip


def _check_structure(path: Path) -> None:
    """Refuse references and deep nesting: no list of classes has them, and a few lines fill memory or take minutes.

    Raises:
        DataError: If there are any.
    """
    for line in read_lines(path):
        if found := _COMMENT.fullmatch(line):
            raise DataError(
                f"{path}: '{line}' is a comment from # on. Quote the colour: {found[1]} '{found[2]}'. {FORMAT}"
            )
    depth = 0
    with path.open(encoding="utf-8") as file:
        for event in yaml.parse(file, yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise DataError(f"{path} has references (*NAME), which a list of classes has no use for. {FORMAT}")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                raise DataError(f"{path} is nested more than {_DEEPEST} levels deep. {FORMAT}")


def _first_lines(error: Exception) -> str:
    """What an error says, without what it quotes of the file at length."""
    text = str(error) or type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _line(line: str) -> Entry:
    found = _LINE.fullmatch(line)
    if found is None:
        return line, None
    name, *color, hexadecimal = found.groups()
    if hexadecimal is not None:
        return name, _rgb(hexadecimal)
    return name, None if color[0] is None else [int(value[:_DIGITS]) for value in color]


def _rgb(hexadecimal: str) -> list[int]:
    """The colour of ``#RRGGBB``."""
    return list(bytes.fromhex(hexadecimal[1:]))


def _problems(entries: list[Entry]) -> list[str]:
    if len(entries) == 1:
        name, color = entries[0]
        of_background, of_class = (" 0 0 0", f" {' '.join(map(str, color))}") if _is_color(color) else ("", "")
        return [
            f"it has 1 class, which is told from nothing. For class against background write two lines, 'background"
            f"{of_background}' and '{name}{of_class}', for masks with 0 and 1 or these colours"
        ]
    if not 2 <= len(entries) <= MAX_CLASSES:
        return [f"it has {len(entries)} classes, but 2 to {MAX_CLASSES} are possible"]
    problems = [
        f"class {place}: {name!r} is no name; quote it"
        for place, (name, _) in enumerate(entries)
        if not isinstance(name, str) or not name.strip()
    ]
    problems += [
        f"{name}: {color} is no RGB colour (0..255)" for name, color in entries if color and not _is_color(color)
    ]
    without = [str(name) for name, color in entries if not color]
    if 0 < len(without) < len(entries):
        problems.append(f"{', '.join(without[:10])}: no colour, while others have one")
    problems += [f"{name} is named twice" for name in _repeated([name for name, _ in entries])]
    problems += [f"the colour {color} is used twice" for color in _repeated([color for _, color in entries if color])]
    return problems


def _is_color(color: Any) -> bool:
    return (
        isinstance(color, list)
        and len(color) == 3
        and all(type(value) is int and 0 <= value <= 255 for value in color)  # a bool is an int too
    )


def _repeated(values: list[Any]) -> list[Any]:
    return [value for place, value in enumerate(values) if value in values[:place]]


def _spread(place: int, count: int) -> Color:
    """Colours around the circle from blue on, as red reads as an alarm; neighbours in the list apart in brightness."""
    red, green, blue = colorsys.hsv_to_rgb((0.6 + place / count) % 1, 0.85, (1.0, 0.75, 0.5)[place % 3])
    return round(255 * red), round(255 * green), round(255 * blue)

"""What a run folder may say to a command: the overrides of its run, and nothing that its user would have to type.

A run folder can be a stranger's. Its ``overrides.yaml`` becomes a part of the command line when the run is resumed, and
a command line can do far more than describe a run: Hydra's own settings name code to call, ``_target_`` names classes,
interpolations read the environment. So a text is taken only if it is an override that chooses a file of ``conf/`` by
name, or gives a plain value to a setting of the run.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from contextrast.errors import ConfigError, first_line
from contextrast.runs.rules import Kind
from contextrast.runs.settings import by_key, kind_of

_NAME: Final = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)*")
"""A file of a group, by a name that leads nowhere else: no scheme, no drive, no step upwards."""

_KEY: Final = re.compile(r"[\w-]+(\.[\w-]+)*")
_GROUP: Final = re.compile(r"[\w-]+(/[\w-]+)*")
_PACKAGE: Final = re.compile(r"_(global|group|here)_")
_WRITERS: Final = ("callbacks", "logger", "trainer")
_LONGEST: Final = 4096  # characters; what people type is shorter


@dataclass(frozen=True)
class Recorded:
    """The overrides of a run folder.

    Attributes:
        taken: Those that say what the run is, as they were typed.
        left: Those that say where something is written. Nothing of the result depends on them, so a run goes on
            without them, and writes into its folder.
    """

    taken: Sequence[str]
    left: Sequence[str]


def recorded_overrides(content: Any, path: Path, typed: Sequence[str]) -> Recorded:
    """What of a run folder's overrides a command may take over.

    Args:
        content: Of ``overrides.yaml``, as a safe loader gives it.
        path: The file, for messages.
        typed: What the user typed; it stands for what the file has on the same keys, which is not looked at.

    Raises:
        ConfigError: If the file holds anything else than overrides that a file may hold.
    """
    if not isinstance(content, list) or not all(isinstance(text, str) for text in content):
        raise ConfigError(f"{path} is no list of overrides, as contextrast-train writes it. Take another run.")
    settled = {*by_key(typed), "resume", "paths.runs"}  # where runs are made is no question for one that is there
    taken: list[str] = []
    left: list[str] = []
    for key, text in by_key(content).items():
        if key in settled:
            continue
        try:
            override = _parsed(text)
            _check(override)
        except ConfigError as error:
            shown = text if len(text) < 100 else f"{text[:100]}..."
            raise ConfigError(
                f"{path} has {shown!r}, which is not taken from a file: {error}. If this run is yours and you want "
                "that, type it, too; else do not resume it."
            ) from None
        (left if _writes(override) else taken).append(text)
    return Recorded(taken, left)


def _parsed(text: str) -> Override:
    """One override.

    Raises:
        ConfigError: If it is none, or one of several values.
    """
    if len(text) > _LONGEST or text.startswith("-") or not text.isprintable():
        raise ConfigError("it is no override")
    try:
        override = OverridesParser.create().parse_override(text)
    except (HydraException, RecursionError) as error:
        raise ConfigError(f"it is no override ({first_line(error)})") from error
    if override.is_sweep_override():
        raise ConfigError("it is a sweep")
    return override


def _check(override: Override) -> None:
    """Refuse what does not describe a run.

    Raises:
        ConfigError: If that is so.
    """
    key, package, value = override.key_or_group, override.package or "", override.value()
    if not (_KEY.fullmatch(key) or _GROUP.fullmatch(key)) or (package and not _KEY.fullmatch(package)):
        raise ConfigError("it is no key of a setting")
    parts = [*re.split(r"[./]", key), *package.split(".")]
    if "hydra" in (parts[0], package.partition(".")[0]):
        raise ConfigError("it is a setting of Hydra, not of a run")
    if any(part.startswith("_") for part in parts if not _PACKAGE.fullmatch(part)):
        raise ConfigError("it says which code to run")
    if any(name.startswith("_") for name in _keys(value)):
        raise ConfigError("it says which code to run")
    if any("${" in text for text in _texts(value)):
        raise ConfigError("it is an interpolation")
    if "." not in key and not all(_NAME.fullmatch(text) for text in _texts(value)):
        raise ConfigError("it is no name of a file in conf/")
    if (
        parts[0] == "logger"
        and "." in key
        and (override.is_add() or override.is_force_add() or isinstance(value, dict))
    ):
        raise ConfigError("it adds to what a logger sends, and where to")


def _writes(override: Override) -> bool:
    """Whether an override says where to write, by its rule or by the look of its value."""
    key = override.key_or_group
    part, _, rest = key.partition(".")
    looks_so = rest and part in _WRITERS and any(re.search(r"[/\\~]", text) for text in _texts(override.value()))
    return kind_of(key) is Kind.OUTPUT or bool(looks_so)


def _texts(value: Any) -> Iterator[str]:
    """All texts in a value, those in keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts([*value, *value.values()])
    elif isinstance(value, Sequence):
        for inner in value:
            yield from _texts(inner)


def _keys(value: Any) -> Iterator[str]:
    """All keys of mappings in a value."""
    if isinstance(value, Mapping):
        yield from map(str, value)
        yield from _keys([*value.values()])
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for inner in value:
            yield from _keys(inner)

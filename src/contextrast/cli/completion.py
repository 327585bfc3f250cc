"""Keys and choices by TAB, within half a second: by what was composed for the same words before.

Hydra's own completion imports Hydra and composes at each TAB, which takes more than a second. What it would compose is
kept in the user's cache folder, one small file for each beginning of a command line, and made anew when ``conf/``
changes.
"""

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from contextrast.folders import choices_of, config_directory, own_configurations

_KEPT: Final = 64
"""Files in the cache, of which the oldest make room."""

_SHELLS: Final = {"query=bash": " ", "query=zsh": " ", "query=fish": "\n"}
"""What shells ask with, and what they want between the answers."""


def answer(config_name: str, arguments: Sequence[str]) -> bool:
    """Print what a shell asks for; tells whether one asked.

    Args:
        config_name: The file of ``conf/`` that the command composes.
        arguments: What the command was called with.
    """
    asked = next((text for text in arguments if text in _SHELLS), None)
    if asked is None or not {"-sc", "--shell_completion"} & set(arguments):
        return False
    line = os.environ.get("COMP_LINE", "")
    typed = line.split()[1:]
    word = "" if line.endswith(" ") or not typed else typed.pop()
    known = index(config_name, [text for text in typed if "=" in text or text.startswith("~")])
    sys.stdout.write(_SHELLS[asked].join(matches(word, known)) + "\n")
    return True


def index(config_name: str, words: Sequence[str]) -> dict[str, Any]:
    """What can be typed behind some words.

    Args:
        config_name: The file of ``conf/`` that the command composes.
        words: Overrides that were typed before.

    Returns:
        ``settings``, nested by the parts of their keys, and ``groups``, their choices by name. Where the words cannot
        be composed, no settings.
    """
    path = _cache() / f"{_digest(config_name, words)}.json"
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        found = {"settings": _composed(config_name, words), "groups": _groups()}
        _keep(path, found)
    return found


def matches(word: str, known: dict[str, Any]) -> list[str]:
    """How a word can go on: to the next dot, slash or equals sign.

    Args:
        word: As far as it is typed.
        known: What `index` found.
    """
    prefix = word[: len(word) - len(word.lstrip("+~"))]
    word = word.removeprefix(prefix)
    key, equals, value = word.partition("=")
    found = _values(key, value, known) if equals else _names(word, known)
    return sorted({prefix + text for text in found if text.startswith(word)})


def _values(key: str, value: str, known: dict[str, Any]) -> Iterator[str]:
    """The choices of a group, the present value of a setting, or files."""
    if key in known["groups"]:
        yield from (f"{key}={choice}" for choice in known["groups"][key])
    elif value.startswith((".", "/")):
        folder = Path(value) if value.endswith("/") else Path(value).parent
        yield from (f"{key}={os.path.join(folder, path.name)}" for path in folder.glob("*"))  # noqa: PTH118  (keeps ./)
    else:
        *parents, name = key.split(".")
        present = _inside(known["settings"], parents).get(name)
        if present is not None and not isinstance(present, dict):
            yield f"{key}={present if isinstance(present, str) else json.dumps(present, separators=(',', ':'))}"


def _names(word: str, known: dict[str, Any]) -> Iterator[str]:
    """Settings and groups that begin with what was typed."""
    *parents, _ = word.split(".")
    for name, value in _inside(known["settings"], parents).items():
        yield ".".join([*parents, name]) + ("." if isinstance(value, dict) else "=")
    for group, choices in known["groups"].items():
        cut = group.find("/", len(word))
        if cut >= 0:
            yield group[: cut + 1]
        elif choices:
            yield f"{group}="


def _inside(settings: Any, parents: Sequence[str]) -> dict[str, Any]:
    for name in parents:
        settings = settings.get(name) if isinstance(settings, dict) else None
    return settings if isinstance(settings, dict) else {}


def _composed(config_name: str, words: Sequence[str]) -> Any:
    from hydra.errors import HydraException  # noqa: PLC0415  (what this file does without where it can)
    from omegaconf import OmegaConf  # noqa: PLC0415
    from omegaconf.errors import OmegaConfBaseException  # noqa: PLC0415

    from contextrast.runs.composition import compose  # noqa: PLC0415

    try:
        return OmegaConf.to_container(compose(config_name, words))
    except (HydraException, OmegaConfBaseException):
        return {}


def _groups() -> dict[str, list[str]]:
    folders = {path.relative_to(top).as_posix() for top in _folders() for path in top.rglob("*") if path.is_dir()}
    return {group: choices for group in sorted(folders) if (choices := choices_of(group))}


def _folders() -> list[Path]:
    return [config_directory(), *own_configurations().values()]


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "contextrast" / "completion"


def _digest(config_name: str, words: Sequence[str]) -> str:
    """A name for the words and the files that they are composed of."""
    files = sorted((str(path), path.stat().st_mtime_ns) for folder in _folders() for path in folder.rglob("*.yaml"))
    of = [metadata.version("contextrast"), config_name, list(words), files]
    return hashlib.sha256(json.dumps(of).encode()).hexdigest()


def _keep(path: Path, found: dict[str, Any]) -> None:
    """Write an index for the next time, where that can be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            json.dump(found, file, default=str)
        Path(file.name).replace(path)
        for old in sorted(path.parent.iterdir(), key=lambda one: one.stat().st_mtime, reverse=True)[_KEPT:]:
            old.unlink(missing_ok=True)
    except OSError:
        return

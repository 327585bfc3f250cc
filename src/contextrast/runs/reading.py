"""Reading files of run folders that somebody else may have made: they cannot lead elsewhere, wait, or grow."""

import json
import os
import stat
from pathlib import Path
from typing import Any, Final

import yaml

from contextrast.errors import ConfigError, first_line

_BYTES: Final = 1 << 26
"""Of a file; a confusion matrix of 1,000 classes takes a tenth of it."""

_VALUES: Final = 2_000_000
"""In a file; aliases count each time."""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # libyaml's is ten times as fast
    """Safe, and without merge keys, with which a few lines can stand for more than a memory holds."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Refuse merge keys, which nothing here writes."""
        if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
            raise yaml.constructor.ConstructorError(None, None, "merge keys (<<) are not read", node.start_mark)


def read_regular(path: Path, most: int = _BYTES) -> bytes:
    """Content of a regular file; links are not followed, pipes and devices not waited for.

    Args:
        path: The file.
        most: Bytes that it may have.

    Raises:
        OSError: If it is missing or no regular file, or cannot be read.
        ValueError: If it is larger.
    """
    if path.is_symlink():
        raise OSError("it is a link")
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError("it is no regular file")
        if found.st_size > most:
            raise ValueError(f"it has {found.st_size} bytes, more than {most}")
        return file.read(most)


def load(path: Path) -> Any:
    """Content of a JSON or YAML file; None if there is no such file.

    Raises:
        ConfigError: If it cannot be read.
    """
    try:
        text = read_regular(path).decode("utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.load(text, _Loader)  # noqa: S506  (a safe loader)
        _count(content)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, AttributeError, TypeError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {first_line(error)}") from error
    return content


def _count(content: Any) -> None:
    """Refuse more values than a file can hold without aliases, and aliases to what they lie in.

    Raises:
        ValueError: If there are more.
    """
    open_, seen = [content], 0
    while open_:
        value = open_.pop()
        seen += 1
        if seen > _VALUES:
            raise ValueError("it stands for more values than are read; aliases in it may lead to themselves")
        if isinstance(value, dict):
            open_.extend(value.values())
        elif isinstance(value, list | tuple | set):
            open_.extend(value)

"""Libraries that only some of the commands need, and which therefore come with an extra of this package."""

import re
import shlex
from importlib import import_module, metadata
from types import ModuleType
from typing import Final

from contextrast.errors import ConfigError

_OF_EXTRA: Final = re.compile(r"([^;]+?)\s*;.*extra == ['\"]([\w-]+)['\"].*")
""""gradio<7,>=6.0; extra == 'demo'", as a package's metadata have it."""


def from_extra(module: str, extra: str, purpose: str) -> ModuleType:
    """Import a library where it is needed, and not before.

    Args:
        module: Name of the module.
        extra: The extra it comes with.
        purpose: What it is needed for, as the subject of a sentence.

    Raises:
        ConfigError: If it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"{purpose} needs the library {module.partition('.')[0]}, which cannot be imported ({error}). It comes "
            f"with contextrast[{extra}]: {installation(extra)}"
        ) from error


def installation(extra: str) -> str:
    """The command that installs what an extra brings, however this package itself was installed."""
    required = (_OF_EXTRA.fullmatch(text) for text in metadata.requires("contextrast") or ())
    return shlex.join(["pip", "install", *(one[1] for one in required if one is not None and one[2] == extra)])

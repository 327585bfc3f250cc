"""Packages of the user's own, whose classes and ``conf/`` folders are used as this package's are.

A package is named by ``CONTEXTRAST_PACKAGES=NAME,NAME`` in the environment, or names itself when it is installed, by an
entry point of the group ``contextrast.packages`` whose value is its name. Naming executes nothing; a package is
imported when one of its classes is asked for.
"""

import difflib
import os
import re
import sys
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import Final

from contextrast.errors import ConfigError, first_line

VARIABLE: Final = "CONTEXTRAST_PACKAGES"
GROUP: Final = "contextrast.packages"
_NAME: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


def own_packages() -> dict[str, str]:
    """The packages that the user names, and what names each; those of the environment first.

    Raises:
        ConfigError: If a name in the environment is none, such as a path.
    """
    named = [name for text in os.environ.get(VARIABLE, "").split(",") if (name := text.strip())]
    for name in named:
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"{VARIABLE} has {name!r}, which is no name of a package. Write it as Python's import does; the folder "
                "that it lies in belongs into PYTHONPATH."
            )
    return dict(_declared()) | dict.fromkeys(named, VARIABLE)


def configuration_of(package: str, named_by: str) -> Path | None:
    """A package's folder ``conf``, found without importing the package; None where it has none.

    Args:
        package: Its name.
        named_by: What names it, for messages.

    Raises:
        ConfigError: If there is no such package.
    """
    try:
        spec = find_spec(package)  # imports what a dotted name lies in
    except ModuleNotFoundError:
        spec = None
    except Exception as error:  # whatever the code around the package raises
        raise unimportable(package, error) from error
    if spec is None:
        near = difflib.get_close_matches(package, [module.name for module in iter_modules()], n=3)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise ConfigError(
            f"{named_by} names the package {package}, which {sys.executable} does not find.{hint} Install it (pip "
            "install -e FOLDER), or put the folder that it lies in into PYTHONPATH."
        )
    folders = (Path(place) / "conf" for place in spec.submodule_search_locations or ())
    return next((folder for folder in folders if folder.is_dir()), None)


def unimportable(module: str, error: Exception) -> ConfigError:
    """The error for a module whose own code fails when it is imported."""
    return ConfigError(
        f"{module} cannot be imported ({type(error).__name__}: {first_line(error)}). Mend what `python -c 'import "
        f"{module}'` shows."
    )


@cache
def _declared() -> tuple[tuple[str, str], ...]:
    """Packages of the installed entry points, and what has them."""
    found = entry_points(group=GROUP)
    return tuple((point.module, f"an entry point of {point.dist.name if point.dist else GROUP}") for point in found)

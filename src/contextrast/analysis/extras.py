"""Libraries that only some of the commands need, and which therefore come with an extra of this package."""

from importlib import import_module
from types import ModuleType

from contextrast.errors import ConfigError


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
            f"{purpose} needs the library {module.partition('.')[0]}, which cannot be imported ({error}). Install it "
            f"with: pip install 'contextrast[{extra}]'"
        ) from error

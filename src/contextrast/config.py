"""From YAML to objects: where the configuration lies, and the only way in which it becomes code."""

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from inspect import ismethod, signature
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import hydra.utils
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from contextrast.errors import ConfigError, ContextrastError

ALLOWED_TARGETS = (
    "contextrast.",
    "torch.optim.",
    "lightning.pytorch.callbacks.",
    "lightning.pytorch.loggers.",
    "lightning.pytorch.profilers.",
    "lightning.pytorch.Trainer",
)
_HYDRAS: Final = re.compile(r"_(target|partial|convert|recursive|args)_")  # keys that are no arguments


def config_directory() -> Path:
    """The folder ``conf``: inside the package in an installed wheel, at the top of the repository in a checkout."""
    packaged = Path(__file__).parent / "conf"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "conf"


def instantiate(config: Any, within: Sequence[str] = ALLOWED_TARGETS, /, **arguments: Any) -> Any:
    """Build the object a configuration describes, if its classes come from an allowed place.

    Args:
        config: A mapping with ``_target_``; nested targets are built first.
        within: What all targets have to start with; settings that came with a file get less room than a user's.
        **arguments: Further constructor arguments, which win.

    Raises:
        ConfigError: If a target is not allowed, or the constructor refuses its arguments.
    """
    settings = OmegaConf.to_container(config, resolve=True) if OmegaConf.is_config(config) else config
    try:
        _check_resolved(settings)
        for described in _described(settings):
            found = _check_target(str(described["_target_"]), within)
            if described.get("_partial_") is True:  # else it fails later
                _check_arguments(found, described)
        return hydra.utils.instantiate(settings, **arguments, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, ContextrastError):
            raise cause from None  # our own message already says what and where
        target = next(_described(settings), {}).get("_target_", "The configuration")
        raise ConfigError(f"{target} could not be built: {cause or error}") from error
    except (OmegaConfBaseException, TypeError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"Settings that nothing can be built from: {error}. They are a mapping of names to plain values, with "
            "_target_ for the class."
        ) from error


def _described(config: Any) -> Iterator[Mapping[str, Any]]:
    """All mappings with a target, those inside others too."""
    if isinstance(config, Mapping):
        if "_target_" in config:
            yield config
        for value in config.values():
            yield from _described(value)
    elif isinstance(config, Sequence) and not isinstance(config, str):
        for value in config:
            yield from _described(value)


def _check_arguments(target: Any, described: Mapping[str, Any]) -> None:
    """Refuse arguments that a class does not take.

    Raises:
        ConfigError: If there are any.
    """
    given = {str(key): value for key, value in described.items() if not _HYDRAS.fullmatch(str(key))}
    takes = signature(target)
    try:
        takes.bind_partial(**given)
    except TypeError as error:
        raise ConfigError(
            f"{described['_target_']} {error}; it takes {', '.join(takes.parameters)}. Correct or remove the setting."
        ) from error


def _check_target(target: str, within: Sequence[str]) -> Any:
    """Refuse what is not a class of an allowed place, or a class method of this package.

    The prefix alone is not enough: ``contextrast.data.os.system`` has it, by way of what a module imports.

    Raises:
        ConfigError: If it is anything else, or does not exist.
    """
    if not target.startswith(tuple(within)):
        raise ConfigError(f"_target_: {target} is not allowed; targets here start with {', '.join(within)}")
    package, *names = target.split(".")
    path = package
    found: Any = import_module(package)
    for name in names:
        path = f"{path}.{name}"
        try:
            inside_module = isinstance(found, ModuleType) and not hasattr(found, name)
            found = import_module(path) if inside_module else getattr(found, name)
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"_target_: {target} does not exist: {error}") from error
        if isinstance(found, ModuleType) and found.__name__ != path:
            raise ConfigError(f"_target_: {target} is not allowed; it leads through the module {found.__name__}")
    builds = isinstance(found, type) or (ismethod(found) and package == "contextrast")  # our own class methods
    if not builds or found.__module__.partition(".")[0] != package:
        raise ConfigError(f"_target_: {target} is not allowed; it is no class of {package}")
    return found


def _check_resolved(settings: Any) -> None:
    """Refuse interpolations that Hydra would still resolve, as they can make targets that nobody has looked at.

    Raises:
        ConfigError: If there is one.
    """
    if isinstance(settings, Mapping):
        for value in settings.values():
            _check_resolved(value)
    elif isinstance(settings, Sequence) and not isinstance(settings, str):
        for value in settings:
            _check_resolved(value)
    elif isinstance(settings, str) and "${" in settings:
        raise ConfigError(f"{settings!r} is not allowed: settings that are built from hold values, no interpolations.")


def plain(config: DictConfig) -> dict[str, Any]:
    """A resolved copy as plain containers, which checkpoints and YAML files can hold."""
    container = OmegaConf.to_container(config, resolve=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}

"""From YAML to objects: where the configuration lies, and the only way in which it becomes code."""

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from inspect import ismethod
from pathlib import Path
from types import ModuleType
from typing import Any

import hydra.utils
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from contextrast.errors import ConfigError, ContextrastError

ALLOWED_TARGETS = (
    "contextrast.",
    "torch.optim.",
    "lightning.pytorch.callbacks.",
    "lightning.pytorch.loggers.",
    "lightning.pytorch.profilers.",
    "lightning.pytorch.Trainer",
)


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
    _check_resolved(settings)
    for target in _targets(settings):
        _check_target(target, within)
    try:
        return hydra.utils.instantiate(settings, **arguments, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, ContextrastError):
            raise cause from None  # our own message already says what and where
        raise ConfigError(
            f"{next(_targets(settings), 'The configuration')} could not be built: {cause or error}"
        ) from error


def _targets(config: Any) -> Iterator[str]:
    if isinstance(config, Mapping):
        if "_target_" in config:
            yield str(config["_target_"])
        for value in config.values():
            yield from _targets(value)
    elif isinstance(config, Sequence) and not isinstance(config, str):
        for value in config:
            yield from _targets(value)


def _check_target(target: str, within: Sequence[str]) -> None:
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

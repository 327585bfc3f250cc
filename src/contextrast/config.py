"""From YAML to objects: the only way in which configuration becomes code."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from inspect import ismethod, signature
from types import ModuleType
from typing import Any, Final, NamedTuple

import hydra.utils
from hydra.core.config_search_path import ConfigSearchPath
from hydra.errors import InstantiationException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from typing_extensions import override

from contextrast.arguments import check_arguments
from contextrast.errors import ConfigError, ContextrastError
from contextrast.folders import own_configurations
from contextrast.packages import GROUP, VARIABLE, own_packages, unimportable


class Allowed(NamedTuple):
    """Where targets may come from.

    Attributes:
        prefixes: What targets start with.
        of_own_packages: The kind of classes that packages of the user's own add to them, see `contextrast.packages`.
    """

    prefixes: tuple[str, ...]
    of_own_packages: type


TYPED: Final = Allowed(
    (
        "contextrast.",
        "torch.optim.",
        "lightning.pytorch.callbacks.",
        "lightning.pytorch.loggers.",
        "lightning.pytorch.profilers.",
        "lightning.pytorch.Trainer",
    ),
    object,
)
"""For what a user types; what a file names gets less room, see `contextrast.checkpoints.contents`."""

_INNER_KEY: Final = re.compile(r"full_key: (\S+)")  # in Hydra's message
_HYDRAS: Final = re.compile(r"_(target|partial|convert|recursive|args)_")  # keys that are no arguments


class OwnConfigurations(SearchPathPlugin):
    """Hydra's plugin that has it look into these folders, too."""

    @override
    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add the folders behind this package's own."""
        for name, folder in own_configurations().items():
            search_path.append(name, f"file://{folder}")


def instantiate(config: Any, within: Allowed = TYPED, /, **arguments: Any) -> Any:
    """Build the object a configuration describes, if its classes come from an allowed place.

    Args:
        config: A mapping with ``_target_``; nested targets are built first.
        within: Where all targets have to come from; settings that came with a file get less room than a user's.
        **arguments: Further constructor arguments, which win.

    Raises:
        ConfigError: If a target is not allowed, or the constructor refuses its arguments.
    """
    settings = OmegaConf.to_container(config, resolve=True) if OmegaConf.is_config(config) else config
    root = config._get_full_key(None) if isinstance(config, DictConfig) else ""
    try:
        _check_resolved(settings)
        for key, described in _described(settings, root):
            found = _check_target(str(described["_target_"]), within)
            given = {str(name): value for name, value in described.items() if not _HYDRAS.fullmatch(str(name))}
            if described.get("_partial_") is True:  # else it fails later
                _check_names(found, given, described["_target_"])
            check_arguments(found, given, key)
        return hydra.utils.instantiate(settings, **arguments, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, ContextrastError):  # our own message says what, and here is where
            inner = _INNER_KEY.search(str(error))
            raise type(cause)(_located(str(cause), settings, root, inner[1] if inner else "")) from None
        target = next((described["_target_"] for _, described in _described(settings)), "The configuration")
        later = ". What is filled in later needs _partial_: true beside its _target_" if _lacks(cause) else ""
        raise ConfigError(f"{target} could not be built: {cause or error}{later}") from error
    except (OmegaConfBaseException, TypeError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"Settings that nothing can be built from: {error}. They are a mapping of names to plain values, with "
            "_target_ for the class."
        ) from error


def _located(message: str, settings: Any, root: str, inner: str) -> str:
    """A message that begins with an argument's name, with the key of that setting instead; any other as it is.

    Classes name their arguments, since they are used without a configuration, too.

    Args:
        message: Such as ``percentage must be between 0 and 100``.
        settings: What was to be built.
        root: Its own key, such as ``loss``.
        inner: The key within it of the object that refused, such as ``negatives``.
    """
    argument = message.partition(" ")[0]
    keys = [key for key in _keys(settings) if f".{key}".endswith(f".{argument}")]
    own = f"{inner}.{argument}".lstrip(".")
    key = own if own in keys else keys[0] if len(keys) == 1 else ""  # one that was completed later, as partials are
    return f"{root}.{key}".lstrip(".") + message.removeprefix(argument) if key else message


def _keys(settings: Any) -> Iterator[str]:
    """Dotted keys of all settings, those that hold others too."""
    if isinstance(settings, Mapping):
        for name, value in settings.items():
            yield str(name)
            yield from (f"{name}.{key}" for key in _keys(value))


def _lacks(error: BaseException | None) -> bool:
    """Whether this is Python's error for a call that lacks arguments."""
    return isinstance(error, TypeError) and "missing" in str(error)


def _described(config: Any, key: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """All mappings with a target, those inside others too, with their dotted keys."""
    if isinstance(config, Mapping):
        if "_target_" in config:
            yield key, config
        for name, value in config.items():
            yield from _described(value, f"{key}.{name}".lstrip("."))
    elif isinstance(config, Sequence) and not isinstance(config, str):
        for place, value in enumerate(config):
            yield from _described(value, f"{key}.{place}".lstrip("."))


def _check_names(target: Any, given: Mapping[str, Any], name: str) -> None:
    """Refuse arguments that a class does not take.

    Raises:
        ConfigError: If there are any.
    """
    takes = signature(target)
    try:
        takes.bind_partial(**given)
    except TypeError as error:
        raise ConfigError(
            f"{name} {error}; it takes {', '.join(takes.parameters)}. Correct or remove the setting."
        ) from error


def _check_target(target: str, within: Allowed) -> Any:
    """Refuse what is not a class of an allowed place, or a class method of this package.

    The prefix alone is not enough: ``contextrast.data.os.system`` has it, by way of what a module imports.

    Raises:
        ConfigError: If it is anything else, or does not exist.
    """
    if target.startswith(within.prefixes):
        root = target.partition(".")[0]
        found = _looked_up(target, root)
        builds = isinstance(found, type) or (ismethod(found) and root == "contextrast")  # our own class methods
        if not builds or found.__module__.partition(".")[0] != root:
            raise ConfigError(f"_target_: {target} is not allowed; it is no class of {root}")
        return found
    packages = [name for name in own_packages() if target.startswith(f"{name}.")]
    if not packages:
        top = target.partition(".")[0]
        others = {prefix.partition(".")[0] for prefix in TYPED.prefixes} | sys.stdlib_module_names
        own = f"; if {top} is a package of your own, name it: {VARIABLE}={top}, or by an entry point of {GROUP}"
        raise ConfigError(
            f"_target_: {target} is not allowed; targets here start with {', '.join(within.prefixes)}"
            + ("" if top in others else own)
        )
    root = max(packages, key=len)
    found = _looked_up(target, root)
    if not isinstance(found, type) or not f"{found.__module__}.".startswith(f"{root}."):
        raise ConfigError(
            f"_target_: {target} is not allowed; it is no class of {root}. Functions are not called: write a class "
            "that derives from what it makes."
        )
    if not issubclass(found, within.of_own_packages):
        kind = within.of_own_packages
        raise ConfigError(f"_target_: {target} is not allowed here; it is no {kind.__module__}.{kind.__qualname__}.")
    return found


def _looked_up(target: str, root: str) -> Any:
    """What a dotted name stands for, without a step into another package's modules.

    Args:
        target: The name.
        root: The package that it starts with.

    Raises:
        ConfigError: If it does not exist, or leads elsewhere.
    """
    path, found = root, _imported(root, target)
    for name in target.removeprefix(f"{root}.").split("."):
        path = f"{path}.{name}"
        try:
            inside_module = isinstance(found, ModuleType) and not hasattr(found, name)
            found = _imported(path, target) if inside_module else getattr(found, name)
        except AttributeError as error:
            raise ConfigError(f"_target_: {target} does not exist: {error}") from error
        if isinstance(found, ModuleType) and found.__name__ != path:
            raise ConfigError(f"_target_: {target} is not allowed; it leads through the module {found.__name__}")
    return found


def _imported(module: str, target: str) -> ModuleType:
    """A module on the way to a target.

    Raises:
        ConfigError: If there is none of that name, or its code fails.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            raise ConfigError(f"_target_: {target} does not exist: {error}") from error
        raise unimportable(module, error) from error
    except Exception as error:  # whatever a module's own code raises
        raise unimportable(module, error) from error


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
        raise ConfigError(
            f"{settings!r} is not allowed: settings that are built from hold values, no interpolations. "
            "A file or folder that is called so is reached by a link with another name."
        )


def plain(config: DictConfig) -> dict[str, Any]:
    """A resolved copy as plain containers, which checkpoints and YAML files can hold."""
    container = OmegaConf.to_container(config, resolve=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}

"""From YAML to objects: where the configuration lies, and the only way in which it becomes code."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
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


def instantiate(config: Any, **arguments: Any) -> Any:
    """Build the object a configuration describes, if its classes come from an allowed place.

    Args:
        config: A mapping with ``_target_``; nested targets are built first.
        **arguments: Further constructor arguments, which win.

    Raises:
        ConfigError: If a target is not allowed, or the constructor refuses its arguments.
    """
    settings = OmegaConf.to_container(config, resolve=True) if OmegaConf.is_config(config) else config
    for target in _targets(settings):
        if not target.startswith(ALLOWED_TARGETS):
            raise ConfigError(f"_target_: {target} is not allowed; targets start with {', '.join(ALLOWED_TARGETS)}")
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


def plain(config: DictConfig) -> dict[str, Any]:
    """A resolved copy as plain containers, which checkpoints and YAML files can hold."""
    container = OmegaConf.to_container(config, resolve=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}

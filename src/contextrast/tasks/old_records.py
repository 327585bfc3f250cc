"""Records of runs that were begun before some settings existed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from contextrast.errors import ConfigError
from contextrast.runs.composition import compose
from contextrast.runs.reading import load
from contextrast.runs.recorded_overrides import recorded_overrides
from contextrast.runs.settings import flat

_MISSING: Final = object()


def recorded_settings(run_dir: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What a run was composed of, by dotted key; settings that are newer than the run have their defaults.

    A default is what the run's own overrides give the setting now. A setting that these do not have is left out.

    Args:
        run_dir: The run's folder.
        asked: Another run's settings as plain containers, which say what there is now.

    Raises:
        ConfigError: If a file of the folder is damaged.
    """
    recorded = flat(load(run_dir / "config.yaml") or {})
    newer = [key for key in flat(asked) if key not in recorded]
    now = _composed_now(run_dir) if newer and recorded else None
    if now is not None:
        defaults = {key: _value(now, key) for key in newer}
        recorded |= {key: value for key, value in defaults.items() if value is not _MISSING}
    return recorded


def _composed_now(run_dir: Path) -> DictConfig | None:
    """The composition of a run's overrides by today's files; None where there is none."""
    path = run_dir / "overrides.yaml"
    try:
        return compose("train", recorded_overrides(load(path) or [], path, ()).taken)
    except (ConfigError, HydraException):
        return None


def _value(config: DictConfig, key: str) -> Any:
    try:
        value = OmegaConf.select(config, key, default=_MISSING, throw_on_missing=True)
    except (OmegaConfBaseException, ValueError):  # not of the run alone: its folder, its job
        return _MISSING
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value

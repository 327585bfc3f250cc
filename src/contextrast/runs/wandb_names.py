"""How a run is called in W&B, by what it is and by what differs from the other runs of its sweep."""

from pathlib import Path
from typing import Final

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from contextrast.runs.settings import by_key, changes_result

_GROUPS: Final = ("data", "model", "loss")
_LONGEST: Final = 120  # characters; W&B allows 128


def run_tags() -> list[str]:
    """Dataset, network and loss, where the command chooses them."""
    choices = HydraConfig.get().runtime.choices
    return [str(choices[group]) for group in _GROUPS if choices.get(group)]


def run_setting() -> str:
    """What runs of several seeds have in common: ``camvid_hrnet_w48_contextrast``, or the command's name."""
    return "_".join(run_tags()) or str(HydraConfig.get().job.name)


def run_group() -> str:
    """The sweep that the run belongs to, by its folder; for a single run what its repetitions share."""
    return Path(HydraConfig.get().sweep.dir).name if _sweeping() else run_setting()


def run_name(seed: int | str) -> str:
    """What differs: from the other jobs where the run is one of a sweep, from the defaults where it is not.

    Args:
        seed: The run's seed; empty where it has none.
    """
    texts = by_key(HydraConfig.get().overrides.task)
    texts.pop("seed", None)
    if _sweeping():
        alike = HydraConfig.get().callbacks["failed_jobs"]["sweep"]
        parts = [text for text in texts.values() if text not in alike] or [run_setting()]
    else:
        parts = [text for key, text in texts.items() if key not in _GROUPS and changes_result(text)]
        parts.insert(0, run_setting())
    return " ".join([*parts, f"seed={seed}"] if seed != "" else parts)[:_LONGEST]


def _sweeping() -> bool:
    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)

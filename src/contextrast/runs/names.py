"""What folders are called that stand for overrides: sweeps, their jobs, and variants of results.

``loss-contextrast__loss.negatives.error_map-others`` stands for ``loss=contextrast
loss.negatives.error_map=others``: names that any shell, file system and URL takes as they are, and that different
overrides never share. Folders that earlier versions named are found where they are there.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from contextrast.runs.settings import by_key, changes_result

_LONGEST: Final = 100  # bytes of a name; file systems allow 255, and tools add to it
_BETWEEN: Final = "__"
_HASH: Final = 8  # hexadecimal digits that tell shortened names apart

_FORMER_LONGEST: Final = 200
_FORMERLY_LEFT_OUT: Final = ("ablation", "logger", "resume")


def path_name(overrides: Sequence[str]) -> str:
    """A file name for overrides: short, and different for different ones.

    Args:
        overrides: As typed, such as ``loss/negatives=all``, ``loss.alpha=0.1,0.2``; their order counts.

    Returns:
        For example ``loss~negatives-all__loss.alpha-0.1+0.2``, of letters, digits and ``._+~-`` alone, or ``defaults``
        for none. What the overrides cannot be read back from, as it was too long, held other characters, or is a path
        and cut to its last part, ends in a hash of the whole.
    """
    if not overrides:
        return "defaults"
    name = _BETWEEN.join(map(_written, overrides))
    if len(name) <= _LONGEST and name[:1].isalnum() and _read(name) == list(overrides):
        return name
    # Bytes on a command line that are no text arrive as surrogates.
    whole = "\0".join(overrides).encode(errors="surrogatepass")
    digest = hashlib.sha256(whole).hexdigest()[:_HASH]
    shortened = name[: _LONGEST - _HASH - len(_BETWEEN)].strip(".-~_+")
    return f"{shortened}{_BETWEEN}{digest}" if shortened else digest


def job_name(overrides: Sequence[str], alike: Iterable[str] = ()) -> str:
    """The folder of a job of a sweep: the overrides that tell it from the other jobs, and those that change its result.

    Args:
        overrides: The job's.
        alike: Those that all jobs of its sweep have.
    """
    same = set(alike)
    named = [text for text in by_key(overrides).values() if text not in same or changes_result(text)]
    return path_name(sorted(named, key=lambda text: (text in same, text)))  # a long name is cut at what jobs share


def variant_overrides(variant: str) -> list[str]:
    """The overrides of a variant, which is a loss and overrides: ``contextrast loss.alpha=0.2``."""
    loss, *overrides = variant.split()
    return [f"loss={loss}", *overrides]


def present(folder: Path, name: str, former: str) -> str:
    """The name that a folder has inside another one: the former one if it is there, and the present one is not."""
    there = len(former.encode()) <= 255 and (folder / former).is_dir()
    return former if there and not (folder / name).is_dir() else name


def former_name(overrides: Sequence[str]) -> str:
    """What `job_name` was before: the overrides themselves, ``loss.alpha=0.1,seed=0``."""
    kept = sorted(text for key, text in by_key(overrides).items() if key not in _FORMERLY_LEFT_OUT)
    joined = ",".join(kept)
    cut = re.sub(r"(?<==)[^,=]*/(?=[^,/])", "", joined)
    shortened = cut.encode(errors="replace")[:_FORMER_LONGEST].decode(errors="ignore")
    name = shortened.replace("/", ".") or "defaults"
    digest = hashlib.sha256(joined.encode(errors="surrogatepass")).hexdigest()[:8]
    return name if shortened == joined else f"{name}-{digest}"


def sweep_folder(runs: str, ablation: str | None, overrides: Sequence[str]) -> str:
    """A sweep's folder: by the name of its ablation, else by the overrides that make the sweep."""
    folder = Path(runs) / "multirun"
    name = ablation or present(folder, job_name(overrides, sweep_overrides(overrides)), former_name(overrides))
    return str(folder / name)


def job_folder(*, _root_: DictConfig) -> str:
    """A job's folder in that of its sweep: by what changes its result or tells it from the other jobs."""
    overrides, hydra = list(_root_.hydra.overrides.task), _root_.hydra
    alike = OmegaConf.select(_root_, "hydra.callbacks.failed_jobs.sweep", default=[])
    return present(Path(hydra.sweep.dir), job_name(overrides, alike), former_name(overrides))


def sweep_overrides(overrides: Sequence[str]) -> list[str]:
    """The overrides that all jobs of a sweep have: those of one value, as they are typed and as jobs get them."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    alike = [item for item in parsed if not item.is_sweep_override()]
    given = [f"{item.get_key_element()}={item.get_value_element_as_str()}" for item in alike]
    return list(dict.fromkeys([*(str(item.input_line) for item in alike), *given]))


def _written(override: str) -> str:
    """An override in characters of file names; not always to be read back."""
    key, _, value = override.partition("=")
    value = re.sub(r"[^,]*/(?=[^,/])", "", value)
    text = f"{key.replace('/', '~')}-{value.replace(',', '+')}"
    return re.sub(r"[^A-Za-z0-9._~+-]", "", text).strip(".")


def _read(name: str) -> list[str]:
    """The overrides that a name stands for, if it is no shortened one."""
    overrides = []
    for part in name.split(_BETWEEN):
        key, _, value = part.partition("-")
        overrides.append(f"{key.replace('~', '/')}={value.replace('+', ',')}")
    return overrides

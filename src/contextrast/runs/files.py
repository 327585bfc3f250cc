"""Files of a run folder: what a run measured and where it ran."""

import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import torch

from contextrast.errors import ConfigError

PACKAGES: Final = (
    "contextrast",
    "torch",
    "torchvision",
    "lightning",
    "torchmetrics",
    "segmentation-models-pytorch",
    "timm",
    "albumentations",
    "kornia",
    "hydra-core",
    "numpy",
    "wandb",
)
"""Packages whose versions a run records: those that can change its numbers or its files."""


_INNER_LIST: Final = re.compile(r"\[\n\s+([^\[\]{}\"]*?)\n\s+\]")
"""A list of numbers as ``json`` indents it, one a line."""


def write_json(path: str | Path, content: Any) -> None:
    """Write a file that is either complete or not there: a reader never meets half of it.

    Args:
        path: The file; its folder is made if it is missing.
        content: Plain containers. NaN is refused, as JSON has none. Lists of numbers take one line each.
    """
    path = Path(path)
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    text = _INNER_LIST.sub(lambda match: f"[{' '.join(match[1].split())}]", text)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).chmod(0o644)  # mkstemp's files are for their owner alone
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def environment() -> dict[str, Any]:
    """Where a run takes place, as plain containers.

    Returns:
        ``git`` (commit and whether files differ from it, None outside a checkout), ``versions``, ``hardware``, the
        ``seed`` given to ``seed_everything`` (None before), and the ``command`` line.
    """
    seed = os.environ.get("PL_GLOBAL_SEED")
    return {
        "git": _git_state(),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "hardware": _hardware(),
        "seed": None if seed is None else int(seed),
        "command": shlex.join(sys.argv),
    }


def _hardware() -> dict[str, Any]:
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return {
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "cuda": torch.version.cuda,
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git_state() -> dict[str, Any] | None:
    """The checkout that this very file is tracked in; an environment inside somebody's repository is none."""
    here = Path(__file__).resolve()
    if _git("ls-files", "--error-unmatch", here.name, cwd=here.parent) is None:
        return None
    commit = _git("rev-parse", "HEAD", cwd=here.parent)
    changes = _git("status", "--porcelain", "--untracked-files=no", cwd=here.parent)
    return {"commit": commit, "modified": bool(changes)} if commit else None


def _git(*arguments: str, cwd: Path) -> str | None:
    program = shutil.which("git")
    if program is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603  (fixed arguments)
            [program, *arguments], cwd=cwd, capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def refuse_finished(run_dir: Path) -> None:
    """Leave a folder alone that holds a finished run.

    Raises:
        ConfigError: If it does.
    """
    if (run_dir / "metrics.json").exists():
        raise ConfigError(
            f"{run_dir} already holds a finished run (metrics.json). Nothing was changed: choose another "
            "hydra.run.dir, or remove the folder."
        )

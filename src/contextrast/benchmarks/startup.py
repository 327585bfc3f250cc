"""How long commands take to answer."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from contextrast.benchmarks.measuring import CONSOLE, table
from contextrast.errors import ContextrastError

_TRAIN = "contextrast.cli.train"
_ANSWERS: Mapping[str, Sequence[str]] = {
    "--help": ["--help"],
    "--version": ["--version"],
    "--info defaults": ["--info", "defaults"],
    "--cfg job": ["--cfg", "job"],
    "an unknown key": ["lr=0.01"],
    "an added key": ["+lr=0.01"],
    "an unknown choice": ["data=camvit"],
    "one TAB": ["-sc", "query=bash"],
}
"""What is asked of contextrast-train, and how."""

_LIBRARIES = "import torch, lightning, segmentation_models_pytorch"
_SMALL = ("data.num_workers=0", "logger=csv", "callbacks.pictures.num_images=0")
_FIRST_STEP = """
import os, runpy, sys, time
import lightning.pytorch as pl
began = time.perf_counter()
def stop(*_):
    print(time.perf_counter() - began)
    sys.stdout.flush()
    os._exit(0)
pl.LightningModule.on_train_batch_end = stop
sys.argv = ["contextrast-train", *sys.argv[1:]]
runpy.run_module("contextrast.cli.train", run_name="__main__")
"""


def startup(repetitions: int) -> dict[str, float]:
    """Seconds until a command answers, each in a process of its own, and until training takes its first step."""
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(repetitions):
            for name, arguments in _ANSWERS.items():
                found.setdefault(f"contextrast-train {name}", []).append(_seconds(["-m", _TRAIN, *arguments], folder))
            for line in ("pass", "import torch", "import torch, contextrast.contrast", _LIBRARIES):
                found.setdefault(f"python -c '{line}'", []).append(_seconds(["-c", line], folder))
        step = [float(_output(["-c", f"{_LIBRARIES}\n{_FIRST_STEP}", *_SMALL], folder)) for _ in range(2)]
        found["first step of contextrast-train, behind these imports"] = step
    shown = table("Start-up", "what", "median s", "range s")
    for name, times in found.items():
        shown.add_row(name, f"{statistics.median(times):.2f}", f"{min(times):.2f} to {max(times):.2f}")
    CONSOLE.print(shown)
    return {name: statistics.median(times) for name, times in found.items()}


def _seconds(arguments: Sequence[str], folder: str) -> float:
    began = time.perf_counter()
    _output(arguments, folder)
    return time.perf_counter() - began


def _output(arguments: Sequence[str], folder: str) -> str:
    """The last line that a process prints, which may fail in what it was asked on purpose.

    Raises:
        ContextrastError: If it ends in a traceback.
    """
    completion = {"COMP_LINE": "contextrast-train optimizer.l", "XDG_CACHE_HOME": str(Path(folder, "cache"))}
    done = subprocess.run(  # noqa: S603  (our own commands)
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, **completion},
        capture_output=True,
        text=True,
        check=False,
    )
    if "Traceback" in done.stderr:
        raise ContextrastError(f"{arguments} failed: {done.stderr[-2000:]}")
    return done.stdout.strip().rpartition("\n")[2]

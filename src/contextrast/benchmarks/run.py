"""Whether memory grows over a training run."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from contextrast.benchmarks.measuring import CONSOLE, table
from contextrast.errors import ContextrastError

SMALL = (
    "data.dataset.size=[64,64]", "data.dataset.lengths.train=8", "data.dataset.lengths.val=4", "data.crop=[64,64]",
    "data.batch_size=2", "data.eval_batch_size=2", "data.num_workers=0", "model.decoder_pyramid_channels=16",
    "model.decoder_segmentation_channels=32", "trainer.accelerator=cpu",
)  # fmt: skip


def run(steps: int, overrides: Sequence[str]) -> dict[str, float]:
    """Memory of the default job on small images: validations, pictures, checkpoints, curves and W&B's record.

    The run is a process of its own, ``contextrast-train``, whose memory the system tells.
    """
    marks = [steps * tenth // 10 for tenth in range(1, 11)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run")
        asked = [*SMALL, f"trainer.max_steps={steps + 1}", *overrides, f"hydra.run.dir={path}"]
        with Path(folder, "output.txt").open("w+") as output:
            process = subprocess.Popen(  # noqa: S603  (our own command)
                [sys.executable, "-m", "contextrast.cli.train", *asked],
                cwd=folder, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, "WANDB_MODE": "offline"},
            )  # fmt: skip
            held: dict[int, float] = {}
            try:
                while process.poll() is None:
                    if len(held) < len(marks) and _last_step(path / "metrics.csv") >= marks[len(held)]:
                        held[marks[len(held)]] = _resident(process.pid)
                    time.sleep(0.05)
            finally:
                process.kill()
            if process.returncode:
                output.seek(0)
                raise ContextrastError(f"The run failed: {output.read()[-2000:]}")
    shown = table(f"Memory of a run of {steps} steps", "step", "MB", "growth %")
    settled = held[marks[0]]
    for step, megabytes in held.items():
        shown.add_row(str(step), f"{megabytes:.1f}", f"{100 * (megabytes / settled - 1):+.2f}")
    CONSOLE.print(shown)
    return {f"step {step}": megabytes for step, megabytes in held.items()}


def _last_step(curves: Path) -> int:
    """Steps taken by a run, as far as its curves tell; 0 before the first row is there."""
    if not curves.is_file():
        return 0
    with curves.open("rb") as file:
        names = file.readline().decode().rstrip().split(",")
        file.seek(max(0, curves.stat().st_size - (1 << 16)))
        rows = file.read().decode().split("\n")[1:-1]  # whole ones
    return int(rows[-1].split(",")[names.index("step")]) + 1 if rows and "step" in names else 0


def _resident(process: int) -> float:
    """MB that a process has for itself (Linux), without what it has of files, which the system drops as it likes."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) / 2**10

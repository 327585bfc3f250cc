"""Kill a training run again and again, resume it each time, and compare what comes out with a run left in peace.

``python scripts/kill_and_resume.py --kills 20`` trains a tiny network on the CPU twice, once undisturbed and once
ended by SIGKILL at random moments, every third one while a checkpoint is written. Weights, optimiser, anchors, memory
and generators have to be equal bit for bit. It prints a line a kill and ends with 1 where anything differs.
``--signal TERM`` asks as schedulers do: each time the run has to save its last step and to end with code 143.
"""

import argparse
import multiprocessing
import random
import signal
import sys
import tempfile
import time
from itertools import pairwise
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

TINY = (
    "data=streets", "data.dataset.size=[64,64]", "data.dataset.lengths.train=10", "data.dataset.lengths.val=2",
    "data.crop=[64,64]", "data.batch_size=2", "data.eval_batch_size=2", "data.num_workers=0",
    "model.encoder_weights=null", "model.decoder_pyramid_channels=16", "model.decoder_segmentation_channels=32",
    "loss=contextrast_pp", "loss.embedding_dim=16", "trainer.accelerator=cpu", "trainer.precision=32-true",
    "trainer.val_check_interval=7", "trainer.log_every_n_steps=1", "callbacks.last_checkpoint.every_n_steps=2",
    "callbacks.pictures.num_images=0", "logger=csv",
)  # fmt: skip
_PATIENCE = 300.0  # seconds after which a run that neither ends nor saves is stuck


def train(folder: Path, arguments: list[str]) -> None:
    """What a child process does: ``contextrast-train``, from its command line on."""
    from contextrast.cli.train import main  # noqa: PLC0415  (the parent does without)

    torch.set_num_threads(1)
    with (folder.parent / f"{folder.name}.log").open("a") as output:
        sys.stdout = sys.stderr = output
        last = folder / "checkpoints" / "last.ckpt"
        ways = [f"resume={folder}"] if last.exists() else []
        sys.argv = ["contextrast-train", *arguments, *ways, f"hydra.run.dir={folder}"]
        main()


def start(folder: Path, arguments: list[str]) -> BaseProcess:
    """A training in a process of its own, forked from one that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["contextrast.cli.train", "contextrast.cli.app", "contextrast.tasks.train"])
    process = context.Process(target=train, args=(folder, arguments))
    process.start()
    return process


def checkpoint_seconds(process: BaseProcess, folder: Path) -> float:
    """Wait for a training to end; the time between two of its checkpoints, at the least that was seen."""
    last, seen, moments = folder / "checkpoints" / "last.ckpt", 0, []
    while process.is_alive():
        if (written := _written(last)) != seen:
            seen = written
            moments.append(time.monotonic())
        time.sleep(0.002)
    process.join()
    return min((later - earlier for earlier, later in pairwise(moments)), default=0.0)


def kill_somewhere(
    process: BaseProcess, folder: Path, draw: random.Random, writing: bool, interval: float, number: signal.Signals
) -> str | None:
    """Kill a training after its next checkpoint or two: at a random moment, or as soon as it writes another one.

    Args:
        process: The training.
        folder: Its run folder.
        draw: Of the moment.
        writing: Whether to wait until it writes.
        interval: Seconds between two checkpoints.
        number: The signal.

    Returns:
        When it was, or None if the training ended by itself.
    """
    last, unfinished = (folder / "checkpoints" / name for name in ("last.ckpt", "last.ckpt.tmp"))
    before, began = _written(last), time.monotonic()
    while process.is_alive() and _written(last) == before:
        if time.monotonic() - began > _PATIENCE:
            process.kill()
            raise SystemExit(f"No checkpoint within {_PATIENCE:.0f} s; see {folder}.log")
        time.sleep(0.002)
    delay = 0.0 if writing else draw.uniform(0.0, interval)
    until = time.monotonic() + delay
    while process.is_alive() and (time.monotonic() < until if not writing else not unfinished.exists()):
        time.sleep(0.0005)
    if not process.is_alive():
        process.join()
        return None
    while_writing = unfinished.exists()
    (process.kill if number == signal.SIGKILL else process.terminate)()
    process.join()
    expected = -number if number == signal.SIGKILL else 128 + number
    if process.exitcode != expected:
        raise SystemExit(f"The run ended with {process.exitcode} instead of {expected}; see {folder}.log")
    return "while writing" if while_writing else f"{delay:.2f} s after a checkpoint"


def differences(one: Any, other: Any, place: str = "") -> list[str]:
    """Where two checkpoints differ in what decides how training goes on."""
    if isinstance(one, Tensor):
        same = isinstance(other, Tensor) and one.dtype == other.dtype and torch.equal(one, other)
        return [] if same else [place]
    if isinstance(one, dict) and isinstance(other, dict):
        keys = dict.fromkeys([*one, *other])
        return [line for key in keys for line in differences(one.get(key), other.get(key), f"{place}/{key}")]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [line for number, (a, b) in pairs for line in differences(a, b, f"{place}/{number}")]
    if isinstance(one, dict | list | tuple) or isinstance(other, dict | list | tuple | Tensor):
        return [] if type(one) is type(other) and not one and not other else [place]
    return [] if one == other else [place]


def compare(
    folder: Path, kills: int, steps: int, seed: int, overrides: list[str], number: signal.Signals = signal.SIGKILL
) -> list[str]:
    """Train undisturbed and disturbed, and compare.

    Args:
        folder: Where both runs go.
        kills: How often to kill.
        steps: Steps of the run at least; more if it needs them to be killed so often.
        seed: Of the moments.
        overrides: Further ones of ``contextrast-train``.
        number: The signal that ends it.

    Returns:
        What differs; nothing if all is well.
    """
    # One that is killed comes two checkpoints further, which are four steps, and more on a machine that grows faster.
    steps = max(steps, 8 * kills)
    arguments = [*TINY, f"trainer.max_steps={steps}", *overrides]
    peace = start(folder / "undisturbed", arguments)
    interval = checkpoint_seconds(peace, folder / "undisturbed")
    if peace.exitcode:
        raise SystemExit(f"The undisturbed run failed; see {folder / 'undisturbed.log'}")
    draw, disturbed, done = random.Random(seed), folder / "disturbed", 0  # noqa: S311  (moments, no secrets)
    while True:
        process = start(disturbed, arguments)
        writing = done % 3 == 2
        moment = kill_somewhere(process, disturbed, draw, writing, interval, number) if done < kills else None
        process.join()
        if moment is None:
            break
        done += 1
        last = torch.load(disturbed / "checkpoints" / "last.ckpt", weights_only=True)  # valid at any moment
        print(f"kill {done:2d}  {moment:28s} goes on from step {last['global_step']}", flush=True)
    if process.exitcode:
        raise SystemExit(f"The resumed run failed; see {disturbed}.log")
    if done < kills:
        raise SystemExit(f"The run ended after {done} of {kills} kills; give it more --steps.")
    ends = [
        torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (folder / "undisturbed", disturbed)
    ]
    kept = ("global_step", "state_dict", "optimizer_states", "lr_schedulers", "random_state")
    return [line for key in kept for line in differences(ends[0][key], ends[1][key], key)]


def _written(path: Path) -> int:
    """When a file was written; 0 if it is not there."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20, help="how often to kill the run")
    parser.add_argument("--steps", type=int, default=40, help="steps of the run; at least eight a kill")
    parser.add_argument("--signal", choices=["KILL", "TERM"], default="KILL", help="what ends it")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--folder", type=Path, help="where the runs go; a temporary folder if left out")
    parser.add_argument("overrides", nargs="*", help="further ones of contextrast-train, such as loss=ce")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        number = signal.Signals[f"SIG{options.signal}"]
        wrong = compare(folder, options.kills, options.steps, options.seed, options.overrides, number)
    print("\n".join(f"differs: {place}" for place in wrong) or "Equal bit for bit.")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()

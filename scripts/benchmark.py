"""Time and memory of the method, with the numbers that BENCHMARKS.md and the documentation quote.

    python scripts/benchmark.py loss        # one call of each loss and base, forward and backward
    python scripts/benchmark.py memory      # resident memory over 5000 small steps of each loss
    python scripts/benchmark.py estimate data=cityscapes model=hrnet_w48  # peak memory of a step, on fake tensors
    python scripts/benchmark.py run         # memory over 5000 steps of contextrast-train, on small images
    python scripts/benchmark.py distance    # one transform and selection against kornia, class by class
    python scripts/benchmark.py communication   # what the loss sends at a step on several GPUs, counted
    python scripts/benchmark.py depthwise   # a bfloat16 step on a CPU, depthwise backward passes in float32 or not
    python scripts/benchmark.py loader data=camvid data.root=PATH   # training samples per second; overrides as to train
    python scripts/benchmark.py step --loss contextrast data=cityscapes model=hrnet_w48  # a step against loss=ce
    python scripts/benchmark.py infer --size 512 1024 model=hrnet_w48   # images per second; like step without data
    python scripts/benchmark.py startup     # until commands answer, and until the first step of training
    python scripts/benchmark.py prediction data=ade20k  # memory of a large image, in windows

Inputs are seeded; times are medians over repetitions in one process, with their range.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from contextrast.benchmarks import (
    communication,
    depthwise,
    distance,
    estimate,
    flatness,
    infer,
    loader,
    losses,
    prediction,
    run,
    startup,
    step,
)  # fmt: skip
from contextrast.benchmarks.infer import WAYS
from contextrast.benchmarks.losses import BASES
from contextrast.benchmarks.measuring import CONSOLE
from contextrast.errors import ContextrastError

METHODS = ["contextrast", "contextrast_pp", "pixel_contrast", "pixel_contrast_memory", "multiscale"]


def main() -> None:
    """Run the benchmark that is asked for."""
    options = vars(_parser().parse_args())
    benchmark, numbers_path, text_path = (options.pop(key) for key in ("benchmark", "json", "markdown"))
    try:
        numbers = benchmark(**options)
    except ContextrastError as error:
        sys.exit(f"{error}")
    if numbers_path is not None:
        numbers_path.write_text(json.dumps({"threads": torch.get_num_threads(), **numbers}, indent=1) + "\n")
    if text_path is not None:
        command = shlex.join(["python", *sys.argv])
        text_path.write_text(f"```text\n$ {command}\n{CONSOLE.export_text()}```\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)

    def command(run: Callable[..., Mapping[str, float | str]], name: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=(run.__doc__ or "").splitlines()[0])
        added.add_argument("--json", type=Path, help="also write the numbers to this file")
        added.add_argument("--markdown", type=Path, help="also write what is printed to this file")
        added.set_defaults(benchmark=run)
        return added

    def repeated(run: Callable[..., Mapping[str, float | str]], repetitions: int = 7) -> argparse.ArgumentParser:
        added = command(run, run.__name__.removesuffix("es"))
        added.add_argument("--repetitions", type=int, default=repetitions)
        return added

    of_losses, of_memory = repeated(losses), command(flatness, "memory")
    of_losses.add_argument("--num-classes", type=int, nargs="+", default=[19])
    of_losses.add_argument("--size", type=int, nargs=2, default=[512, 1024], help="height and width of the images")
    of_losses.add_argument(
        "--bases", nargs="*", choices=BASES, default=list(BASES), help="losses of logits, each alone"
    )
    of_losses.add_argument("--batch-size", type=int, default=4)
    of_run = command(run, "run")
    for benchmark in (of_memory, of_run):
        benchmark.add_argument("--steps", type=int, default=5000)
    of_communication = command(communication, "communication")
    of_communication.add_argument("--world-sizes", type=int, nargs="+", default=[8, 64, 1024], help="numbers of GPUs")
    of_communication.add_argument("--num-classes", type=int, default=19)
    of_communication.add_argument("--size", type=int, nargs=2, default=[512, 1024], help="height and width")
    of_communication.add_argument("--batch-size", type=int, default=2, help="images per GPU")
    for benchmark in (of_losses, of_memory, of_communication):
        benchmark.add_argument(
            "--methods",
            nargs="+",
            default=METHODS,
            help="losses with overrides: 'contextrast loss/negatives=all'",
        )
    repeated(distance)
    repeated(depthwise)
    repeated(startup, 5)
    of_loader, of_steps, of_inference = repeated(loader), repeated(step, 30), repeated(infer)
    of_steps.add_argument("--loss", type=_names, default=METHODS[:2], help="files of conf/loss: A,B,...")
    of_estimate = command(estimate, "estimate")
    of_estimate.add_argument("--loss", type=_names, default=METHODS[:3], help="files of conf/loss: A,B,...")
    of_inference.add_argument("--ways", type=_names, default=[*WAYS], help=f"of {','.join(WAYS)}")
    of_inference.add_argument("--size", type=int, nargs=2, help="height and width; else the data's crop")
    of_inference.add_argument("--batch-size", type=int, default=1)
    of_prediction = command(prediction, "prediction")
    of_prediction.add_argument("--size", type=int, nargs=2, default=[3000, 4000], help="height and width")
    of_prediction.add_argument("--windows", type=_names, default=["512x1024"], help="heights and widths: 512x1024,...")
    of_prediction.add_argument("--batch-size", type=int, default=1, help="windows predicted at once")
    for benchmark in (of_loader, of_steps, of_inference, of_prediction, of_run, of_estimate):
        benchmark.add_argument("overrides", nargs="*", help="for example data=camvid data.root=PATH")
    return parser


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


if __name__ == "__main__":
    main()

"""Time and memory of the method, with the numbers that the README quotes.

    python scripts/benchmark.py loss        # one call of each loss, forward and backward, on four stages
    python scripts/benchmark.py memory      # resident memory over 5000 small steps of each loss
    python scripts/benchmark.py distance    # one transform and selection against kornia, class by class
    python scripts/benchmark.py depthwise   # a bfloat16 step on a CPU, depthwise backward passes in float32 or not
    python scripts/benchmark.py loader data=camvid data.root=PATH   # training samples a second; overrides as to train
    python scripts/benchmark.py step --loss contextrast data=cityscapes model=hrnet_w48  # a step against loss=ce
    python scripts/benchmark.py infer --size 512 1024 model=hrnet_w48   # images a second; like step without data

Inputs are seeded; times are medians over repetitions in one process, with their range.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from contextrast.benchmarks import depthwise, distance, flatness, infer, loader, losses, step
from contextrast.benchmarks.infer import WAYS
from contextrast.errors import ContextrastError

METHODS = ["contextrast", "contextrast_pp", "pixel_contrast", "pixel_contrast_memory", "multiscale"]


def main() -> None:
    """Run the benchmark that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    benchmarks: dict[str, Callable[..., Mapping[str, float | str]]] = {
        "loss": losses, "memory": flatness, "distance": distance, "depthwise": depthwise, "loader": loader,
        "step": step, "infer": infer,
    }  # fmt: skip
    for name, run in benchmarks.items():
        command = commands.add_parser(name, help=(run.__doc__ or "").splitlines()[0])
        command.add_argument("--json", type=Path, help="also write the numbers to this file")
        command.set_defaults(run=run)
        if name == "memory":
            command.add_argument("--steps", type=int, default=5000)
        else:
            command.add_argument("--repetitions", type=int, default=30 if name == "step" else 7)
        if name in ("loss", "memory"):
            command.add_argument("--methods", nargs="+", default=METHODS, help="files of conf/loss")
    commands.choices["loss"].add_argument("--num-classes", type=int, nargs="+", default=[19])
    commands.choices["step"].add_argument(
        "--loss", type=_names, default=METHODS[:2], help="files of conf/loss: A,B,..."
    )
    commands.choices["infer"].add_argument("--ways", type=_names, default=[*WAYS], help=f"of {','.join(WAYS)}")
    commands.choices["infer"].add_argument("--size", type=int, nargs=2, help="height and width; else the data's crop")
    commands.choices["infer"].add_argument("--batch-size", type=int, default=1)
    for name in ("loader", "step", "infer"):
        commands.choices[name].add_argument("overrides", nargs="*", help="for example data=camvid data.root=PATH")
    options = vars(parser.parse_args())
    run, path, _ = (options.pop(key) for key in ("run", "json", "command"))
    try:
        numbers = run(**options)
    except ContextrastError as error:
        sys.exit(f"{error}")
    if path is not None:
        path.write_text(json.dumps({"threads": torch.get_num_threads(), **numbers}, indent=1) + "\n")


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


if __name__ == "__main__":
    main()

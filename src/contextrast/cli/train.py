"""``contextrast-train``: train a network and leave a run folder behind."""

import sys
from typing import Final

from contextrast.cli.described import Described
from contextrast.cli.entry import command, function_at

DESCRIBED: Final = Described(
    "contextrast-train",
    "train a network and leave a run folder behind",
    (
        ("contextrast-train", "generated street scenes, nothing to download; minutes on two cores"),
        ("contextrast-train data=folder data.root=PATH loss=contextrast", "your own images; first: contextrast-check"),
        ("contextrast-train resume=latest", "goes on with the run that stopped last, with its settings"),
    ),
    (
        ("data.root=PATH", "folder of the dataset"),
        ("recipe.steps=2000", "optimiser steps"),
        ("data.batch_size=8", "images per step"),
        ("data.crop=[512,512]", "height and width that training sees"),
        ("data.num_workers=4", "processes that read images"),
        ("optimizer.lr=0.001", "learning rate; module.encoder_lr_ratio for the encoder"),
        ("loss/base=lovasz", "what the contrast is added to"),
        ("model.weights=PATH", "weights to begin with"),
        ("trainer=gpu", "device and precision: default, cpu, gpu, ddp, slurm"),
        ("seed=1", "of weights, order and augmentation"),
        ("logger=csv", "without W&B"),
    ),
    ("data", "model", "loss", "experiment", "ablation"),
    "train",
    "docs/runs.md, docs/sweeps.md and docs/resume.md",
)

_hydra_main: Final = command(DESCRIBED, "contextrast.tasks.train:train")


def main() -> None:
    """The console command: Hydra's, with the settings of the run that it resumes."""
    if any(text.startswith("resume=") for text in sys.argv[1:]):
        with function_at("contextrast.cli.app:reporting_errors")(DESCRIBED.config):
            sys.argv[1:] = function_at("contextrast.tasks.resume:resumed_arguments")(sys.argv[1:])
    _hydra_main()


if __name__ == "__main__":
    main()

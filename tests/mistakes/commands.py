"""Mistakes with commands, each made by running the command in this process."""

import io
import logging
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

from contextrast.cli import analyze, check, compare, evaluate, export, predict, report, train
from contextrast.data import Streets
from contextrast.models import Segmenter
from tests.mistakes.data import COCO, OWN, RGB, Files, Mistake, write

MAINS: Final[dict[str, Callable[[], None]]] = {
    **{f"contextrast-{module.__name__.rpartition('.')[2]}": module.main
       for module in (analyze, check, compare, evaluate, export, predict, report, train)},
}  # fmt: skip
"""The console scripts by what is typed."""

CPU: Final = ("data.num_workers=0", "trainer.accelerator=cpu", "logger=none")
"""Overrides that a mistake is made with beside its own, so that nothing but the mistake counts."""


def typed(what: str, command: str, files: Files | None = None, names: str = "") -> Mistake:
    """A command line, typed in a folder with these files; ``*.ckpt`` are made by `checkpoint`."""

    def make(folder: Path) -> str:
        write(folder, {name: content for name, content in (files or {}).items() if not name.endswith(".ckpt")})
        for name, content in (files or {}).items():
            if name.endswith(".ckpt"):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                content(folder / name)
        return run(command)

    return Mistake(what, command, make, names)


def run(line: str) -> str:
    """What a command prints as its error.

    Raises:
        AssertionError: If it succeeds.
    """
    name = next(name for name in MAINS if line.startswith(name))
    arguments = line.removeprefix(name).split()
    if name == "contextrast-train" and "-m" not in arguments:
        arguments += [text for text in CPU if text.partition("=")[0] not in line]
    errors = io.StringIO()
    try:
        with patch.object(sys, "argv", [name, *arguments]), redirect_stderr(errors), redirect_stdout(io.StringIO()):
            MAINS[name]()
    except SystemExit as stopped:
        text = stopped.code if isinstance(stopped.code, str) else errors.getvalue()
        return _message(text)
    finally:
        GlobalHydra.instance().clear()
        HydraConfig.instance().cfg = None
        for handler in logging.root.handlers[:]:  # Hydra's, of a file in a folder that goes away
            logging.root.removeHandler(handler)
            handler.close()
    raise AssertionError(f"{line} succeeded")


def _message(text: str) -> str:
    """The error without what was printed before it: usage, progress, warnings."""
    found = re.search(
        r"^(\w+(Error|Exception|MandatoryValue): |\d+ job|[\w.-]+: error: ).*", text, re.MULTILINE | re.DOTALL
    )
    return (found[0] if found else text).strip()


# --- checkpoints

MODEL: Final[dict[str, Any]] = {
    "_target_": "contextrast.models.Segmenter", "architecture": "FPN", "encoder": "resnet18", "stages": [2, 3, 4, 5],
    "mean": [0.5] * 3, "std": [0.5] * 3, "decoder_pyramid_channels": 16, "decoder_segmentation_channels": 32,
}  # fmt: skip
DATA: Final = {"_target_": "contextrast.data.SegmentationDataModule", "crop": [64, 64], "batch_size": 2,
               "dataset": {"_target_": "contextrast.data.Streets", "_partial_": True, "size": [64, 64]}}  # fmt: skip


def checkpoint(path: Path, weights: bool = True, **changes: Any) -> None:
    """Write a checkpoint of a network that was not trained."""
    settings = {"model": MODEL, "data": DATA, "labels": Streets.labels.to_dict(), **changes}
    network = Segmenter(**{k: v for k, v in MODEL.items() if k != "_target_"}, num_classes=11, encoder_weights=None)
    state = {f"network.{key}": value for key, value in network.state_dict().items()} if weights else {}
    torch.save({"state_dict": state, "hyper_parameters": settings, "global_step": 1}, path)


def state_dict(path: Path) -> None:
    """Write what is no checkpoint of this package."""
    torch.save({"conv.weight": torch.zeros(3)}, path)


def damaged(path: Path) -> None:
    """Write half a checkpoint."""
    checkpoint(path)
    path.write_bytes(path.read_bytes()[:1000])


OTHER_LABELS: Final = {**Streets.labels.to_dict(), "classes": [f"class {number}" for number in range(11)]}
A: Final[Files] = {"a.ckpt": checkpoint}
RUN: Final[Files] = {"run/config.yaml": "seed: 0\nloss: {}\ndata: {dataset: {_target_: x}}\n",
                     "run/overrides.yaml": "[loss=ce]\n", "run/metrics.json": '{"miou": 0.5, "step": 2}'}  # fmt: skip

MISTAKES: Final[dict[str, Sequence[Mistake]]] = {
    "Overrides": (
        typed("a key misspelt", "contextrast-train loss.alhpa=0.2"),
        typed("a group misspelt", "contextrast-train optimiser=sgd"),
        typed("a choice misspelt", "contextrast-train loss=contrastt"),
        typed("a key of Lightning misspelt", "contextrast-train trainer.max_stps=3"),
        typed("a group left out by null", "contextrast-train experiment=null", names="GROUP"),
        typed("a bracket that is not closed", "contextrast-train data.crop=[64,64"),
        typed("no value", "contextrast-train loss.alpha"),
        typed("a reference to nothing", "contextrast-train trainer.max_steps=${steps}"),
        typed("a data set left out", "contextrast-check", names="data"),
        typed("a value that must be given", "contextrast-evaluate", names="checkpoint"),
        typed("an experiment that does not exist", "contextrast-train experiment=camvid_long"),
    ),
    "Data on the command line": (
        typed("no folder", "contextrast-train data=folder"),
        typed("a folder for a data set without files", "contextrast-train data.root=PATH"),
        typed("an empty crop", "contextrast-train data.crop=[0,5]"),
        typed("a crop of one number", "contextrast-train data.crop=64"),
        typed("a scale from large to small", "contextrast-train data.scale=[2,1]"),
        typed("a flip above 1", "contextrast-train data.flip=2"),
        typed("colour jitter that does not exist", "contextrast-train +data.color_jitter.gamma=1"),
        typed("no images a batch", "contextrast-train data.batch_size=0"),
        typed("a batch larger than the data set", "contextrast-train data.batch_size=4000"),
        typed("workers below 0", "contextrast-train data.num_workers=-1"),
        typed("augmentation somewhere else", "contextrast-train data.augment=tpu"),
        typed("scenes of 8 pixels", "contextrast-train data.dataset.size=[8,8]"),
        typed("a cache that is a file", "contextrast-train +data.cache=notes.txt", {"notes.txt": "x"}),
        typed("a cache without room", "contextrast-train +data.cache=cache +data.cache_gib=0"),
        typed("a cache that is a number", "contextrast-train +data.cache=5"),
        typed("a data set with several mistakes, checked",
              "contextrast-check data=folder data.root=own data.num_workers=0 hydra.run.dir=run",
              {f"own/{name}": content for name, content in OWN.items()}
              | {"own/images/train/b.jpg": RGB, "own/masks/train/a.png": 9}),
        typed("a data set that is not there, checked",
              "contextrast-check data=camvid data.root=here data.num_workers=0"),
        typed("a split without its list, checked",
              "contextrast-check data=coco_stuff10k data.root=coco data.num_workers=0 hydra.run.dir=run",
              {f"coco/{name}": content for name, content in COCO.items()}),
    ),
    "Network and loss": (
        typed("an encoder that does not exist",
              "contextrast-train model.encoder=resnet9999 model.encoder_weights=null"),
        typed("an architecture that does not exist", "contextrast-train model.architecture=FNP"),
        typed("an encoder at a place", "contextrast-train model.encoder=tu-hf-hub:someone/network"),
        typed("a stage that the encoder lacks", "contextrast-train model.stages=[2,3,4,6]"),
        typed("weights for other stages", "contextrast-train loss.stage_weights=[1.0]"),
        typed("a temperature of 0", "contextrast-train loss.temperature=0"),
        typed("a percentage above 100", "contextrast-train loss.negatives.percentage=120"),
        typed("an optimiser's option that does not exist", "contextrast-train +optimizer.speed=1"),
        typed("no file of first weights", "contextrast-train model.encoder_weights=first.pth"),
        typed("first weights that are damaged", "contextrast-train model.encoder_weights=first.pth",
              {"first.pth": b"PK\x03\x04"}),
        typed("first weights that are no weights", "contextrast-train model.encoder_weights=first.safetensors",
              {"first.safetensors": "hello"}),
        typed("one image a batch under batch normalisation of one pixel",
              "contextrast-train model=deeplabv3_resnet101 model.encoder=resnet18 model.encoder_weights=null "
              "data.batch_size=1"),
    ),
    "Checkpoints": (
        typed("no such file", "contextrast-evaluate checkpoint=a.ckpt"),
        typed("half of a file", "contextrast-evaluate checkpoint=a.ckpt", {"a.ckpt": damaged}),
        typed("a file of weights", "contextrast-evaluate checkpoint=a.ckpt", {"a.ckpt": state_dict}),
        typed("a checkpoint without weights", "contextrast-evaluate checkpoint=a.ckpt",
              {"a.ckpt": partial(checkpoint, weights=False)}),
        typed("another network than its own", "contextrast-evaluate checkpoint=a.ckpt +model.encoder=resnet34", A),
        typed("data with other classes", "contextrast-evaluate checkpoint=a.ckpt",
              {"a.ckpt": partial(checkpoint, labels=OTHER_LABELS)}),
        typed("a checkpoint that runs programs", "contextrast-predict checkpoint=a.ckpt input=a.png",
              {"a.ckpt": partial(checkpoint, model={**MODEL, "_target_": "os.system"}), "a.png": RGB}, names="system"),
        typed("a split that is not evaluated", "contextrast-evaluate checkpoint=a.ckpt split=train", A),
        typed("instances where there are none", "contextrast-evaluate checkpoint=a.ckpt metrics=[default,iiou]", A),
        typed("a measure that does not exist", "contextrast-evaluate checkpoint=a.ckpt metrics=[default,fscore]", A),
        typed("no images to predict", "contextrast-predict checkpoint=a.ckpt input=pictures", A),
        typed("two images with one result", "contextrast-predict checkpoint=a.ckpt input=x",
              A | {"x/a.png": RGB, "x/a.jpg": RGB}),
        typed("an image that is none", "contextrast-predict checkpoint=a.ckpt input=a.png device=cpu",
              A | {"a.png": "x"}),
        typed("a checkpoint that is not there, analysed", "contextrast-analyze a.ckpt"),
        typed("a figure that does not exist", "contextrast-analyze a.ckpt --figures tnse", A),
    ),
    "Exports": (
        typed("no format", "contextrast-export checkpoint=a.ckpt", A, names="format"),
        typed("a format that does not exist", "contextrast-export checkpoint=a.ckpt format=tflite", A),
        typed("an operator set that is too old", "contextrast-export checkpoint=a.ckpt format=onnx format.opset=5", A),
        typed("an export that is there already",
              "contextrast-export checkpoint=a.ckpt format=safetensors hydra.run.dir=x",
              A | {"x/model.safetensors": "x"}),
        typed("an export that is not there", "contextrast-predict checkpoint=model.onnx input=a.png device=cpu",
              {"a.png": RGB}),
        typed("an export that is damaged", "contextrast-predict checkpoint=model.onnx input=a.png device=cpu",
              {"a.png": RGB, "model.onnx": "x"}),
        typed("a folder that is no export", "contextrast-predict checkpoint=smp input=a.png device=cpu",
              {"a.png": RGB, "smp/notes.txt": "x"}),
        typed("an export that can run code", "contextrast-predict checkpoint=model.pt2 input=a.png device=cpu",
              {"a.png": RGB, "model.pt2": "x"}),
    ),
    "Runs, sweeps and searches": (
        typed("a folder with a finished run", "contextrast-train hydra.run.dir=run", RUN),
        typed("a folder that is a file", "contextrast-train hydra.run.dir=run", {"run": "x"}),
        typed("a device that is not there", "contextrast-train trainer.accelerator=cuda"),
        typed("a device whose package is missing", "contextrast-train trainer.accelerator=tpu"),
        typed("a device that does not exist", "contextrast-train trainer.accelerator=quantum"),
        typed("nothing to resume", "contextrast-train resume=latest"),
        typed("a run that is not there, resumed", "contextrast-train resume=runs/first"),
        typed("a checkpoint without its run, resumed", "contextrast-train resume=x/checkpoints/a.ckpt",
              {"x/checkpoints/a.ckpt": checkpoint}),
        typed("a damaged run, resumed", "contextrast-train resume=run",
              {"run/checkpoints/last.ckpt": damaged, "run/overrides.yaml": "[]"}),
        typed("a run with other settings, resumed", "contextrast-train resume=run loss=ce",
              {"run/checkpoints/last.ckpt": checkpoint, "run/overrides.yaml": "[]", "run/config.yaml": "seed: 1"}),
        typed("a sweep on several devices in one process", "contextrast-train -m seed=0,1 trainer.devices=2"),
        typed("a sweep over a misspelt key", "contextrast-train -m loss.alhpa=0.1,0.2"),
        typed("a sweep over one run's checkpoint", "contextrast-train -m seed=0,1 resume=run logger=none"),
        typed("an ablation that does not exist", "contextrast-train -m ablation=alfa"),
        typed("a debugging run that does not exist", "contextrast-train debug=slow"),
    ),
    "Reports": (
        typed("a folder that is not there", "contextrast-report runs"),
        typed("a folder without runs", "contextrast-report x", {"x/notes.txt": "x"}),
        typed("a score that was not measured", "contextrast-report run --metric mIoU", RUN),
        typed("a baseline that is no row", "contextrast-report run --baseline loss=focal", RUN),
        typed("no folder named", "contextrast-report", names="FOLDER"),
        typed("a row that has no baseline", "contextrast-report run --against loss=focal loss=ce", RUN),
        typed("losses without their option", "contextrast-compare ce contextrast"),
        typed("a loss that does not exist, compared", "contextrast-compare --losses ce focall"),
        typed("a comparison of nothing", "contextrast-compare --table-only", names="--losses"),
        typed("a folder that is no run, taken", "contextrast-compare --take runs"),
    ),
}  # fmt: skip

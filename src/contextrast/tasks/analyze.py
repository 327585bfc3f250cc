"""Figures of what trained networks learned, as the papers have them, from checkpoints of contextrast-train."""

import argparse
import difflib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from contextrast.analysis import FIGURES, Analysis, Study, comparable
from contextrast.analysis.comparison import short_names
from contextrast.analysis.drawing import Pictured, file_name
from contextrast.callbacks.pictures import spread
from contextrast.checkpoints.contents import DATA, Checkpoint, load_checkpoint
from contextrast.data import SegmentationDataModule, SegmentationDataset
from contextrast.data.loader import Loader, collate
from contextrast.errors import CheckpointError, ConfigError, DataError
from contextrast.extras import from_extra
from contextrast.models.devices import chosen_device
from contextrast.runs.files import environment, write_json
from contextrast.tasks.chosen import checkpoint_or_export
from contextrast.terminal import progress, say
from contextrast.training.assembly import build_datamodule

NEEDS = {"tsne": ("sklearn", "t-SNE"), "grad_cam": ("pytorch_grad_cam", "Grad-CAM")}
"""Libraries of the extra ``analysis`` that figures need, and what for."""


def analyze(arguments: argparse.Namespace) -> None:
    """Draw the figures that are asked for, with the numbers behind them in ``analysis.json``.

    Raises:
        ContextrastError: If checkpoints, data and settings do not go together, before the first batch; and at the end,
            if some of the images could not be read.
    """
    folder = arguments.output or Path("runs/analyze") / f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
    refuse_analysed(folder)
    for module, purpose in (NEEDS[name] for name in arguments.figures if name in NEEDS):
        from_extra(module, "analysis", purpose)
    checkpoints = load_checkpoints(arguments)
    datamodule = open_data(arguments, list(checkpoints.values()))
    dataset, chosen = choose_images(arguments, datamodule)
    indices, failures = readable(dataset, chosen)
    loader = Loader(
        dataset, datamodule.eval_batch_size, sampler=indices, num_workers=datamodule.num_workers, collate_fn=collate
    )
    labels, device = datamodule.labels, chosen_device("--device ", arguments.device)
    share = pixels_per_class(arguments.points, labels.num_classes)
    analyses = comparable(checkpoints, arguments.space, loader, share, arguments.seed, device)
    space = "features" if analyses[0].heads is None else "embeddings"
    pictured = choose_pictures(arguments, analyses[0], dataset, indices)
    subject = f"{labels.name} {arguments.split}, {len(indices)} images"
    folder.mkdir(parents=True, exist_ok=True)
    study = Study(analyses, labels, subject, space, pictured, folder)
    found = {name: FIGURES[name](study) for name in dict.fromkeys(arguments.figures)}
    header = {
        "checkpoints": {name: describe(checkpoint) for name, checkpoint in checkpoints.items()},
        "dataset": labels.name,
        "classes": list(labels.classes),
        "split": arguments.split,
        "images": len(indices),
        "space": space,
        "seed": arguments.seed,
    }
    write_json(folder / "analysis.json", {**header, "figures": found, "environment": environment()})
    say(f"Figures and numbers: {folder}")
    if failures:
        listed = "\n".join(failures)
        raise DataError(f"{len(failures)} of {len(chosen)} image(s) could not be read and are in no figure:\n{listed}")


def refuse_analysed(folder: Path) -> None:
    """Leave a folder alone that holds an analysis, or a part of one.

    Raises:
        ConfigError: If it does.
    """
    for pattern in ("analysis.json", *(f"{name}*.png" for name in FIGURES)):
        for path in folder.glob(pattern):
            raise ConfigError(
                f"--output {folder} already holds an analysis ({path.name}). Nothing was changed: choose another "
                "folder, or remove this one."
            )


def load_checkpoints(arguments: argparse.Namespace) -> dict[str, Checkpoint]:
    """The checkpoints by the names that figures call them.

    Raises:
        CheckpointError: If one cannot be read.
        ConfigError: If there is not one name a checkpoint, or two are the same.
    """
    paths = [checkpoint_or_export(str(path), Path("runs"), "CHECKPOINT") for path in arguments.checkpoints]
    checkpoints = [load_checkpoint(path) for path in paths]
    names = arguments.names or short_names(arguments.checkpoints)
    if len(names) != len(checkpoints) or len(set(map(file_name, names))) != len(names):
        raise ConfigError(
            f"{len(checkpoints)} checkpoint(s) need as many different names, got: {', '.join(names)}. Give each "
            "checkpoint once, and name them with --names."
        )
    return dict(zip(names, checkpoints, strict=True))


def open_data(arguments: argparse.Namespace, checkpoints: Sequence[Checkpoint]) -> SegmentationDataModule:
    """The data of the first checkpoint, at the folder that was given.

    Raises:
        CheckpointError: If a checkpoint knows other classes.
    """
    given = {} if arguments.data_root is None else {"root": arguments.data_root}
    datamodule = build_datamodule({**checkpoints[0].data, **given}, DATA)
    for checkpoint in checkpoints:
        if difference := checkpoint.labels.difference(datamodule.labels):
            raise CheckpointError(
                f"{checkpoint.path} and the data have other classes: {difference}. Analyse networks of the same "
                "classes together, on data that has them in the same order."
            )
    return datamodule


def choose_images(
    arguments: argparse.Namespace, datamodule: SegmentationDataModule
) -> tuple[SegmentationDataset, list[int]]:
    """The split, without augmentation, and the indices of the images to analyse.

    Raises:
        DataError: If the split is not there.
        ConfigError: If there is no such split, its labels are withheld, or no image is asked for.
    """
    if arguments.split not in datamodule.splits:
        raise ConfigError(f"--split {arguments.split} is not known; choose one of {', '.join(datamodule.splits)}.")
    if arguments.pictures < 1 or (arguments.images is not None and arguments.images < 1):
        raise ConfigError(
            f"At least 1 image is needed, got --images {arguments.images} --pictures {arguments.pictures}."
        )
    try:
        dataset = datamodule.dataset(arguments.split)
    except DataError as error:
        raise DataError(f"{error}\nThe folder of the dataset is given as --data-root PATH.") from error
    if dataset.withheld:
        raise ConfigError(f"--split {arguments.split} has no labels to compare with: its benchmark withholds them.")
    dataset = dataset.unaugmented()
    return dataset, spread(len(dataset), arguments.images or len(dataset))


def readable(dataset: SegmentationDataset, indices: Sequence[int]) -> tuple[list[int], list[str]]:
    """Those of the images that can be read, and what is wrong with the others.

    Raises:
        DataError: If none of them can.
    """
    found, failures = [], []
    for index in progress(indices, "Reading"):
        try:
            dataset.mask(index)
            found.append(index)
        except DataError as error:
            failures.append(str(error))
    if not found:
        raise DataError(f"None of the {len(indices)} image(s) can be read. The first one: {failures[0]}")
    return found, failures


def pixels_per_class(points: int, num_classes: int) -> int:
    """Each class's share of the pixels in a t-SNE.

    Raises:
        ConfigError: If there are too few.
    """
    if points < 2 * num_classes:
        raise ConfigError(f"--points {points} has to be at least {2 * num_classes}, 2 for each of the classes.")
    return points // num_classes


def choose_pictures(
    arguments: argparse.Namespace, analysis: Analysis, dataset: SegmentationDataset, indices: Sequence[int]
) -> list[Pictured]:
    """Images to draw, evenly spread over those that are analysed, each with a class for Grad-CAM.

    Raises:
        ConfigError: If there is no such class, or no image holds it.
    """
    classes, name = dataset.labels.classes, arguments.class_name
    if name is None:
        samples = [dataset[indices[place]] for place in spread(len(indices), arguments.pictures)]
        return [Pictured.of(dataset, sample, analysis.most_missed(sample)) for sample in samples]
    if name not in classes:
        near = difflib.get_close_matches(name, classes, n=3, cutoff=0.4) or classes
        raise ConfigError(f"--class {name} is no class of {dataset.labels.name}; did you mean {', '.join(near)}?")
    train_id = classes.index(name)
    holding = [index for index in indices if bool((dataset[index]["mask"] == train_id).any())]
    if not holding:
        raise ConfigError(f"--class {name}: none of the {len(indices)} images that are analysed holds it.")
    chosen = [dataset[holding[place]] for place in spread(len(holding), arguments.pictures)]
    return [Pictured.of(dataset, sample, train_id) for sample in chosen]


def describe(checkpoint: Checkpoint) -> dict[str, Any]:
    """Where a network comes from, as plain containers."""
    loss = checkpoint.config.get("loss", {}).get("_target_")
    return {"path": str(checkpoint.path), "step": checkpoint.step, "loss": loss}

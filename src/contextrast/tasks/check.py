"""``contextrast-check``: read a whole dataset, say what is in it and what is wrong with it."""

import re
import time
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from contextrast.config import instantiate
from contextrast.data import FileDataset, LabelTable, SegmentationDataModule
from contextrast.data.inspection import Inspection, absent_classes, inspect_split
from contextrast.data.problems import collected_problems
from contextrast.data.proposals import LISTS, proposals
from contextrast.errors import DataError, MissingSplitError, first_line
from contextrast.reporting.tables import percent
from contextrast.runs.files import write_json
from contextrast.terminal import Table, say, show

_SHOWN = 30  # problems on the terminal; the file has all
_NAMED = 10  # classes without a pixel
_ORIENTATION = (
    "an orientation tag turns an image half round, mirrors it, or turns a square, so that sizes do not tell whether "
    "its mask was drawn on what a viewer shows, which is what is read, or on the stored picture. Look at some of them; "
    "data.orientation=viewer or data.orientation=stored says what they are, and ends this note."
)


def check(config: DictConfig) -> None:
    """Read every pair of every split there is; tables go to the terminal, everything to ``check.json``.

    Raises:
        ContextrastError: If the dataset is not there, or anything is wrong with it.
    """
    path = Path(config.paths.run_dir) / "check.json"
    datamodule: SegmentationDataModule = instantiate(config.data)
    propose(config)
    classes = datamodule.labels  # without them nothing can be counted
    began = time.monotonic()
    found = inspect_all(datamodule)
    seconds = time.monotonic() - began
    labels = measured(classes, found)
    write_json(path, {"dataset": labels.name, "root": config.data.root, **report(labels, found)})
    show(*tables(labels, found))
    if (trained := found.get("train")) is not None and trained.pixels.any():
        say(f"Over the training split: {normalisation(trained)}")
    if absent := unseen(labels, found):
        say(absent, "yellow")
    pairs = sum(inspection.samples for inspection in found.values())
    say(f"Read {pairs} pairs in {seconds:.1f} s. Counts and groups: {path}")
    notes = [note for inspection in found.values() for note in inspection.notes]
    for note in notes[:_SHOWN]:
        say(note, "yellow")
    if notes:
        say(f"{len(notes)} note(s): {_ORIENTATION}")
    problems = [problem for inspection in found.values() for problem in inspection.problems]
    for problem in problems[:_SHOWN]:
        say(problem, "red")
    if config.fit is not None and "train" in found and found["train"].sizes:
        say_what_fits(config.fit, found["train"])
    if problems:
        listed = "listed above" if len(problems) <= _SHOWN else f"the first {_SHOWN} listed above"
        raise DataError(f"{len(problems)} problem(s) with {config.data.root}, {listed}, all in {path}.")


def propose(config: DictConfig) -> None:
    """Show what a folder of one's own lacks, and write it where that is asked for.

    Raises:
        DataError: If something is missing that is not to be written, or that cannot be proposed.
    """
    root = Path(str(config.data.root)).expanduser()
    if not config.data.dataset._target_.endswith(".Folder") or not root.is_dir():
        return
    missing = proposals(root, config.val_share, config.group, config.seed)
    if config.data.dataset.classes is not None:
        missing = [one for one in missing if one.path.name in LISTS]
    for proposal in missing:
        lines = proposal.text.splitlines()
        say(f"{proposal.path} is missing. Proposed ({proposal.says}):", "yellow")
        say("\n".join(f"    {line}" for line in [*lines[:_SHOWN], *(["..."] if len(lines) > _SHOWN else [])]))
    if missing and not config.write:
        names = " and ".join(proposal.path.name for proposal in missing)
        raise DataError(f"{root} lacks {names}. Write them, or have them written as proposed: write=true.")
    for proposal in missing:
        proposal.write()
        say(f"Written: {proposal.path}")


def say_what_fits(network: str, train: Inspection) -> None:
    """Print what a network can be trained with here, as a command; whatever goes wrong is a line and no failure."""
    typed = [text for text in HydraConfig.get().overrides.task if re.match(r"data[=.]", text)]
    try:
        # Imports the networks, without which a check answers sooner.
        found = import_module("contextrast.tasks.fitting").fitting(network, train.sizes, typed)
    except Exception as error:
        say(f"fit={network}: no step could be tried ({first_line(error)}).", "yellow")
        return
    say(found.sentence())
    say(f"  {found.command(typed)}")


def inspect_all(datamodule: SegmentationDataModule) -> dict[str, Inspection]:
    """What is in each split that the dataset's folder holds.

    Raises:
        DataError: None of them can be opened.
    """
    found: dict[str, Inspection] = {}
    errors: list[DataError] = []
    for split in datamodule.splits:
        with collected_problems() as problems:
            try:
                dataset = datamodule.dataset(split)
            except MissingSplitError as error:
                errors.append(error)
                continue
            except DataError as error:
                errors.append(error)
                found[split] = Inspection.unopened(datamodule.labels, [*problems, str(error)])
                continue
        inspection = inspect_split(dataset, datamodule.num_workers, f"Reading {split}", problems)
        if split == "train" and not datamodule.allow_absent_classes and inspection.pixels.any():
            absent = absent_classes(dataset, inspection.pixels, inspection.ignored)
            inspection = replace(inspection, problems=(*inspection.problems, *([absent] if absent else [])))
        if datamodule.orientation == "auto" and isinstance(dataset, FileDataset):
            tagged = [one for one in dataset.tagged if one.ambiguous]
            notes = tuple(f"{one.path} has the orientation tag {one.header.tag}" for one in tagged)
            inspection = replace(inspection, notes=notes)
        found[split] = inspection
    if len(errors) == len(datamodule.splits):
        raise errors[0]
    return found


def measured(labels: LabelTable, found: Mapping[str, Inspection]) -> LabelTable:
    """The classes with their frequencies as counted in the training split, where it has labelled pixels."""
    pixels = found["train"].pixels if "train" in found else None
    if pixels is None or not pixels.any():
        return replace(labels, frequency=None)
    return replace(labels, frequency=tuple((pixels / pixels.sum()).tolist()))


def report(labels: LabelTable, found: Mapping[str, Inspection]) -> dict[str, Any]:
    """Content of ``check.json``: classes, training frequencies, head, mid and tail classes, and the splits."""
    return {
        "classes": list(labels.classes),
        "frequency": labels.frequency,
        "groups": labels.groups,
        "splits": {split: inspection.to_dict() for split, inspection in found.items()},
    }


def tables(labels: LabelTable, found: Mapping[str, Inspection]) -> tuple[Table, Table]:
    """For the terminal: one row per split, and one row per class with its share of the labelled pixels."""
    splits = Table(f"{labels.name}: splits")
    for heading in ("split", "pairs", "sizes (width x height)", "ignored %", "problems"):
        splits.add_column(heading, justify="left" if heading in ("split", "sizes (width x height)") else "right")
    for split, inspection in found.items():
        splits.add_row(
            split,
            str(inspection.samples),
            sizes(inspection),
            percent(share(inspection.ignored, inspection.ignored + int(inspection.pixels.sum()))),
            str(len(inspection.problems)),
        )
    classes = Table("pixels of each class, % of the labelled ones")
    classes.add_column("class")
    classes.add_column("group")
    for split in found:
        classes.add_column(split, justify="right")
    group_of = {train_id: group for group, ids in (labels.groups or {}).items() for train_id in ids}
    trained = found["train"].pixels if "train" in found else None
    for train_id, name in enumerate(labels.classes):
        counts = [int(item.pixels[train_id]) for item in found.values()]
        if not any(counts):
            continue
        wholes = (int(item.pixels.sum()) for item in found.values())
        shares = (percent(share(count, whole)) for count, whole in zip(counts, wholes, strict=True))
        known = trained is not None and trained[train_id] > 0
        classes.add_row(name, group_of.get(train_id, "") if known else "", *shares)
    return splits, classes


def normalisation(inspection: Inspection) -> str:
    """Mean and standard deviation of a split's channels as settings of a network."""
    both = zip(("mean", "std"), inspection.moments, strict=True)
    return " ".join(f"model.{name}=[{','.join(f'{value:.4f}' for value in values)}]" for name, values in both)


def unseen(labels: LabelTable, found: Mapping[str, Inspection]) -> str:
    """A sentence with the classes that have no pixel in any split; empty where there are none."""
    counted = [inspection.pixels for inspection in found.values()]
    names = [name for train_id, name in enumerate(labels.classes) if not any(pixels[train_id] for pixels in counted)]
    if not names:
        return ""
    listed = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    return f"Without a pixel in any split: {listed}."


def sizes(inspection: Inspection) -> str:
    """The most common image sizes of a split, and how many others there are."""
    listed = list(inspection.to_dict()["sizes"].items())
    text = ", ".join(f"{size} ({count})" for size, count in listed[:3])
    return text + (f", {len(listed) - 3} others" if len(listed) > 3 else "")


def share(part: int, whole: int) -> float:
    """A fraction, or NaN of nothing."""
    return part / whole if whole else float("nan")

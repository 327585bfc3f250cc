"""A dataset with a layout of its own."""

from pathlib import Path

from contextrast.data import FileDataset, LabelTable
from contextrast.data.dataset import Transform
from contextrast.data.masks import ValueMap
from contextrast.data.pairing import image_files, match


class Harbour(FileDataset):
    """Ships and quays; masks have 0 for what is not labelled, and 1 and 2 for the classes.

    Args:
        root: Folder with ``train``, ``train_labels``, ``val`` and ``val_labels``.
        split: ``train`` or ``val``.
        transform: Augmentation.
    """

    labels = LabelTable("harbour", ("ship", "quay"), ((200, 30, 30), (120, 120, 120)), values=(1, 2))
    splits = ("train", "val")

    def __init__(self, root: str | Path, split: str = "train", transform: Transform | None = None) -> None:
        images = image_files(Path(root) / split)
        masks = image_files(Path(root) / f"{split}_labels")
        pairs = match(images, masks, sorted(images.keys() | masks.keys()), f"harbour {split}")
        super().__init__(pairs, ValueMap({0: 255, 1: 0, 2: 1}, "Masks have 0, 1 and 2."), transform)

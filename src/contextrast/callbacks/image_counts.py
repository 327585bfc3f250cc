"""Confusion matrices of single images, written while a split is evaluated."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import lightning.pytorch as pl
import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from typing_extensions import override

from contextrast.data import Batch
from contextrast.data.labels import IGNORE_INDEX
from contextrast.errors import check_number
from contextrast.metrics.band import WIDEST, boundary_band
from contextrast.metrics.counts import image_confusion_counts
from contextrast.runs.image_counts import Counts, ImageCounts, counts_file, write_image_counts

if TYPE_CHECKING:
    from contextrast.evaluation import EvaluationModule

Share = list[tuple[str, Counts, Counts]]
"""Of each image that a process sees: name, and rows (labelled, predicted, pixels) of the whole and of the band."""


class ImageCountsFile(pl.Callback):
    """Writes ``images_<protocol>.npz``: what ``contextrast-report`` tells from which images are in the split.

    Args:
        directory: Folder of the files.
        threshold: tau in pixels of the band around class boundaries, as that of B-mIoU.

    Raises:
        ConfigError: If the threshold is not above 0 and at most :data:`WIDEST`.
    """

    def __init__(self, directory: str | Path, threshold: float = 3) -> None:
        check_number("threshold", threshold, 0, WIDEST, above=True)
        self.directory = Path(directory)
        self.threshold = threshold
        self._share: Share = []

    @override
    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget what an earlier test left."""
        self._share = []

    @override
    def on_test_batch_end(  # type: ignore[override]  # Lightning types outputs and batch more widely
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Mapping[str, Tensor],
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count the batch's images, by predictions int64 ``[B, H, W]`` in ``outputs["prediction"]``."""
        prediction, target = outputs["prediction"], batch["mask"]
        number = cast("EvaluationModule", pl_module).labels.num_classes
        band = boundary_band(target, self.threshold, number)
        inside = torch.where(band, target, IGNORE_INDEX)
        counts = [image_confusion_counts(prediction, labels, number) for labels in (target, inside)]
        whole, near = (count.cpu().numpy() for count in counts)
        for name, of_whole, of_band in zip(batch["name"], whole, near, strict=True):
            self._share.append((name, _rows(of_whole), _rows(of_band)))

    @override
    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the file, in one process."""
        shares = _of_all_processes(self._share)
        if trainer.is_global_zero:
            module = cast("EvaluationModule", pl_module)
            protocol = module.name.rpartition("/")[2]
            counts = _joined(shares, module.labels.classes, self.threshold)
            write_image_counts(counts_file(self.directory, protocol), counts)


def _rows(matrix: Counts) -> Counts:
    labelled, predicted = matrix.nonzero()
    return np.stack([labelled, predicted, matrix[labelled, predicted]], axis=1)


def _of_all_processes(share: Share) -> list[Share]:
    """What each process counted, in the order of processes."""
    if not (dist.is_available() and dist.is_initialized()):
        return [share]
    shares: list[Share] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(shares, share)
    return shares


def _joined(shares: list[Share], classes: tuple[str, ...], threshold: float) -> ImageCounts:
    """One set of counts, in the order of the split, whose images the sampler hands to the processes in turn."""
    images = [
        shares[rank][place]
        for place in range(max(map(len, shares)))
        for rank in range(len(shares))
        if place < len(shares[rank])
    ]

    def stacked(part: int) -> Counts:
        rows = [np.insert(image[part], 0, place, axis=1) for place, image in enumerate(images)]
        return np.concatenate(rows) if rows else np.zeros((0, 4), dtype=np.int64)

    return ImageCounts([name for name, _, _ in images], classes, stacked(1), stacked(2), threshold)

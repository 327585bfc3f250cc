"""Predictions of a split without labels, as files for its benchmark's server."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from PIL import Image
from torch import Tensor
from typing_extensions import override

from contextrast.data import Batch, SegmentationDataset


class Submission(pl.Callback):
    """Writes what a benchmark server takes while a split is evaluated whose labels are withheld.

    The dataset says what that is, see `SegmentationDataset.submission`: for Cityscapes test a PNG of label ids for
    each image, at its original size, named ``CITY_SEQUENCE_FRAME_pred_labelIds.png``. Zip the folder and upload it.
    Where labels are public, nothing is written. A later evaluation replaces the files of an earlier one.

    Args:
        directory: Folder of the files.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)

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
        """Write the batch's predictions, int64 ``[B, H, W]`` in ``outputs["prediction"]``."""
        loaders: Any = trainer.test_dataloaders
        dataset: SegmentationDataset = loaders.dataset
        if not dataset.withheld:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        predictions = outputs["prediction"].byte().cpu().numpy()
        for name, prediction in zip(batch["name"], predictions, strict=True):
            file_name, pixels = dataset.submission(name, prediction)
            Image.fromarray(pixels).save(self.directory / file_name)

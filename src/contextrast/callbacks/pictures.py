"""Pictures of what the network sees, says and gets wrong, after every validation."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.loggers import WandbLogger
from torch import nn
from typing_extensions import override

from contextrast.contrast import BoundaryAwareNegatives
from contextrast.contrast.distance import region_edges
from contextrast.data import SegmentationDataset
from contextrast.data.labels import IGNORE_INDEX, LabelTable
from contextrast.errors import check_number
from contextrast.reporting import figures
from contextrast.reporting.figures import Ids, Picture
from contextrast.reporting.page.layers import Layers, write_layers
from contextrast.reporting.page.pictures import LAYERS
from contextrast.reporting.picture_files import write_photo

if TYPE_CHECKING:
    from contextrast.training.module import SegmentationModule


class PredictionPictures(pl.Callback):
    """Draws image, ground truth, prediction and error boundary of the same few validation images every time.

    The sheet goes to ``<directory>/step_<step>.jpg``; its layers, of the last validation alone and small, to
    ``<directory>/layers``, where ``contextrast-report --html`` finds them. A W&B logger gets ``pictures/predictions``,
    with prediction and ground truth as masks, and ``pictures/error_boundary``: the errors, the edges of their regions,
    and the negatives that boundary-aware sampling selects, with the loss's own settings where it has them. No file is
    larger than `picture_files.LARGEST`.

    Args:
        directory: Folder of the pictures.
        num_images: How many images; they are spread evenly over the validation split.

    Raises:
        ConfigError: If there is no such number.
    """

    def __init__(self, directory: str | Path, num_images: int = 4) -> None:
        check_number("num_images", num_images, whole=True)
        self.directory = Path(directory)
        self.num_images = num_images
        self._drawn_at: int | None = None

    @override
    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw with the weights that were validated, which may be averaged ones, in one process."""
        step = trainer.global_step
        if trainer.sanity_checking or not trainer.is_global_zero or self._drawn_at == step or not self.num_images:
            return
        self._drawn_at = step
        module = cast("SegmentationModule", pl_module)
        labels, examples = module.labels, self._examples(trainer, module)
        self.directory.mkdir(parents=True, exist_ok=True)
        write_photo(self.directory / f"step_{step:06d}.jpg", sheet(examples, labels))
        write_layers(self.directory / LAYERS.name, step, examples, labels)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                _log(logger, examples, labels, step)

    def _examples(self, trainer: pl.Trainer, module: "SegmentationModule") -> list[Layers]:
        dataset: SegmentationDataset = trainer.datamodule.dataset("val")  # type: ignore[attr-defined]
        negatives = sampling_of(module.loss)
        indices = spread(len(dataset), self.num_images)
        with torch.inference_mode(), trainer.precision_plugin.forward_context():
            return [_example(dataset, index, module, negatives) for index in indices]


def spread(length: int, count: int) -> list[int]:
    """Up to ``count`` indices below ``length``, evenly spread and always the same."""
    count = min(length, count)
    return [(2 * place + 1) * length // (2 * count) for place in range(count)]


def sampling_of(loss: nn.Module) -> BoundaryAwareNegatives:
    """The boundary-aware sampling that a loss contains, or the default one."""
    return next((part for part in loss.modules() if isinstance(part, BoundaryAwareNegatives)), BoundaryAwareNegatives())


def sampling_layers(
    name: str, image: Picture, target: Ids, prediction: Ids, num_classes: int, negatives: BoundaryAwareNegatives
) -> Layers:
    """One image, what became of it, and where boundary-aware sampling looks in it.

    Args:
        name: Short id of the sample.
        image: RGB picture ``[H, W, 3]``.
        target: Ground truth ``[H, W]``.
        prediction: Predicted train ids ``[H, W]``.
        num_classes: N.
        negatives: The sampling; its percentage and reading of the error map are used.
    """
    truth, guess = (torch.from_numpy(ids.astype(np.int64))[None] for ids in (target, prediction))
    selected = negatives.select(truth, guess, num_classes, IGNORE_INDEX)[0] >= 0
    whole = BoundaryAwareNegatives(percentage=100, error_map=negatives.error_map)
    edges = region_edges(whole.select(truth, guess, num_classes, IGNORE_INDEX))[0]
    errors = (truth != guess) & (truth != IGNORE_INDEX)
    return Layers(name, image, target, prediction, errors[0].numpy(), edges.numpy(), selected.numpy())


def boundary_picture(
    image: Picture, target: Ids, prediction: Ids, num_classes: int, negatives: BoundaryAwareNegatives
) -> Picture:
    """Where boundary-aware sampling looks in one image, RGB ``[H, W, 3]``; see `sampling_layers` for the arguments."""
    return _boundary(sampling_layers("", image, target, prediction, num_classes, negatives))


def sheet(examples: Sequence[Layers], labels: LabelTable) -> Picture:
    """One row per example, with the legend of classes and marks below."""
    rows = [
        [
            example.image,
            figures.overlay(example.image, example.target, labels, alpha=0.7),
            figures.overlay(example.image, example.prediction, labels, alpha=0.7),
            _boundary(example),
        ]
        for example in examples
    ]
    legend = [*figures.class_legend(labels), *figures.ERROR_LEGEND]
    return figures.contact_sheet(rows, ["image", "ground truth", "prediction", "error boundary"], legend)


def _boundary(layers: Layers) -> Picture:
    return figures.error_boundary(layers.image, layers.errors, layers.edges, layers.negatives)


def _example(
    dataset: SegmentationDataset, index: int, module: "SegmentationModule", negatives: BoundaryAwareNegatives
) -> Layers:
    sample = dataset[index]
    logits = module.predict(sample["image"][None].to(module.device))
    image = dataset.shown(sample["image"].permute(1, 2, 0).numpy())
    target, prediction = sample["mask"].numpy(), logits.max(dim=1).indices[0].cpu().numpy()
    return sampling_layers(sample["name"], image, target, prediction, dataset.labels.num_classes, negatives)


def _log(logger: WandbLogger, examples: Sequence[Layers], labels: LabelTable, step: int) -> None:
    from contextrast.reporting import wandb_media  # noqa: PLC0415  (imports wandb)

    with TemporaryDirectory() as name:
        folder = Path(name)
        masked = [wandb_media.segmentation(e.image, e.target, e.prediction, labels, e.name, folder) for e in examples]
        boundaries = [wandb_media.photo(_boundary(e), folder, caption=e.name) for e in examples]
        content: dict[str, Any] = dict(zip(wandb_media.PICTURES, (masked, boundaries), strict=True))
        logger.log_metrics(content, step=step)

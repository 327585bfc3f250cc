"""The Lightning module: forward, step, optimiser. The method lives in ``contrast``, measures in ``metrics``."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from contextrast.contrast import ContextrastLoss, CrossEntropyLoss, LossTerms
from contextrast.data import Batch
from contextrast.data.labels import IGNORE_INDEX, LabelTable
from contextrast.errors import NonFiniteLossError
from contextrast.metrics import Scores, SegmentationScores
from contextrast.models import Segmenter, multi_scale_probabilities
from contextrast.optimization import parameter_groups

TrainingLoss = ContextrastLoss | CrossEntropyLoss
OptimizerFactory = Callable[[Iterable[dict[str, Any]]], Optimizer]
SchedulerFactory = Callable[[Optimizer], LRScheduler]


class SegmentationModule(pl.LightningModule):
    """Trains a network with a loss on encoder stages and measures it.

    Args:
        network: The network; it alone is evaluated and deployed.
        loss: ``(logits, target, features) -> LossTerms``; holds what exists in training only, so evaluation has None.
        labels: Classes of the data.
        optimizer: Makes the optimiser from parameter groups; a partial with ``lr`` and ``weight_decay``.
        scheduler: Makes the schedule, stepped once a training step; None keeps the rate constant.
        encoder_lr_ratio: Learning rate of the encoder relative to the rest.
        loss_lr_ratio: Learning rate of the embedding heads relative to the rest.
        config: What the run was composed of, as plain containers; saved with every checkpoint.

    Attributes:
        last_scores: Scores of the last validation or test.
        measured_at: Step of the last validation or test.
        test_scales: Image scales of :meth:`test_step`.
        test_flip: Whether :meth:`test_step` also sees mirrored images.
    """

    def __init__(
        self,
        network: Segmenter,
        loss: TrainingLoss | None,
        labels: LabelTable,
        optimizer: OptimizerFactory | None = None,
        scheduler: SchedulerFactory | None = None,
        encoder_lr_ratio: float = 1.0,
        loss_lr_ratio: float = 1.0,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.loss = loss
        self.labels = labels
        self.optimizer_factory = optimizer
        self.scheduler_factory = scheduler
        self.encoder_lr_ratio = encoder_lr_ratio
        self.loss_lr_ratio = loss_lr_ratio
        self.scores = SegmentationScores(labels.num_classes, IGNORE_INDEX)
        self.test_scales: Sequence[float] = (1.0,)
        self.test_flip = False
        self.last_scores: Scores | None = None
        self.measured_at: int | None = None
        self.save_hyperparameters(dict(config or {}))

    def update_loss(self) -> None:
        """Move on what outlives a step in the loss; called once after every optimiser step."""
        if self.loss is not None:
            self.loss.update()

    def predict(self, image: Tensor) -> Tensor:
        """Logits ``[B, N, H, W]`` of uint8 images ``[B, 3, H, W]`` of any size."""
        logits: Tensor = self.network(self.network.normalize(image))
        return logits

    def training_step(self, batch: Batch) -> Tensor:
        """One forward pass and its loss.

        Raises:
            NonFiniteLossError: Before the optimiser step, if the loss is infinite or not a number.
        """
        image, target = self.network.normalize(batch["image"]), batch["mask"]
        # Padded together, so that stage grids stay aligned with the labels; in evaluation the network pads likewise.
        target = F.pad(target, self.network.padding(*image.shape[-2:]), value=IGNORE_INDEX)
        image = self.network.pad(image)
        logits, features = self.network.forward_features(image)
        assert self.loss is not None, "a module without a loss can only be evaluated"
        terms: LossTerms = self.loss(logits, target, features)
        if not torch.isfinite(terms.total):
            raise NonFiniteLossError(self._describe(terms, batch["name"]))
        self._log_terms(terms, len(target))
        return terms.total

    def validation_step(self, batch: Batch) -> None:
        """Count the batch's pixels, single scale."""
        self.scores.update(self.predict(batch["image"]), batch["mask"])

    def test_step(self, batch: Batch) -> None:
        """Count the batch's pixels at ``test_scales``, with ``test_flip``."""
        image = self.network.normalize(batch["image"])
        probabilities = multi_scale_probabilities(self.network, image, self.test_scales, self.test_flip)
        self.scores.update(probabilities, batch["mask"])

    def on_validation_epoch_end(self) -> None:
        """Log the split's scores."""
        self._log_scores("val")

    def on_test_epoch_end(self) -> None:
        """Log the split's scores."""
        self._log_scores("test")

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Groups for encoder, decoder and heads; the schedule moves once a step."""
        assert self.optimizer_factory is not None, "a module without optimizer can only be evaluated"
        defaults = getattr(self.optimizer_factory, "keywords", {})
        parts: dict[str, tuple[list[nn.Module], float]] = {
            "encoder": ([self.network.encoder], self.encoder_lr_ratio),
            "decoder": ([self.network], 1.0),
            "heads": ([] if self.loss is None else [self.loss], self.loss_lr_ratio),
        }
        groups = parameter_groups(parts, defaults["lr"], defaults.get("weight_decay", 0.0))
        optimizer = self.optimizer_factory(groups)
        if self.scheduler_factory is None:
            return optimizer
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self.scheduler_factory(optimizer), "interval": "step"},
        }

    def _log_terms(self, terms: LossTerms, batch_size: int) -> None:
        self.log("train/loss", terms.total, prog_bar=True, batch_size=batch_size)
        every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]  # the trainer gets it from its connector
        if (self.global_step + 1) % every:
            return  # the loggers would drop what follows
        self.log_dict({f"train/{name}": value for name, value in terms.terms.items()}, batch_size=batch_size)
        stages = [f"stage{number}" for number in self.network.stages]
        for name, values in terms.diagnostics.items():
            named = {f"contrast/{name}/{stage}": value for stage, value in zip(stages, values, strict=True)}
            self.log_dict(named, batch_size=batch_size)

    def _log_scores(self, split: str) -> None:
        scores = self.scores.compute()
        self.log(f"{split}/miou", scores.miou, prog_bar=True)
        self.log_dict(
            {
                f"{split}/pixel_accuracy": scores.pixel_accuracy,
                f"{split}/mean_accuracy": scores.mean_accuracy,
                **{f"{split}/iou/{name}": iou for name, iou in zip(self.labels.classes, scores.iou, strict=True)},
            }
        )
        self.last_scores, self.measured_at = scores, self.global_step
        self.scores.reset()

    def _describe(self, terms: LossTerms, names: Sequence[str]) -> str:
        bad = [f"{name} = {value.item()}" for name, value in terms.items() if not torch.isfinite(value)]
        return (
            f"The loss is not finite at step {self.global_step}: {', '.join(bad)}. Batch: {', '.join(names)}. "
            "Lower optimizer.lr, or train with trainer.precision=32-true."
        )

"""The Lightning module of training: forward, step, optimiser, validation. The method lives in ``contrast``."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Self

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from lightning.pytorch.plugins.precision import Precision
from lightning.pytorch.utilities import GradClipAlgorithmType
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer

from contextrast.contrast import ContrastiveLoss, CrossEntropyLoss, LossTerms
from contextrast.data import Batch
from contextrast.data.labels import IGNORE_INDEX, LabelTable
from contextrast.errors import ConfigError, check_number
from contextrast.metrics import Scores, SegmentationScores
from contextrast.models import Segmenter, build_auxiliary
from contextrast.training.finite_loss import FiniteLossCheck
from contextrast.training.gradients import compare_gradients
from contextrast.training.optimization import (
    OptimizerFactory,
    SchedulerFactory,
    layers_of,
    parameter_groups,
    run_lengths,
    to_clip,
)
from contextrast.training.replay import keep_step

TrainingLoss = ContrastiveLoss | CrossEntropyLoss


class SegmentationModule(pl.LightningModule):
    """Trains a network with a loss on encoder stages, and validates it.

    Args:
        network: The network; it alone is evaluated and deployed.
        loss: ``(logits, target, features) -> LossTerms``; holds what exists in training only.
        labels: Classes of the data.
        optimizer: Makes the optimiser from parameter groups; a partial with ``lr`` and ``weight_decay``. None where no
            step is to be taken, as of one that is read back.
        scheduler: Makes the schedule, stepped once a training step; None keeps the rate constant.
        encoder_lr_ratio: Learning rate of the encoder relative to the rest.
        layer_decay: Learning rate of each of the encoder's layers relative to the next deeper one; None: all the same.
        loss_lr_ratio: Learning rate of the embedding heads relative to the rest.
        freeze_encoder: Whether the encoder stays as it is, the statistics of its batch normalisation included; it then
            also computes as in evaluation, without dropout.
        auxiliary_stage: Encoder stage on which an auxiliary head learns to segment in training; None has no such head.
        auxiliary_weight: Weight in the total of the auxiliary logits' loss, which is the whole base of ``loss``; here
            and where the network has auxiliary logits of its own.
        gradient_interval: Steps between two comparisons of the contrast's gradients with the base loss's at each
            feature map, see :func:`contextrast.training.gradients.compare_gradients`; None makes none.
        config: What the run was composed of, as plain containers; saved with every checkpoint.

    Raises:
        ConfigError: If there is no such stage, the network has auxiliary logits of its own besides it, or it has no
            encoder whose learning rate could be another.

    Attributes:
        last_scores: Scores of the last validation.
        measured_at: Step of the last validation.
    """

    def __init__(
        self,
        network: Segmenter,
        loss: TrainingLoss,
        labels: LabelTable,
        optimizer: OptimizerFactory | None = None,
        scheduler: SchedulerFactory | None = None,
        encoder_lr_ratio: float = 1.0,
        layer_decay: float | None = None,
        loss_lr_ratio: float = 1.0,
        freeze_encoder: bool = False,
        auxiliary_stage: int | None = None,
        auxiliary_weight: float = 0.4,
        gradient_interval: int | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        for name, value in {
            "encoder_lr_ratio": encoder_lr_ratio, "loss_lr_ratio": loss_lr_ratio, "auxiliary_weight": auxiliary_weight
        }.items():  # fmt: skip
            check_number(f"module.{name}", value)
        if gradient_interval is not None:
            check_number("module.gradient_interval", gradient_interval, whole=True)
        super().__init__()
        asked = f"encoder_lr_ratio={encoder_lr_ratio}" if encoder_lr_ratio != 1.0 else "freeze_encoder=true"
        if (encoder_lr_ratio != 1.0 or freeze_encoder) and not any(True for _ in network.encoder.parameters()):
            raise ConfigError(
                f"module.{asked}: {network.name} has no `encoder` or `backbone` to which it could apply. Leave it out."
            )
        self.freeze_encoder = freeze_encoder
        if freeze_encoder:
            network.encoder.requires_grad_(False).eval()
        self.network = network
        self.loss = loss
        self.labels = labels
        self.optimizer_factory = optimizer
        self.scheduler_factory = scheduler
        self.encoder_lr_ratio, self.layer_decay = encoder_lr_ratio, layer_decay
        self.loss_lr_ratio = loss_lr_ratio
        self.auxiliary = build_auxiliary(network, auxiliary_stage, labels.num_classes)
        self.auxiliary_weight = auxiliary_weight
        self.gradient_interval = gradient_interval
        self.scores = SegmentationScores(labels.num_classes, IGNORE_INDEX)
        self.last_scores: Scores | None = None
        self.measured_at: int | None = None
        self._finite_loss = FiniteLossCheck(partial(keep_step, self))
        # Equal in all processes, as it is made of the global batch: DDP need not send up to 190 MB of it at every step.
        buffers = (name for name, _ in self.named_buffers() if name.startswith("loss.contrast."))
        self._ddp_params_and_buffers_to_ignore = list(buffers)
        self.save_hyperparameters(dict(config or {}))

    def train(self, mode: bool = True) -> Self:
        """Switch to training, or back; a frozen encoder computes as in evaluation."""
        super().train(mode)
        if self.freeze_encoder:
            self.network.encoder.eval()
        return self

    def update_loss(self) -> None:
        """Move on what outlives a step in the loss; called once after every optimiser step."""
        self.loss.update()

    def predict(self, image: Tensor) -> Tensor:
        """Logits ``[B, N, H, W]`` of uint8 images ``[B, C, H, W]`` of any size."""
        logits: Tensor = self.network(self.network.normalize(image))
        return logits

    def training_step(self, batch: Batch) -> Tensor:
        """One forward pass and its loss, which :meth:`on_before_optimizer_step` checks."""
        every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]  # the trainer gets it from its connector
        terms, features = self.training_pass(batch)
        self._finite_loss.observe(terms, batch)
        logged = (self.global_step + 1) % every == 0  # the loggers would drop the values of other steps
        if logged or self.trainer.world_size == 1:  # each process has its share of the global loss, by their mean
            self.log("train/loss", terms.total, prog_bar=True, batch_size=len(batch["mask"]), sync_dist=True)
        if logged:
            self._log_terms(terms, len(batch["mask"]))
            self._log_place(self.global_step + 1)
        if self.gradient_interval and (self.global_step + 1) % self.gradient_interval == 0:
            self._log_by_stage("gradients", compare_gradients(terms.weighted, features), len(batch["mask"]))
        return terms.total

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Refuse a step whose loss or gradients are not finite; a step may be made of several batches.

        A gradient scaler, which ``trainer.precision=16-mixed`` has, looks at the gradients itself and lowers its scale.

        Raises:
            NonFiniteLossError: If the loss of a batch or a gradient is infinite or not a number, in any process.
        """
        scales = getattr(self.trainer.precision_plugin, "scaler", None) is not None
        self._finite_loss.check(self.global_step, None if scales else optimizer)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002  (Lightning's signature)
        """Have nothing saved of a step that was refused.

        Raises:
            NonFiniteLossError: As :meth:`on_before_optimizer_step`.
        """
        self._finite_loss.settle()

    def on_train_end(self) -> None:
        """Hear of the last step, too.

        Raises:
            NonFiniteLossError: As :meth:`on_before_optimizer_step`.
        """
        self._finite_loss.settle()

    def loss_terms(self, batch: Batch) -> LossTerms:
        """The loss of a training batch, see :meth:`training_pass`."""
        return self.training_pass(batch)[0]

    def training_pass(self, batch: Batch) -> tuple[LossTerms, list[Tensor]]:
        """Forward passes of the network, its auxiliary head and the loss.

        Args:
            batch: ``image`` uint8 ``[B, C, H, W]`` of any size and ``mask`` ``[B, H, W]``.

        Returns:
            The loss, and the feature maps ``[B, C_i, H_i, W_i]`` that it looked at.
        """
        image, target = self.network.normalize(batch["image"]), batch["mask"]
        # Padded together, so that stage grids stay aligned with the labels; in evaluation the network pads likewise.
        padding = self.network.padding(*target.shape[-2:])
        image, target = self.network.pad(image), F.pad(target, padding, value=IGNORE_INDEX)
        seen = self.network.forward_training(image)
        terms: LossTerms = self.loss(seen.logits, target, seen.features)
        if (own := self.network.own_loss(seen, target)) is not None:
            terms = _in_place_of_base(terms, own)
        logits = seen.auxiliary if self.auxiliary is None else self.auxiliary(seen.maps)
        if logits is not None:
            terms = self._with_auxiliary(terms, logits, target)
        return terms, seen.features

    def validation_step(self, batch: Batch) -> None:
        """Count the batch's pixels, single scale."""
        self.scores.update(self.predict(batch["image"]), batch["mask"])

    def on_validation_epoch_end(self) -> None:
        """Log the split's scores."""
        self.last_scores, self.measured_at = self.scores.compute(), self.global_step
        for name, value in self.last_scores.by_name(self.labels.classes).items():
            self.log(f"val/{name}", value, prog_bar=name == "miou")
        self._log_place(self.global_step)
        self.scores.reset()

    def _log_place(self, steps: int) -> None:
        """Have Lightning put a row at the steps that were taken, as pictures are, and not at one less."""
        for name, value in {"step": steps, "epoch": self.trainer.current_epoch}.items():
            self.log(name, torch.tensor(float(value), dtype=torch.float32))  # in any precision of the run

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Groups for encoder, decoder, auxiliary head and heads; the schedule moves once a step.

        Raises:
            ConfigError: If the schedule needs to know the run's length, and the run has none.
        """
        make, schedule = self.optimizer_factory, self.scheduler_factory
        assert make is not None, "a module without an optimizer takes no step"
        trainer = self._trainer  # none where somebody else takes the steps
        defaults = getattr(make, "keywords", {})
        encoder, ratio = self.network.encoder, self.encoder_lr_ratio
        parts: dict[str, tuple[Iterable[nn.Parameter], float]] = {
            **({} if self.layer_decay is None else layers_of(encoder, self.layer_decay, ratio)),
            "encoder": (encoder.parameters(), ratio),
            "decoder": (self.network.parameters(), 1.0),
            "auxiliary": (() if self.auxiliary is None else self.auxiliary.parameters(), 1.0),
            "heads": (self.loss.parameters(), self.loss_lr_ratio),
        }
        groups = parameter_groups(parts, defaults["lr"], defaults.get("weight_decay", 0.0))
        optimizer = make(groups, **({} if trainer is None else to_clip(make, trainer)))
        if schedule is None:
            return optimizer
        scheduler = schedule(optimizer, **({} if trainer is None else run_lengths(schedule, trainer)))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip gradients; those of fused optimisers too, which Lightning refuses in every mixed precision.

        It has to where gradients are scaled, see :func:`contextrast.training.optimization.to_clip`.
        """
        plugin = self.trainer.precision_plugin
        if getattr(plugin, "scaler", None) is not None:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif gradient_clip_val is not None:
            algorithm = GradClipAlgorithmType(gradient_clip_algorithm or "norm")
            Precision.clip_gradients(plugin, optimizer, gradient_clip_val, algorithm)

    def _with_auxiliary(self, terms: LossTerms, logits: Tensor, target: Tensor) -> LossTerms:
        """The terms with the base's loss of auxiliary logits, which are brought to the target's resolution."""
        logits = F.interpolate(logits, size=target.shape[-2:], mode="bilinear", align_corners=False)
        auxiliary: Tensor = self.loss.base(logits, target)
        total = terms.total + self.auxiliary_weight * auxiliary
        weighted = {**terms.weighted, "auxiliary": self.auxiliary_weight * auxiliary} if terms.weighted else {}
        return replace(terms, total=total, terms={**terms.terms, "auxiliary": auxiliary}, weighted=weighted)

    def _log_terms(self, terms: LossTerms, batch_size: int) -> None:
        named = {f"train/{name}": value for name, value in terms.terms.items()}
        self.log_dict(named, batch_size=batch_size, sync_dist=True)  # each process has its share of the global sums
        self._log_by_stage("contrast", terms.diagnose(), batch_size)

    def _log_by_stage(self, section: str, values: Mapping[str, Tensor], batch_size: int) -> None:
        """Log scalars, ``[I]`` with one per stage, and ``[I, N]`` per stage and class in a section of their own."""
        named: dict[str, Tensor] = {}
        for name, value in values.items():
            if value.ndim == 0:
                named[f"{section}/{name}"] = value
                continue
            for stage, of_stage in zip(self.network.stage_names, value, strict=True):
                if value.ndim == 1:
                    named[f"{section}/{name}/{stage}"] = of_stage
                    continue
                named[f"{section}/{name}/{stage}"] = of_stage.sum()
                for label, of_class in zip(self.labels.classes, of_stage, strict=True):
                    named[f"{section}_per_class/{name}/{stage}/{label}"] = of_class
        self.log_dict(named, batch_size=batch_size, sync_dist=True)  # of each process's images: the mean


def _in_place_of_base(terms: LossTerms, own: Tensor) -> LossTerms:
    """The terms with a network's own loss in place of the base, whose value stays among them as a number.

    Raises:
        ConfigError: If the loss does not say which part of its total the base is.
    """
    if "base" not in terms.weighted:
        raise ConfigError(
            "loss: this network learns by a loss of its own, which takes the base's place in the total, and this loss "
            "does not say what its base is. Let it return LossTerms with weighted={'base': ..., 'contrast': ...}."
        )
    weighted = {**terms.weighted, "base": own}
    total = torch.stack(list(weighted.values())).sum()
    return replace(terms, total=total, terms={**terms.terms, "network": own}, weighted=weighted)

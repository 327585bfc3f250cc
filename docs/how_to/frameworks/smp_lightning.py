"""smp's own training example, a Lightning module, with its Dice loss replaced by Contextrast over the same Dice."""

from typing import Any

import lightning.pytorch as pl
import segmentation_models_pytorch as smp
import torch
from torch import Tensor

from contextrast import ContextrastLoss, FeatureTaps


class SegmentationModel(pl.LightningModule):
    """One of smp's networks, trained."""

    def __init__(self, arch: str, encoder_name: str, out_classes: int, **options: Any) -> None:
        super().__init__()
        self.model = smp.create_model(arch, encoder_name, classes=out_classes, **options)
        dice = smp.losses.DiceLoss(smp.losses.MULTICLASS_MODE, from_logits=True, ignore_index=255)
        self.taps = FeatureTaps(self.model)
        self.loss_fn = ContextrastLoss(out_classes, self.taps.channels, base=dice)  # without it: self.loss_fn = dice

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """One step."""
        image, mask = batch
        loss = self.loss_fn(self.model(image), mask.long(), self.taps.take()).total
        self.log("train_loss", loss)
        return loss

    def on_train_batch_end(self, *_: object) -> None:
        """After each step."""
        self.loss_fn.update()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam, as in smp's example."""
        return torch.optim.Adam(self.parameters(), lr=2e-4)

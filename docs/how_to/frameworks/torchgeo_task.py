"""torchgeo's SemanticSegmentationTask with Contextrast in place of its loss, for images of any number of channels."""

from typing import Any

import torch
from torch import Tensor
from torchgeo.trainers import SemanticSegmentationTask

from contextrast import ContextrastLoss, FeatureTaps


class ContrastTask(SemanticSegmentationTask):
    """The task as it is, but for its loss."""

    def configure_models(self) -> None:
        """The network as it is, and Contextrast over the maps of its encoder."""
        super().configure_models()
        self.taps = FeatureTaps(self.model, image=torch.zeros(1, self.hparams["in_channels"], 64, 64))
        self.contrast = ContextrastLoss(self.hparams["num_classes"], self.taps.channels)

    def training_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """One step on ``image`` ``[B, C, H, W]`` and ``mask`` ``[B, H, W]``."""
        logits = self(batch["image"])
        terms = self.contrast(logits, batch["mask"].long(), self.taps.take())
        self.log("train_loss", terms.total, batch_size=len(logits))
        return terms.total

    def on_train_batch_end(self, *_: object) -> None:
        """After each step."""
        self.contrast.update()

"""SegFormer of transformers in its own Trainer. Cross-entropy alone is the same without the line marked below."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from transformers import SegformerForSemanticSegmentation, Trainer

from contextrast import ContextrastLoss, FeatureTaps


class Contrasted(nn.Module):
    """A network whose answer brings the loss, as ``Trainer`` wants it; the heads are trained with it."""

    def __init__(self, model: SegformerForSemanticSegmentation) -> None:
        super().__init__()
        self.model = model
        self.taps = FeatureTaps(model, at=[f"segformer.stages.{stage}" for stage in range(4)])
        self.criterion = ContextrastLoss(model.config.num_labels, self.taps.channels)

    def forward(self, pixel_values: Tensor, labels: Tensor) -> dict[str, Any]:
        """Loss and logits ``[B, N, H, W]`` of images ``[B, 3, H, W]`` and their labels ``[B, H, W]``."""
        logits = F.interpolate(self.model(pixel_values).logits, size=labels.shape[-2:], mode="bilinear")
        terms = self.criterion(logits, labels, self.taps.take())  # this line: F.cross_entropy(logits, labels, ...)
        return {"loss": terms.total, "logits": logits}


class ContrastTrainer(Trainer):
    """Trainer that tells the loss of every step."""

    def training_step(self, model: nn.Module, *arguments: Any, **options: Any) -> Tensor:
        """A step as Trainer takes it."""
        loss: Tensor = super().training_step(model, *arguments, **options)
        self.accelerator.unwrap_model(model).criterion.update()
        return loss

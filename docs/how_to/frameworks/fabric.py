"""Lightning Fabric around a loop of one's own."""

from collections.abc import Iterable

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from contextrast import ContextrastLoss, FeatureTaps


class Training(nn.Module):
    """A network and its loss as one module, so that several processes average the gradients of both."""

    def __init__(self, model: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.model, self.taps = model, FeatureTaps(model)
        self.criterion = ContextrastLoss(num_classes, self.taps.channels)

    def forward(self, images: Tensor, target: Tensor) -> Tensor:
        """The loss of images ``[B, 3, H, W]`` and their labels ``[B, H, W]``."""
        return self.criterion(self.model(images), target, self.taps.take()).total


def train(fabric: Fabric, model: nn.Module, num_classes: int, batches: Iterable[tuple[Tensor, Tensor]]) -> list[float]:
    """Take a step per batch; returns the losses."""
    training = Training(model, num_classes)
    training, optimizer = fabric.setup(training, torch.optim.AdamW(training.parameters(), lr=1e-3))
    losses = []
    for images, target in batches:
        optimizer.zero_grad()
        loss = training(fabric.to_device(images), fabric.to_device(target))
        fabric.backward(loss)
        optimizer.step()
        training.criterion.update()
        losses.append(loss.item())
    return losses

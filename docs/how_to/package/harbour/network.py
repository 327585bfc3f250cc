"""A network of one's own: images to logits, and nothing that knows of a loss."""

import torch.nn.functional as F
from torch import Tensor, nn


class TwoScales(nn.Module):
    """Features at strides 4 and 8, added up at the finer one.

    Args:
        num_classes: Channels N of the logits.
        width: Channels of the finer map; the coarser one has twice as many.
    """

    def __init__(self, num_classes: int, width: int = 16) -> None:
        super().__init__()
        self.fine = nn.Sequential(_halved(3, width), _halved(width, width))
        self.coarse = _halved(width, 2 * width)
        self.reduce = nn.Conv2d(2 * width, width, 1)
        self.classify = nn.Conv2d(width, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Normalised images ``[B, 3, H, W]`` to logits ``[B, N, H/4, W/4]``."""
        fine = self.fine(image)
        coarse = F.interpolate(self.reduce(self.coarse(fine)), size=fine.shape[-2:], mode="bilinear")
        logits: Tensor = self.classify(fine + coarse)
        return logits


def _halved(in_channels: int, channels: int) -> nn.Sequential:
    layers = nn.Conv2d(in_channels, channels, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()
    return nn.Sequential(*layers)

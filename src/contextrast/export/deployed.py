"""The network as it is deployed: pixels in, logits out, with everything between them inside."""

from typing import Any, Self

import torch
from torch import Tensor, nn

from contextrast.models import Segmenter
from contextrast.models.forward_pass import segment


class Deployed(nn.Module):
    """Segments images as their files have them: normalises, pads, runs the plain network and crops.

    The same function as a `Segmenter` behind its ``normalize``, written without a branch on the image's size, so that
    a graph traced from it holds for every size.

    Args:
        network: The plain network.
        mean: Mean of each channel in units of 0..1.
        std: Standard deviation of each channel, likewise.
        stride: Number that has to divide the sides the plain network takes.
        smallest_side: Shortest side in pixels that it takes.
        resize: Whether its logits have to be brought to the image's size.
        argmax: Whether it answers with the most probable classes in place of logits.
    """

    def __init__(
        self,
        network: nn.Module,
        mean: Any,
        std: Any,
        stride: int,
        smallest_side: int,
        resize: bool = False,
        argmax: bool = False,
    ) -> None:
        super().__init__()
        self.resize = resize
        self.argmax = argmax
        self.network = network
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("std", torch.as_tensor(std, dtype=torch.float32).view(1, -1, 1, 1))
        self.stride = stride
        self.smallest_side = smallest_side
        self.eval()

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, segmenter: Segmenter, argmax: bool = False) -> Self:
        """The deployed form of a segmenter; the weights are shared."""
        return cls(
            segmenter.network,
            segmenter.mean.clone(),
            segmenter.std.clone(),
            segmenter.stride,
            segmenter.smallest_side,
            segmenter.resize,
            argmax,
        )

    def forward(self, image: Tensor) -> Tensor:
        """Logits ``[B, N, H, W]``, or train ids uint8 ``[B, H, W]``, of images uint8 ``[B, C, H, W]``, 0..255."""
        height, width = image.shape[-2:]
        pixels = (image.to(self.mean.dtype) / 255 - self.mean) / self.std
        logits = segment(self.network, self._extended(self._extended(pixels, 2), 3), self.resize)
        logits = logits[..., :height, :width]
        return logits.argmax(1).to(torch.uint8) if self.argmax else logits

    def _extended(self, pixels: Tensor, dimension: int) -> Tensor:
        """Repeats the last row or column up to the next side that the network takes."""
        side = pixels.shape[dimension]
        target: int | torch.SymInt = (side + self.stride - 1) // self.stride * self.stride
        if self.smallest_side > self.stride:  # no decision about the image: it holds for the network
            target = torch.sym_max(target, self.smallest_side)
        rows = torch.arange(target, device=pixels.device).clamp(max=side - 1)
        return pixels.index_select(dimension, rows)

"""Logits at the stride at which a network makes them, brought to the image's size a few rows at a time."""

from typing import NamedTuple, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor


class CoarseLogits(NamedTuple):
    """Logits of a batch of images, which are interpolated bilinearly where they are asked for.

    Attributes:
        values: ``[B, N, h, w]``.
        height: Of the images as the network saw them, padded at the bottom and on the right perhaps.
        width: Likewise.
        columns: Width of the images themselves.
        corners: Whether the centres of the outermost pixels coincide, as with torch's ``align_corners=True``.
    """

    values: Tensor
    height: int
    width: int
    columns: int
    corners: bool = False

    def rows(self, rows: slice) -> Tensor:
        """Some rows of the logits at the images' size, float32 ``[B, N, rows, columns]``; the others are not made."""
        if self.values.shape[2] == self.height:
            upright = self.values[..., rows, :].float()
        else:
            above, below, share = self._between(rows)
            upright = torch.lerp(self.values[..., above, :].float(), self.values[..., below, :].float(), share)
        if self.values.shape[3] == self.width:
            return upright[..., : self.columns]
        size = (upright.shape[2], self.width)
        whole = F.interpolate(upright, size=size, mode="bilinear", align_corners=self.corners)
        return whole[..., : self.columns]

    def _between(self, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
        """For each row the one above it, the one below it and the latter's share, ``[rows, 1]``."""
        coarse = self.values.shape[2]
        places = torch.arange(rows.start, rows.stop, device=self.values.device, dtype=torch.float32)
        if self.corners:
            places = places * ((coarse - 1) / max(1, self.height - 1))
        else:
            places = ((places + 0.5) * (coarse / self.height) - 0.5).clamp(min=0)
        above = places.long().clamp(max=coarse - 1)
        return above, (above + 1).clamp(max=coarse - 1), (places - above)[:, None]


@runtime_checkable
class Coarse(Protocol):
    """A network that tells its logits before they are interpolated."""

    def coarse(self, image: Tensor) -> CoarseLogits:
        """Logits of a batch of images, float ``[B, 3, H, W]``."""
        ...

"""One forward pass of a network with everything a training loss may look at."""

from collections.abc import Sequence
from typing import NamedTuple

import segmentation_models_pytorch as smp
from torch import Tensor


class ForwardPass(NamedTuple):
    """What a network computes of a batch of images.

    Attributes:
        logits: ``[B, N, H, W]``, at the image's resolution.
        maps: The encoder's feature maps ``[B, C_i, H/s_i, W/s_i]`` by number: the image, stage 1, stage 2, ...
        auxiliary: Logits ``[B, N, H/4, W/4]`` of an auxiliary head that the network itself needs, as OCRNet does.
    """

    logits: Tensor
    maps: Sequence[Tensor]
    auxiliary: Tensor | None


def forward_pass(network: smp.base.SegmentationModel, image: Tensor) -> ForwardPass:
    """The forward pass of smp's models and of those built like them, with nothing thrown away.

    Args:
        network: One of smp's models, or of ours.
        image: float [B, 3, H, W] of a size the network takes.
    """
    encoded = network.encoder(image)
    if isinstance(encoded, tuple):  # ViT encoders: maps without the image, and prefix tokens
        maps, tokens = encoded
        decoded = network.decoder(maps, tokens)
        encoded = [image, *maps]
    else:
        decoded = network.decoder(encoded)
    auxiliary = None
    if isinstance(decoded, tuple):  # OCRNet's decoder: what it decoded, and the logits its object regions come from
        decoded, auxiliary = decoded
    return ForwardPass(network.segmentation_head(decoded), encoded, auxiliary)

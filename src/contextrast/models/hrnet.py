"""HRNetV2: timm's high-resolution encoders with the decoder they were published with, shaped like smp's models."""

from collections.abc import Sequence
from typing import Any

import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from segmentation_models_pytorch.base.modules import Conv2dReLU
from torch import Tensor, nn

STRIDE = 4  # of the finest branch, at which the branches are concatenated
_FINEST = 2  # its number among an encoder's maps


class HRNetV2(smp.base.SegmentationModel):  # type: ignore[misc]  # smp has no types
    """High-resolution network for segmentation (Wang et al., TPAMI 2020, its HRNetV2 head).

    The four branches are brought to stride 4 and concatenated; 1×1 convolution, batch norm, ReLU and a 1×1
    convolution make logits of them. The encoder holds no layer of the classification head.

    Args:
        encoder_name: ``tu-`` and the name of one of timm's HRNets.
        encoder_weights: ``imagenet`` for timm's hub, None for random weights.
        in_channels: Channels of the image.
        classes: Channels of the logits.
        feature_location: Which maps timm gives: ``""`` the raw branches, ``incre`` those that its classification head
            widens first.
        **kwargs: Further arguments of timm's encoder.
    """

    decoder_maps = ("decoder.mix",)  # for model.contrast_on=decoder

    def __init__(
        self,
        encoder_name: str = "tu-hrnet_w48",
        encoder_weights: str | None = None,
        in_channels: int = 3,
        classes: int = 1,
        feature_location: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.encoder, channels = high_resolution_encoder(
            encoder_name, encoder_weights, in_channels, feature_location, kwargs
        )
        self.decoder = ConcatenatingDecoder(channels)
        self.segmentation_head = upsampled_logits(channels, classes)
        self.classification_head = None
        self.name = f"hrnetv2-{encoder_name}"
        self.initialize()


class ConcatenatingDecoder(nn.Module):
    """Concatenated branches, mixed by a 1×1 convolution, batch norm and ReLU.

    Args:
        channels: Channels C of all branches together.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = Conv2dReLU(channels, channels, kernel_size=1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Encoder maps by number to ``[B, C, H/4, W/4]``."""
        mixed: Tensor = self.mix(concatenate(maps))
        return mixed


def high_resolution_encoder(
    name: str, weights: str | None, in_channels: int, feature_location: str, options: dict[str, Any]
) -> tuple[nn.Module, int]:
    """One of timm's HRNets as smp's encoders are (map 1 is the stem, 2 to 5 the branches); all branches' channels."""
    encoder = smp.encoders.get_encoder(
        name, in_channels=in_channels, weights=weights, feature_location=feature_location, **options
    )
    return encoder, sum(encoder.out_channels[_FINEST:])


def concatenate(maps: Sequence[Tensor]) -> Tensor:
    """Branches at strides 4, 8, 16 and 32, all at the finest's resolution: ``[B, ΣC_i, H/4, W/4]``."""
    finest, *coarser = maps[_FINEST:]
    size = finest.shape[-2:]
    return torch.cat(
        [finest, *(F.interpolate(branch, size=size, mode="bilinear", align_corners=False) for branch in coarser)], dim=1
    )


def upsampled_logits(channels: int, classes: int) -> nn.Sequential:
    """The last layers: a 1×1 convolution to logits at stride 4, and bilinear upsampling to the image's resolution."""
    return nn.Sequential(
        nn.Conv2d(channels, classes, 1), nn.Upsample(scale_factor=STRIDE, mode="bilinear", align_corners=False)
    )

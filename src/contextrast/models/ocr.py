"""OCRNet: object-contextual representations over high-resolution encoders, shaped like smp's models."""

from collections.abc import Sequence
from typing import Any

import segmentation_models_pytorch as smp
import torch
from segmentation_models_pytorch.base.modules import Conv2dReLU
from torch import Tensor, nn

from contextrast.models.hrnet import concatenate, high_resolution_encoder, upsampled_logits


class OCRNet(smp.base.SegmentationModel):  # type: ignore[misc]  # smp has no types
    """Object-contextual representations (Yuan et al., ECCV 2020) over HRNetV2's concatenated branches.

    The auxiliary head is part of the deployed network: its logits are the soft object regions. In training they have
    a cross-entropy of their own.

    Args:
        encoder_name: ``tu-`` and the name of one of timm's HRNets.
        encoder_weights: ``imagenet`` for timm's hub, None for random weights.
        in_channels: Channels of the image.
        classes: Channels of the logits.
        feature_location: Which maps timm gives: ``""`` the raw branches, ``incre`` those that its classification head
            widens first.
        decoder_channels: Channels of pixel, region and contextual representations.
        decoder_key_channels: Channels in which pixels attend to regions.
        decoder_dropout: Dropout of whole channels before the last layer, 0..1.
        **kwargs: Further arguments of timm's encoder.
    """

    decoder_maps = ("decoder.output",)  # for model.contrast_on=decoder

    def __init__(
        self,
        encoder_name: str = "tu-hrnet_w48",
        encoder_weights: str | None = None,
        in_channels: int = 3,
        classes: int = 1,
        feature_location: str = "",
        decoder_channels: int = 512,
        decoder_key_channels: int = 256,
        decoder_dropout: float = 0.05,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.encoder, channels = high_resolution_encoder(
            encoder_name, encoder_weights, in_channels, feature_location, kwargs
        )
        self.decoder = ObjectContextDecoder(channels, classes, decoder_channels, decoder_key_channels, decoder_dropout)
        self.segmentation_head = upsampled_logits(decoder_channels, classes)
        self.classification_head = None
        self.name = f"ocrnet-{encoder_name}"
        self.initialize()

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``[B, N, H, W]`` of images ``[B, 3, H, W]``, as smp's models give them."""
        decoded, _ = self.decoder(self.encoder(x))
        logits: Tensor = self.segmentation_head(decoded)
        return logits


class ObjectContextDecoder(nn.Module):
    """Pixels, augmented by what the object regions around them look like.

    Args:
        in_channels: Channels of all branches together.
        classes: Number of object regions K, one per class.
        channels: Channels C of pixel, region and contextual representations.
        key_channels: Channels of the attention's queries, keys and values.
        dropout: Dropout of whole channels of the result.
    """

    def __init__(self, in_channels: int, classes: int, channels: int, key_channels: int, dropout: float) -> None:
        super().__init__()
        self.regions = nn.Sequential(
            Conv2dReLU(in_channels, in_channels, kernel_size=1), nn.Conv2d(in_channels, classes, 1)
        )
        self.pixels = Conv2dReLU(in_channels, channels, kernel_size=3, padding=1)
        self.attention = ObjectAttention(channels, key_channels)
        self.output = nn.Sequential(Conv2dReLU(2 * channels, channels, kernel_size=1), nn.Dropout2d(dropout))

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Encoder maps by number to ``[B, C, H/4, W/4]``, and the auxiliary logits ``[B, K, H/4, W/4]``."""
        branches = concatenate(maps)
        auxiliary = self.regions(branches)
        pixels = self.pixels(branches)
        context = self.attention(pixels, gather_regions(pixels, auxiliary))
        return self.output(torch.cat([context, pixels], dim=1)), auxiliary


def gather_regions(pixels: Tensor, logits: Tensor) -> Tensor:
    """Represent each region by the mean of all pixels, weighted by how much they belong to it (the paper's Eq. 2).

    Args:
        pixels: ``[B, C, H, W]``.
        logits: ``[B, K, H, W]``; a softmax over the pixels makes weights of them.

    Returns:
        ``[B, C, K, 1]``.
    """
    weights = logits.flatten(2).softmax(dim=2)
    return (weights @ pixels.flatten(2).transpose(1, 2)).transpose(1, 2).unsqueeze(3)


class ObjectAttention(nn.Module):
    """Attention of pixels to regions (the paper's Eqs. 3 and 4): a softmax over regions of scaled dot products.

    Args:
        channels: Channels C of pixels and regions.
        key_channels: Channels of queries, keys and values.
    """

    def __init__(self, channels: int, key_channels: int) -> None:
        super().__init__()
        self.query = _two_layers(channels, key_channels)
        self.key = _two_layers(channels, key_channels)
        self.value = Conv2dReLU(channels, key_channels, kernel_size=1)
        self.project = Conv2dReLU(key_channels, channels, kernel_size=1)

    def forward(self, pixels: Tensor, regions: Tensor) -> Tensor:
        """Context ``[B, C, H, W]`` of pixels ``[B, C, H, W]`` among regions ``[B, C, K, 1]``."""
        query = self.query(pixels).flatten(2).transpose(1, 2)
        key = self.key(regions).flatten(2)
        value = self.value(regions).flatten(2).transpose(1, 2)
        # Written out: PyTorch's counter of operations does not know the fused attention of CPUs.
        weights = (query @ key / key.shape[1] ** 0.5).softmax(dim=2)
        context: Tensor = self.project((weights @ value).transpose(1, 2).unflatten(2, pixels.shape[-2:]))
        return context


def _two_layers(channels: int, key_channels: int) -> nn.Sequential:
    return nn.Sequential(
        Conv2dReLU(channels, key_channels, kernel_size=1), Conv2dReLU(key_channels, key_channels, kernel_size=1)
    )

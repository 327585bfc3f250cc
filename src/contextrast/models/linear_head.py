"""A linear head over a plain vision transformer, shaped like smp's models."""

from collections.abc import Sequence
from typing import Any

import segmentation_models_pytorch as smp
from segmentation_models_pytorch.encoders.timm_vit import TimmViTEncoder
from torch import Tensor, nn

from contextrast.errors import ConfigError


class LinearHead(smp.base.SegmentationModel):  # type: ignore[misc]  # smp has no types
    """A vision transformer whose last map a batch norm and a 1×1 convolution turn into logits.

    With this head DINOv2 was measured (Oquab et al., TMLR 2024). All maps have the patch's stride; those of blocks at
    equal distances can be contrasted, as the encoder's stages 1, 2, ...

    Args:
        encoder_name: ``tu-`` and the name of one of timm's vision transformers.
        encoder_weights: ``imagenet`` for timm's hub, None for random weights.
        in_channels: Channels of the image.
        classes: Channels of the logits.
        encoder_depth: Maps that the encoder gives.
        **kwargs: Further arguments of timm's encoder; ``dynamic_img_size=True`` lets it take images of any size.
    """

    requires_divisible_input_shape = False  # a size that the patch does not divide is refused by timm

    def __init__(
        self,
        encoder_name: str = "tu-vit_small_patch14_dinov2",
        encoder_weights: str | None = None,
        in_channels: int = 3,
        classes: int = 1,
        encoder_depth: int = 4,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if not encoder_name.startswith("tu-"):
            raise ConfigError(f"model.encoder={encoder_name}: LinearHead stands on timm's networks, tu-NAME.")
        self.encoder = TimmViTEncoder(
            encoder_name.removeprefix("tu-"),
            pretrained=encoder_weights is not None,
            in_channels=in_channels,
            depth=encoder_depth,
            **kwargs,
        )
        channels, stride = self.encoder.out_channels[-1], self.encoder.output_stride
        self.decoder = LastMap(channels)
        self.segmentation_head = nn.Sequential(
            nn.Conv2d(channels, classes, 1), nn.Upsample(scale_factor=stride, mode="bilinear", align_corners=False)
        )
        self.classification_head = None
        self.name = f"linear-{encoder_name}"
        smp.base.initialization.initialize_head(self.segmentation_head)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``[B, N, H, W]`` of images ``[B, C, H, W]`` whose sides the patch divides."""
        maps, tokens = self.encoder(x)
        logits: Tensor = self.segmentation_head(self.decoder(maps, tokens))
        return logits


class LastMap(nn.Module):
    """The last of an encoder's maps, normalised over the batch.

    Args:
        channels: Its channels C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, maps: Sequence[Tensor], tokens: Sequence[Tensor | None] = ()) -> Tensor:  # noqa: ARG002  (as DPT's)
        """Maps ``[B, C, h, w]``, and prefix tokens that play no part, to ``[B, C, h, w]``."""
        normalised: Tensor = self.norm(maps[-1])
        return normalised

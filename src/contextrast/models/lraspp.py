"""LR-ASPP over MobileNetV3: torchvision's small, fast network."""

from torch import Tensor, nn
from torchvision.models.segmentation import lraspp_mobilenet_v3_large


class LRASPP(nn.Module):
    """Lite R-ASPP over a dilated MobileNetV3-Large (Howard et al., ICCV 2019): 3.2 M parameters.

    Args:
        num_classes: N.
        in_channels: Channels of the image.

    Attributes:
        model: Torchvision's network; its state dict is that of torchvision's files.
    """

    encoder_maps = tuple(f"model.backbone.{block}" for block in (3, 6, 12, 16))  # strides 4, 8, 16, 16

    def __init__(self, num_classes: int, in_channels: int = 3) -> None:
        super().__init__()
        self.model = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=num_classes)
        if in_channels != 3:
            first = self.model.backbone["0"]  # torchvision has no argument for it
            first[0] = nn.Conv2d(in_channels, first[0].out_channels, 3, stride=2, padding=1, bias=False)

    @property
    def backbone(self) -> nn.Module:
        """MobileNetV3, which has a learning rate and weights of its own."""
        backbone: nn.Module = self.model.backbone
        return backbone

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Normalised images ``[B, C, H, W]`` to ``out``, logits ``[B, N, H, W]``."""
        answer: dict[str, Tensor] = self.model(image)
        return answer

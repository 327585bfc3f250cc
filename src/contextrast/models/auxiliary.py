"""An auxiliary head: it learns to segment from an encoder stage, and exists in training only."""

from collections.abc import Sequence

from torch import Tensor, nn

from contextrast.errors import ConfigError
from contextrast.models.segmenter import Segmenter


class AuxiliaryHead(nn.Module):
    """3×3 convolution, batch norm, ReLU, dropout, 1×1 convolution: the FCN head that helps deep encoders learn.

    Deep supervision as PSPNet introduced it (Zhao et al., CVPR 2017); its cross-entropy usually has the weight 0.4.

    Args:
        stage: Number of the encoder stage it sees.
        in_channels: Channels C of that stage.
        num_classes: N.
        channels: Channels between the convolutions.
        dropout: Dropout of whole channels, 0..1.
    """

    def __init__(
        self, stage: int, in_channels: int, num_classes: int, channels: int = 256, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.stage = stage
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, padding=1, bias=False),  # batch norm has the bias
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Dropout2d(dropout),
            nn.Conv2d(channels, num_classes, 1),
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """The encoder's maps ``[B, C_i, H_i, W_i]`` by number to logits ``[B, N, H_i, W_i]`` of the head's stage."""
        logits: Tensor = self.layers(maps[self.stage])
        return logits


def build_auxiliary(network: Segmenter, stage: int | None, num_classes: int) -> AuxiliaryHead | None:
    """The head for a network's stage, or None for no stage.

    Raises:
        ConfigError: If the encoder has no such stage, or the network computes auxiliary logits of its own.
    """
    if stage is None:
        return None
    if network.has_auxiliary_logits:
        raise ConfigError(
            f"module.auxiliary_stage={stage}: this network has an auxiliary head of its own, which is trained with "
            "module.auxiliary_weight anyway. Set module.auxiliary_stage=null."
        )
    channels, _ = network.stage_size(stage, f"module.auxiliary_stage={stage}")
    return AuxiliaryHead(stage, channels, num_classes)

"""Networks of transformers that classify masks, as networks of per-pixel logits that bring their own loss."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from contextrast.errors import ConfigError, WeightsError, first_line
from contextrast.extras import installation

try:
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, SwinConfig
except ModuleNotFoundError as missing:
    if missing.name != "transformers":
        raise
    raise ConfigError(f"it needs transformers: {installation('huggingface')}") from missing

_IGNORED = 255
_SMALLEST = 1e-8  # score below which a class is as good as impossible
_ENCODER = "model.model.pixel_level_module.encoder"


class Mask2Former(nn.Module):
    """Mask2Former over a Swin transformer (Cheng et al., CVPR 2022), transformers' class with its own losses.

    It answers with logits at stride 4: the logarithm of its semantic post-processing, in which every query votes for
    its classes where its mask is. Their softmax are those scores, scaled to sum 1. In training its loss takes the place
    of the base: matched queries learn classes by cross-entropy and masks by cross-entropy and Dice, after every layer
    of the decoder, with the published weights 2, 5 and 5.

    Args:
        num_classes: N.
        in_channels: Channels of the image.
        embed_dim: Channels of Swin's first stage.
        depths: Blocks of each of its stages.
        num_heads: Attention heads of each of its stages.
        window_size: Side of its windows in tokens.
        drop_path_rate: Largest share of samples that skip one of its residual branches, 0..1.
        num_queries: Masks per image.
        hidden_dim: Channels of the pixel decoder and of the queries.
        pixel_decoder_layers: Layers of deformable attention.
        decoder_layers: Predictions of the queries: one of the start and one after each layer of their decoder.
        train_num_points: Points per mask that the loss looks at.

    Attributes:
        model: Transformers' network; its state dict is that of a folder that transformers saves.
    """

    encoder_maps = tuple(f"{_ENCODER}.{stage}" for stage in (1, 2, 3, 4))  # for model.contrast_on=encoder

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        embed_dim: int = 96,
        depths: Sequence[int] = (2, 2, 6, 2),
        num_heads: Sequence[int] = (3, 6, 12, 24),
        window_size: int = 7,
        drop_path_rate: float = 0.3,
        num_queries: int = 100,
        hidden_dim: int = 256,
        pixel_decoder_layers: int = 6,
        decoder_layers: int = 10,
        train_num_points: int = 12544,
    ) -> None:
        super().__init__()
        swin = SwinConfig(
            num_channels=in_channels,
            embed_dim=embed_dim,
            depths=list(depths),
            num_heads=list(num_heads),
            window_size=window_size,
            drop_path_rate=drop_path_rate,
            out_features=["stage1", "stage2", "stage3", "stage4"],
        )
        config = Mask2FormerConfig(
            backbone_config=swin,
            num_labels=num_classes,
            num_queries=num_queries,
            feature_size=hidden_dim,
            mask_feature_size=hidden_dim,
            hidden_dim=hidden_dim,
            encoder_layers=pixel_decoder_layers,
            decoder_layers=decoder_layers,
            train_num_points=train_num_points,
            output_auxiliary_logits=True,
        )
        self.model = Mask2FormerForUniversalSegmentation(config)

    @property
    def backbone(self) -> nn.Module:
        """The Swin transformer, which has a learning rate and weights of its own."""
        backbone: nn.Module = self.model.model.pixel_level_module.encoder
        return backbone

    @staticmethod
    def read_folder(folder: Path) -> dict[str, Tensor]:
        """Weights of a folder that ``save_pretrained`` of any version of transformers wrote, as this one names them.

        Raises:
            WeightsError: If transformers cannot read it.
        """
        return folder_weights(Mask2FormerForUniversalSegmentation, folder, "Mask2Former")

    def forward(self, image: Tensor) -> dict[str, Any]:
        """Masks and classes of normalised images ``[B, C, H, W]``.

        Returns:
            ``logits`` ``[B, N, H/4, W/4]``, and what the loss takes: ``class_queries_logits`` ``[B, Q, N + 1]``,
            ``masks_queries_logits`` ``[B, Q, H/4, W/4]`` and those of every layer as ``auxiliary_logits``.
        """
        seen = self.model(pixel_values=image)
        classes, masks = seen.class_queries_logits, seen.masks_queries_logits
        return {
            "logits": semantic_logits(classes, masks),
            "class_queries_logits": classes,
            "masks_queries_logits": masks,
            "auxiliary_logits": seen.auxiliary_logits,
        }

    def own_loss(self, answer: Mapping[str, Any], target: Tensor) -> Tensor:
        """The network's own loss, a scalar.

        Args:
            answer: What :meth:`forward` returned.
            target: ``[B, H, W]`` class ids; 255 belongs to no mask.
        """
        masks, classes = binary_masks(target)
        terms = self.model.get_loss_dict(
            masks_queries_logits=answer["masks_queries_logits"],
            class_queries_logits=answer["class_queries_logits"],
            mask_labels=masks,
            class_labels=classes,
            auxiliary_predictions=answer["auxiliary_logits"],
        )
        loss: Tensor = self.model.get_loss(terms)
        return loss


def folder_weights(network: Any, folder: Path, name: str) -> dict[str, Tensor]:
    """Weights of a folder that ``save_pretrained`` of transformers wrote.

    Args:
        network: Transformers' class of the network.
        folder: The folder.
        name: What an error calls the network.

    Raises:
        WeightsError: If transformers cannot read it.
    """
    try:
        saved = network.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # whatever transformers raises
        raise WeightsError(f"{folder} cannot be read as a folder of {name}: {first_line(error)}") from error
    return dict(saved.state_dict())


def semantic_logits(class_queries_logits: Tensor, masks_queries_logits: Tensor) -> Tensor:
    """Per-pixel logits of masks and their classes: the logarithm of Σ_q p_q(class)·m_q(pixel).

    Args:
        class_queries_logits: ``[B, Q, N + 1]``, the last one for no object.
        masks_queries_logits: ``[B, Q, h, w]``.

    Returns:
        ``[B, N, h, w]``, at most log Q.
    """
    classes = class_queries_logits.softmax(-1)[..., :-1]
    scores = torch.einsum("bqc,bqhw->bchw", classes, masks_queries_logits.sigmoid())
    return scores.clamp_min(_SMALLEST).log()


def binary_masks(target: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Each image's label map as one mask per class that occurs in it.

    Args:
        target: ``[B, H, W]`` class ids; 255 is in no mask.

    Returns:
        For each image float masks ``[K, H, W]`` and their classes ``[K]``.
    """
    classes = [labels[labels != _IGNORED].long() for labels in (one.unique() for one in target)]
    masks = [(one == labels[:, None, None]).float() for one, labels in zip(target, classes, strict=True)]
    return masks, classes

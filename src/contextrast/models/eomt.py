"""EoMT of transformers: a plain vision transformer whose last blocks take queries along that classify masks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import EomtConfig, EomtForUniversalSegmentation
from transformers.models.eomt.modeling_eomt import EomtEmbeddings

from contextrast.models.hugging_face import binary_masks, folder_weights, semantic_logits

_DEPTHS = 4  # at which maps are contrasted


class EoMT(nn.Module):
    """Encoder-only mask transformer (Kerssies et al., CVPR 2025), transformers' class with its own losses.

    Its logits and its loss are as those of `contextrast.models.hugging_face.Mask2Former`, at stride 4; masks are
    predicted before each of the last blocks, too, and learn by the same weights 2, 5 and 5. Queries look where their
    masks are in training and afterwards: transformers has none of the paper's annealing, which ends that. Positions are
    resampled to the image's size, as DINOv2's are, where transformers takes images of one size.

    Args:
        num_classes: N.
        in_channels: Channels of the image.
        hidden_size: Width of the transformer.
        layers: Its blocks.
        heads: Attention heads of each.
        query_layers: The last blocks, which queries go through.
        num_queries: Masks per image.
        image_size: Side in pixels of the square images for which it has positions.
        patch_size: Side of its patches in pixels.
        drop_path_rate: Share of samples that skip a residual branch, 0..1.
        train_num_points: Points per mask that the loss looks at.

    Attributes:
        model: Transformers' network; its state dict is that of a folder that transformers saves.
        maps: Modules that give the transformer's maps ``[B, C, H/16, W/16]`` after a quarter, half, three quarters and
            all of its blocks.
    """

    encoder_maps = tuple(f"maps.{number}" for number in range(_DEPTHS))  # for model.contrast_on=encoder

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        hidden_size: int = 768,
        layers: int = 12,
        heads: int = 12,
        query_layers: int = 3,
        num_queries: int = 100,
        image_size: int = 512,
        patch_size: int = 16,
        drop_path_rate: float = 0.0,
        train_num_points: int = 12544,
    ) -> None:
        super().__init__()
        config = EomtConfig(
            num_labels=num_classes,
            num_channels=in_channels,
            hidden_size=hidden_size,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_blocks=query_layers,
            num_queries=num_queries,
            image_size=image_size,
            patch_size=patch_size,
            drop_path_rate=drop_path_rate,
            train_num_points=train_num_points,
        )
        self.model = _AnySize(config)
        self.maps = nn.ModuleList(nn.Identity() for _ in range(_DEPTHS))
        self._depths = [(number + 1) * layers // _DEPTHS for number in range(_DEPTHS)]

    @property
    def backbone(self) -> nn.Module:
        """The vision transformer, which has learning rates of its own."""
        return _Transformer({name: getattr(self.model, name) for name in ("embeddings", "layers", "layernorm")})

    @staticmethod
    def read_folder(folder: Path) -> dict[str, Tensor]:
        """Weights of a folder that ``save_pretrained`` of transformers wrote.

        Raises:
            WeightsError: If transformers cannot read it.
        """
        return folder_weights(EomtForUniversalSegmentation, folder, "EoMT")

    def forward(self, image: Tensor) -> dict[str, Any]:
        """Masks and classes of normalised images ``[B, C, H, W]`` whose sides the patch divides.

        Returns:
            ``logits`` ``[B, N, H/4, W/4]``, and what the loss takes: ``predictions``, for each of the last blocks and
            behind them masks ``[B, Q, H/4, W/4]`` and classes ``[B, Q, N + 1]``.
        """
        tokens, predictions = self.model.segmented(image)
        rows, columns = self.model.grid_size
        for place, depth in zip(self.maps, self._depths, strict=True):
            of_patches = tokens[depth][:, -rows * columns :]  # queries and prefix tokens come before them
            place(of_patches.transpose(1, 2).reshape(len(image), -1, rows, columns))
        masks, classes = predictions[-1]
        return {"logits": semantic_logits(classes, masks), "predictions": predictions}

    def own_loss(self, answer: Mapping[str, Any], target: Tensor) -> Tensor:
        """The network's own loss, a scalar.

        Args:
            answer: What :meth:`forward` returned.
            target: ``[B, H, W]`` class ids; 255 belongs to no mask.
        """
        masks, classes = binary_masks(target)
        losses = [
            self.model.get_loss(
                self.model.get_loss_dict(
                    masks_queries_logits=found_masks,
                    class_queries_logits=found_classes,
                    mask_labels=masks,
                    class_labels=classes,
                    auxiliary_predictions=None,
                )
            )
            for found_masks, found_classes in answer["predictions"]
        ]
        return torch.stack(losses).sum()


class _Transformer(nn.ModuleDict):
    """The parts of the transformer."""

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:  # noqa: ARG002  (timm's signature)
        """Its layers, as timm's networks tell theirs: patterns of names."""
        return {"stem": r"^embeddings", "blocks": [(r"^layers\.(\d+)", None), (r"^layernorm", (99999,))]}


class _AnySize(EomtForUniversalSegmentation):  # type: ignore[misc]  # transformers has no types
    """Transformers' network for images of any size, which keeps what it predicts on its way."""

    def __init__(self, config: EomtConfig) -> None:
        super().__init__(config)
        self.embeddings = _Positioned(config)
        self.embeddings.apply(self._init_weights)
        self._predictions: list[tuple[Tensor, Tensor]] = []

    def segmented(self, image: Tensor) -> tuple[list[Tensor], list[tuple[Tensor, Tensor]]]:
        """Tokens by the number of blocks that they went through, and masks with their classes, the last ones last."""
        side = self.config.patch_size
        self.grid_size = (image.shape[2] // side, image.shape[3] // side)
        self._predictions = []
        tokens = list(self(pixel_values=image, output_hidden_states=True).hidden_states)
        found, self._predictions = self._predictions, []
        return tokens, found

    def predict(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Masks ``[B, Q, H/4, W/4]`` and classes ``[B, Q, N + 1]`` of tokens."""
        prediction: tuple[Tensor, Tensor] = super().predict(logits)
        self._predictions.append(prediction)
        return prediction


class _Positioned(EomtEmbeddings):  # type: ignore[misc]  # likewise
    """Tokens of images of any size: its positions are resampled to their grid."""

    def forward(self, pixel_values: Tensor) -> Tensor:
        embedded = self.patch_embeddings.projection(pixel_values)
        positions = self.position_embeddings.weight
        side = round(len(positions) ** 0.5)
        grid = positions.T.reshape(1, -1, side, side)
        if embedded.shape[2:] != grid.shape[2:]:
            grid = F.interpolate(grid, size=embedded.shape[2:], mode="bicubic", align_corners=False, antialias=True)
        patches = (embedded + grid).flatten(2).transpose(1, 2)
        prefix = [token.expand(len(patches), -1, -1) for token in (self.cls_token, self.register_tokens)]
        return torch.cat([*prefix, patches], 1)

"""What a contrast of sampled pixels is given, brought to the grids of its embeddings."""

from collections.abc import Sequence

from torch import Tensor

from contextrast.contrast.negatives import mark_ignored
from contextrast.contrast.rows import at_least_float32
from contextrast.contrast.stages import StagePixels, as_rows, to_grid
from contextrast.errors import ConfigError


def stage_pixels(
    embeddings: Sequence[Tensor], target: Tensor, prediction: Tensor, num_classes: int, ignore_index: int | None
) -> list[StagePixels]:
    """Pixels of every map with their nearest labels (Wang et al., ICCV 2021; Pissas et al., ECCV 2022).

    Args:
        embeddings: Unit-length ``[B, D, H_i, W_i]``; half precision is raised to float32.
        target: Ground truth ``[B, H, W]``.
        prediction: The network's own classes ``[B, H, W]``.
        num_classes: N.
        ignore_index: Label of pixels that take part in nothing; None if there is no such label.

    Raises:
        ConfigError: If shapes do not fit.
    """
    if target.shape != prediction.shape or target.ndim != 3 or any(len(map_) != len(target) for map_ in embeddings):
        raise ConfigError(
            "target and prediction must both be [B, H, W] with the embeddings' batch of "
            f"{[len(map_) for map_ in embeddings]}, got {tuple(target.shape)} and {tuple(prediction.shape)}"
        )
    classes = mark_ignored(target, num_classes, ignore_index)
    return [
        StagePixels(
            as_rows(at_least_float32(embedding)),
            to_grid(classes, *embedding.shape[2:]),
            to_grid(prediction, *embedding.shape[2:]),
            num_classes,
            index,
        )
        for index, embedding in enumerate(embeddings)
    ]


def label_or_none(ignore_index: int | None) -> int:
    """The ignore index for a cross-entropy, which knows no None: torch's own default, which no pixel has."""
    return -100 if ignore_index is None else ignore_index

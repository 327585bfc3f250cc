"""What tells a user whether a contrast over stages works, and where it is silent."""

from collections.abc import Sequence

import torch
from torch import Tensor

from contextrast.contrast.similarity import Similarities
from contextrast.contrast.stages import StagePixels, misclassified


@torch.no_grad()
def diagnose_stages(
    stages: Sequence[StagePixels],
    similarities: Sequence[Similarities],
    negatives: Tensor,
    present: Tensor,
    temperature: float,
) -> dict[str, Tensor]:
    """Values of every stage; shares and means are of this process's images, numbers of negatives of the global batch.

    Args:
        stages: Pixels of every stage.
        similarities: Their similarities to the anchors.
        negatives: Negatives of every anchor, ``[I, N]``.
        present: Which classes occur at a stage, boolean ``[I, N]``.
        temperature: τ.

    Returns:
        ``[I]`` each but for the last:

        * ``error_share``: share of the valid pixels that are misclassified,
        * ``classes_present``: number of classes in the batch,
        * ``silent_share``: share of them without a negative, which the term neither pulls nor pushes,
        * ``positive_cosine``: mean cosine between pixels and their own class's anchor,
        * ``negative_cosine``: mean cosine over the pairs of anchor and negative,
        * ``negatives``: number of negatives, ``[I, N]``.
    """
    values: dict[str, list[Tensor]] = {}
    for pixels, similarity, numbers, occurs in zip(stages, similarities, negatives, present, strict=True):
        valid = (pixels.classes < pixels.num_classes).sum().clamp_min(1)
        wrong = misclassified(pixels.classes, pixels.predictions, pixels.num_classes)
        classes = occurs.sum()
        stage = {
            "error_share": wrong.sum() / valid,
            "classes_present": classes,
            "silent_share": (occurs & (numbers == 0)).sum() / classes.clamp_min(1),
            "positive_cosine": similarity.positive.sum() * temperature / valid,
            "negative_cosine": similarity.negative_mean * temperature,
            "negatives": numbers,
        }
        for name, value in stage.items():
            values.setdefault(name, []).append(value.to(similarity.positive.dtype))
    return {name: torch.stack(parts) for name, parts in values.items()}

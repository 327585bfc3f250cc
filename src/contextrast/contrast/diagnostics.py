"""What tells a user whether a contrast over stages works, and where it is silent."""

import torch
from torch import Tensor

from contextrast.contrast.similarity import Similarities, StageSimilarities
from contextrast.contrast.stages import StageLabels, misclassified


@torch.no_grad()
def diagnose_stages(
    labels: StageLabels,
    similarities: Similarities | StageSimilarities,
    negatives: Tensor,
    present: Tensor,
    temperature: float,
) -> dict[str, Tensor]:
    """Values of every stage; shares and means are of this process's images, numbers of negatives of the global batch.

    Args:
        labels: Labels of all stages' pixels.
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
    dtype, stages = similarities.positive.dtype, len(labels.grids)

    def of_stages(of_pixels: Tensor) -> Tensor:
        return torch.zeros(stages, dtype=dtype, device=present.device).index_add(0, labels.stages, of_pixels.to(dtype))

    valid = of_stages(labels.classes < labels.num_classes).clamp_min(1)
    wrong = misclassified(labels.classes, labels.predictions, labels.num_classes)
    classes = present.sum(1)
    values = {
        "error_share": of_stages(wrong) / valid,
        "classes_present": classes,
        "silent_share": (present & (negatives == 0)).sum(1) / classes.clamp_min(1),
        "positive_cosine": of_stages(similarities.positive) * temperature / valid,
        "negative_cosine": similarities.negative_mean * temperature,
        "negatives": negatives,
    }
    return {name: value.to(dtype) for name, value in values.items()}

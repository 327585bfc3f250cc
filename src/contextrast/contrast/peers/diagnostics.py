"""What a contrast of samples says of itself (Wang et al., ICCV 2021; Pissas et al., ECCV 2022)."""

import torch
from torch import Tensor

from contextrast.contrast.peers.groups import Samples
from contextrast.contrast.peers.pairs import class_counts
from contextrast.contrast.segments import sums_of_segments


@torch.no_grad()
def diagnose(samples: Samples, hard: Tensor, keys: Samples | None) -> dict[str, Tensor]:
    """What tells a user whether a contrast of samples works.

    Args:
        samples: What was drawn, ``[M]``.
        hard: Which of them the network misclassifies, boolean ``[M]``.
        keys: What they are compared with; None compares them with each other.

    Returns:
        Detached scalars: ``samples``, their number; ``classes_sampled``, the number of classes among them;
        ``hard_share``, the share that is misclassified; ``positive_cosine`` and ``negative_cosine``, mean cosines
        between a sample and what it is to be like and unlike.
    """
    dtype = samples.embeddings.dtype
    number = samples.filled.sum()
    occurs = torch.zeros(samples.num_classes + 1, dtype=dtype, device=hard.device).scatter(0, samples.classes, 1.0)
    positive, negative = mean_cosines(samples, keys)
    return {
        "samples": number.to(dtype),
        "classes_sampled": occurs[:-1].sum(),
        "hard_share": hard.sum().to(dtype) / number.clamp_min(1),
        "positive_cosine": positive,
        "negative_cosine": negative,
    }


@torch.no_grad()
def mean_cosines(anchors: Samples, keys: Samples | None) -> tuple[Tensor, Tensor]:
    """Mean cosine over the positive and over the negative pairs of a contrast, 0 where there is none.

    Sums over pairs are products of sums over classes, so no pair is looked at.
    """
    others = anchors if keys is None else keys
    (sums, counts), (other_sums, other_counts) = _class_sums(anchors), _class_sums(others)
    positive, number = (sums * other_sums).sum(), (counts * other_counts).sum()
    negative = (sums.sum(0) * other_sums.sum(0)).sum() - positive
    negatives = counts.sum() * other_counts.sum() - number
    if keys is None:
        positive = positive - (anchors.embeddings.square().sum(1) * anchors.filled).sum()
        number = number - counts.sum()
    return positive / number.clamp_min(1), negative / negatives.clamp_min(1)


def _class_sums(samples: Samples) -> tuple[Tensor, Tensor]:
    """Sum and number of each class's embeddings, ``[N, D]`` and ``[N]``, in the embeddings' dtype."""
    rows = samples.embeddings
    sums = sums_of_segments(rows, samples.classes, samples.num_classes + 1)
    return sums[:-1], class_counts(samples)[:-1].to(rows.dtype)

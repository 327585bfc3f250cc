"""What a contrast of samples says of itself (Wang et al., ICCV 2021; Pissas et al., ECCV 2022)."""

from typing import NamedTuple

import torch
from torch import Tensor

from contextrast.contrast.peers.groups import Samples
from contextrast.contrast.peers.pairs import class_counts
from contextrast.contrast.rows import sums_of_segments


class SampleDiagnostics(NamedTuple):
    """What tells a user that a contrast of samples works, ``[I]`` with one a stage or scalars, detached.

    Attributes:
        samples: Number of sampled pixels.
        classes_sampled: Number of classes among them.
        hard_share: Share of them that the network misclassifies.
        positive_cosine: Mean cosine between a sample and what it is to be like.
        negative_cosine: Mean cosine between a sample and what it is to be unlike.
        memory_filled: Share of the memory's slots that hold an entry, None without one.
    """

    samples: Tensor
    classes_sampled: Tensor
    hard_share: Tensor
    positive_cosine: Tensor
    negative_cosine: Tensor
    memory_filled: Tensor | None = None

    def by_name(self) -> dict[str, Tensor]:
        """The values that there are, under their names."""
        return {name: value for name, value in self._asdict().items() if value is not None}


@torch.no_grad()
def diagnose(samples: Samples, hard: Tensor, keys: Samples | None) -> SampleDiagnostics:
    """Scalars of the samples ``[M]``, of which some are ``hard``, that are compared with keys or with each other."""
    dtype = samples.embeddings.dtype
    number = samples.filled.sum()
    occurs = torch.zeros(samples.num_classes + 1, dtype=dtype, device=hard.device).scatter(0, samples.classes, 1.0)
    positive, negative = mean_cosines(samples, keys)
    return SampleDiagnostics(
        number.to(dtype), occurs[:-1].sum(), hard.sum().to(dtype) / number.clamp_min(1), positive, negative
    )


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

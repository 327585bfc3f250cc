"""The pixel-anchor loss (Contextrast, Eqs. 3 and 4) as a pure function."""

import torch
import torch.nn.functional as F
from torch import Tensor

from contextrast.contrast.similarity import Similarities


def pixel_anchor_loss(similarities: Similarities, classes: Tensor, counts: Tensor) -> Tensor:
    """Pull all pixels of a class to its anchor and push the anchor's negatives away, for one stage.

    L = 1/|N_i| Σ_n 1/|V+| Σ_{v+} softplus(log Z^n − s(v+)), which is −log(e^s / (e^s + Z)) without overflow. The
    divisor |N_i|, the classes that occur, follows Contextrast++, Eq. 5. An anchor without negatives adds 0 and counts.

    Args:
        similarities: Positives ``[P]`` and log-partitions ``[N]`` of the stage.
        classes: True class of every pixel, any shape with P elements; N marks ignored pixels.
        counts: Pixels of each class in the batch, ``[N]``.

    Returns:
        Scalar ≥ 0, a graph-connected 0 where no class occurs.
    """
    classes = classes.flatten()
    # One more bin, so that ignored pixels look up an anchor without negatives and weight 0.
    log_partition = F.pad(similarities.log_partition, (0, 1), value=-torch.inf)
    weight = F.pad(torch.where(counts > 0, counts.clamp_min(1).reciprocal(), 0), (0, 1))
    losses = F.softplus(log_partition[classes] - similarities.positive)
    return (losses * weight[classes]).sum() / (counts > 0).sum().clamp_min(1)

"""What high-dimensional vectors look like: in the plane by t-SNE, in colours by principal components."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from contextrast.contrast.stages import as_rows
from contextrast.extras import from_extra
from contextrast.reporting.figures import Picture

_CLIPPED = 0.01  # share of the values at either end of a colour's range that are clipped


class Plane(NamedTuple):
    """Points in the plane.

    Attributes:
        places: float32 ``[P, 2]``, without a unit.
        perplexity: The perplexity that was used.
        divergence: Kullback-Leibler divergence that was reached, in nats; lower is a truer picture.
    """

    places: NDArray[np.float32]
    perplexity: float
    divergence: float


def in_the_plane(rows: Tensor, seed: int, perplexity: float = 30.0) -> Plane:
    """Place vectors in the plane by t-SNE (van der Maaten and Hinton, 2008), beginning with their principal components.

    Args:
        rows: Vectors ``[P, C]``.
        seed: Seed of the optimisation.
        perplexity: Roughly how many neighbours a point tries to keep; a third of the others if they are few.

    Raises:
        ConfigError: If scikit-learn is not installed.
    """
    manifold = from_extra("sklearn.manifold", "analysis", "t-SNE")
    perplexity = min(perplexity, (len(rows) - 1) / 3)
    if perplexity <= 0 or rows.shape[1] < 2:  # a single point, or none, or nothing to reduce
        return Plane(F.pad(rows.float(), (0, 1))[:, :2].numpy(), 0.0, 0.0)
    tsne = manifold.TSNE(init="pca", perplexity=perplexity, random_state=seed)
    places: NDArray[np.float32] = tsne.fit_transform(rows.numpy())
    return Plane(places, perplexity, float(tsne.kl_divergence_))


def principal_colors(maps: Sequence[Tensor], seed: int = 0) -> tuple[list[Picture], list[float]]:
    """The first three principal components of feature maps as red, green and blue.

    The components are those of all maps' pixels together, so that a colour means the same in all of the pictures.

    Args:
        maps: Feature maps ``[C, H_i, W_i]`` on the CPU, of any sizes.
        seed: Seed of the random projections that find the components.

    Returns:
        RGB pictures ``[H_i, W_i, 3]``, and the share of the variance that each of the components explains.
    """
    rows = torch.cat([as_rows(one[None].float()) for one in maps])
    rows = rows - rows.mean(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _, _, directions = torch.pca_lowrank(rows, q=min(6, *rows.shape), center=False)
    # A component and its negative explain the same; the larger weights decide, so that colours do not flip by chance.
    directions = directions[:, :3] * directions[:, :3].pow(3).sum(0).sign()
    components = rows @ directions
    shares = components.square().sum(0) / rows.square().sum().clamp_min(torch.finfo(rows.dtype).tiny)
    ends = torch.quantile(components, torch.tensor([_CLIPPED, 1 - _CLIPPED]), dim=0)
    scaled = (components - ends[0]) / (ends[1] - ends[0]).clamp_min(torch.finfo(rows.dtype).tiny)
    colors = F.pad(scaled.clamp(0, 1) * 255, (0, 3 - components.shape[1])).round().byte()
    parts = torch.split(colors, [one[0].numel() for one in maps])
    pictures = [part.view(*one.shape[1:], 3).numpy() for part, one in zip(parts, maps, strict=True)]
    return pictures, shares.tolist()

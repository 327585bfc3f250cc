"""How the terms of a loss pull at the feature maps that they share."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def compare_gradients(weighted: Mapping[str, Tensor], features: Sequence[Tensor]) -> dict[str, Tensor]:
    """Compare the gradient of the contrast at each feature map with that of the base loss.

    A ratio far below 1 says that the contrast hardly moves the network, a cosine near 0 that it asks for something else
    than the base loss, one below 0 that they are at odds. Each costs a backward pass down to the maps; the graph stays.

    Args:
        weighted: ``base`` and ``contrast`` as they enter the total, scalars with a graph.
        features: The maps, ``[B, C_i, H_i, W_i]``.

    Returns:
        ``ratio``, ‖∇ contrast‖ / ‖∇ base‖, and ``cosine`` of the two, of this process's images, ``[I]``; empty where
        there is no contrast or no map with a gradient.
    """
    if not {"base", "contrast"} <= set(weighted) or not all(feature.requires_grad for feature in features):
        return {}
    base, contrast = (
        [gradient.flatten().float() for gradient in torch.autograd.grad(weighted[name], features, retain_graph=True)]
        for name in ("base", "contrast")
    )
    norms = [torch.stack([gradient.norm() for gradient in gradients]) for gradients in (base, contrast)]
    products = torch.stack([one @ other for one, other in zip(base, contrast, strict=True)])
    tiny = torch.finfo(products.dtype).tiny
    return {"ratio": norms[1] / norms[0].clamp_min(tiny), "cosine": products / (norms[0] * norms[1]).clamp_min(tiny)}

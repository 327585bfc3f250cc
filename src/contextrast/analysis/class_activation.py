"""Grad-CAM of a segmentation (Selvaraju et al., ICCV 2017), by the library ``grad-cam``."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from contextrast.extras import from_extra
from contextrast.models import Segmenter

_NOTHING = 1e-7  # activations below it are none


class _Tapped(nn.Module):
    """A segmenter that hands each of its stages to a module, as Grad-CAM looks at the outputs of modules.

    An encoder's map is the output of a module in some networks only. The taps change nothing, and as they pass the very
    tensor on, the gradient that is read there comes along all ways from it to the logits.
    """

    def __init__(self, network: Segmenter) -> None:
        super().__init__()
        self.network = network
        self.taps = nn.ModuleList(nn.Identity() for _ in network.stage_names)

    def forward(self, image: Tensor) -> Tensor:
        logits, features = self.network.forward_features(image)
        for tap, feature in zip(self.taps, features, strict=True):
            tap(feature)
        return logits


def class_activations(
    network: Segmenter, image: Tensor, pixels: NDArray[np.bool_], train_id: int
) -> list[NDArray[np.float32]]:
    """Where each stage of the encoder speaks for a class.

    Grad-CAM of the class's logits, summed over the given pixels: a stage's channels are weighted by the mean gradient
    of that sum, and what remains above 0 is divided by its maximum.

    Args:
        network: The network, in evaluation mode.
        image: uint8 ``[3, H, W]``.
        pixels: Whose logits count, boolean ``[H, W]``; usually those that are labelled as the class.
        train_id: The class.

    Returns:
        A map ``[H, W]`` for each of the network's stages.

    Raises:
        ConfigError: If grad-cam is not installed.
    """
    library = from_extra("pytorch_grad_cam", "analysis", "Grad-CAM")
    height, width = pixels.shape
    padded = network.pad(network.normalize(image[None].to(network.mean.device)))
    score = _summed(train_id, torch.from_numpy(pixels).to(padded.device))
    tapped = _Tapped(network)
    maps = []
    for tap in tapped.taps:  # one at a time: the library tells stages apart by the order of their gradients
        cam = library.GradCAM(model=tapped, target_layers=[tap])
        inside = cam(input_tensor=padded, targets=[score])[0, :height, :width]
        maps.append(inside / max(inside.max(), _NOTHING))  # the largest value may have been in the padding
        cam.activations_and_grads.release()
    network.zero_grad(set_to_none=True)
    return maps


def _summed(train_id: int, counted: Tensor) -> Callable[[Tensor], Tensor]:
    """Sum of a class's logits ``[N, H', W']`` over pixels ``[H, W]`` of the image, whose padding does not count."""
    height, width = counted.shape
    return lambda logits: (logits[train_id, :height, :width] * counted).sum()

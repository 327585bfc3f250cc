"""Memory of predicting a large image in windows."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from contextrast.benchmarks.inputs import training
from contextrast.benchmarks.measuring import CONSOLE, table
from contextrast.callbacks.costs import added_memory, peak_memory
from contextrast.config import instantiate
from contextrast.models import InferenceProtocol, Segmenter
from contextrast.models.devices import best_device, device_name
from contextrast.training.assembly import build_datamodule


def prediction(
    size: Sequence[int], windows: Sequence[str], batch_size: int, overrides: Sequence[str]
) -> dict[str, float | str]:
    """Memory that labelling one large image in windows takes at its peak, beside the network and the image."""
    config = training(*overrides, "model.encoder_weights=null")
    device, classes = best_device(), build_datamodule(config.data).labels.num_classes
    torch.manual_seed(0)
    network: Segmenter = instantiate(config.model, num_classes=classes)
    network = network.to(device).to(memory_format=torch.channels_last).eval()
    image = torch.randn(1, 3, *size).to(device)
    title = f"Labels of {size[0]}x{size[1]} pixels, {classes} classes, {batch_size} window(s) at once"
    shown = table(f"{title}, {device_name(device)}", "window", "GiB at the peak", "in all", "of all probabilities")
    numbers: dict[str, float | str] = {"device": device_name(device)}
    _labels(InferenceProtocol(), network, image[..., :64, :64])  # chooses kernels
    for window in windows:
        protocol = InferenceProtocol(window=[int(side) for side in window.split("x")], batch_size=batch_size)
        peak = added_memory(partial(_labels, protocol, network, image), device)
        numbers[f"{window} bytes"] = peak
        shown.add_row(
            window,
            f"{peak / 2**30:.2f}",
            f"{peak_memory(device) / 2**30:.2f}",
            f"{peak / (4 * classes * size[0] * size[1]):.2f}",
        )
    CONSOLE.print(shown)
    return numbers


@torch.inference_mode()
def _labels(protocol: InferenceProtocol, network: Segmenter, image: Tensor) -> Tensor:
    return protocol.labels(network, image)

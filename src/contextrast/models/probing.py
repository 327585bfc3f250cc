"""Facts about networks that their classes do not tell, learnt from a few small blank images."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import segmentation_models_pytorch as smp
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from contextrast.errors import ConfigError
from contextrast.models.forward_pass import ForwardPass, forward_pass


@dataclass(frozen=True)
class NetworkFacts:
    """What images a network takes, and what its encoder gives.

    Attributes:
        stride: Number that has to divide the image sides.
        smallest_side: Shortest image side in pixels.
        maps: (Channels, stride) of every feature map; the first is the image.
        single_pixel_norms: Names of the batch norms that see one value a channel and image.
        unused: Names of the parameters that neither logits nor maps depend on, such as a classifier's leftovers.
        auxiliary: Whether it computes auxiliary logits of its own.
    """

    stride: int
    smallest_side: int
    maps: tuple[tuple[int, int], ...]
    single_pixel_norms: tuple[str, ...]
    unused: tuple[str, ...]
    auxiliary: bool


def probe(network: smp.base.SegmentationModel, name: str) -> NetworkFacts:
    """Learn the facts of a network on the CPU. It and the random state stay as they were.

    Args:
        network: One of smp's models.
        name: What errors call it.

    Raises:
        ConfigError: If it does not take images of any size, or answers with logits of another size than the image's.
    """
    with _probing(network):
        stride, smallest = _sizes(network, int(network.encoder.output_stride), name)
        side = 2 * max(stride, smallest)  # so large that only a global pooling leads to single pixels
        seen, single = _watch_norms(network, torch.zeros(1, 3, side, side))
        unused = _unused_parameters(network, seen)
    if seen.logits.shape[-1] != side:
        raise ConfigError(
            f"{name} answers {side}x{side} images with {seen.logits.shape[-2]}x{seen.logits.shape[-1]} logits. "
            f"Multiply model.upsampling by {side / seen.logits.shape[-1]:g}, or change model.encoder_depth."
        )
    maps = tuple((m.shape[1], side // m.shape[3]) for m in seen.maps)
    return NetworkFacts(stride, smallest, maps, single, unused, seen.auxiliary is not None)


@contextmanager
def _probing(network: smp.base.SegmentationModel) -> Iterator[None]:
    """Evaluation mode, gradients, and one thread: more only wait for each other on images this small."""
    training, threads = network.training, torch.get_num_threads()
    torch.set_num_threads(1)
    network.eval()
    try:
        with torch.enable_grad():
            yield
    finally:
        network.train(training)
        torch.set_num_threads(threads)


def _sizes(network: smp.base.SegmentationModel, stride: int, name: str) -> tuple[int, int]:
    """The number that has to divide the sides, and the shortest side.

    DPT halves its encoder's grid once more, so twice the stride has to divide the sides; PAN pools three times more, so
    it needs sides of 8 strides.
    """
    error: Exception | None = None
    for step in (stride, 2 * stride):
        for smallest in (step, 2 * step, 4 * step, 8 * step):
            odd = max(smallest, 2 * step) + step  # an odd multiple shows a grid that is halved once more
            error = _refusal(network, smallest) or _refusal(network, odd)
            if error is None:
                return step, smallest
    raise ConfigError(
        f"{name} does not take images of any size: {error}. An encoder made for one size may need "
        "model.dynamic_img_size=true (ViT) or model.strict_img_size=false (Swin)."
    )


@torch.no_grad()
def _refusal(network: smp.base.SegmentationModel, side: int) -> Exception | None:
    """What a network raises on a blank square image, if anything."""
    try:
        network(torch.zeros(1, 3, side, side))
    except (RuntimeError, ValueError, AssertionError) as error:
        return error
    return None


def _watch_norms(network: smp.base.SegmentationModel, image: Tensor) -> tuple[ForwardPass, tuple[str, ...]]:
    """A forward pass, and the names of the batch norms that saw one value a channel and image in it."""
    single: list[str] = []
    hooks = [
        module.register_forward_pre_hook(lambda _, x, name=name: single.append(name) if _is_single(x[0]) else None)
        for name, module in network.named_modules()
        if isinstance(module, _BatchNorm)
    ]
    seen = forward_pass(network, image)
    for hook in hooks:
        hook.remove()
    return seen, tuple(single)


def _unused_parameters(network: smp.base.SegmentationModel, seen: ForwardPass) -> tuple[str, ...]:
    """Names of the parameters that get no gradient from the logits or from a map."""
    outputs = [seen.logits.sum(), *(m.sum() for m in seen.maps if m.requires_grad)]
    names, parameters = zip(*network.named_parameters(), strict=True)
    gradients = torch.autograd.grad(outputs, parameters, allow_unused=True)
    return tuple(name for name, gradient in zip(names, gradients, strict=True) if gradient is None)


def _is_single(x: Tensor) -> bool:
    return x.numel() == x.shape[0] * x.shape[1]

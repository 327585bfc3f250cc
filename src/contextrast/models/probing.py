"""Facts about networks that their classes do not tell, learnt from a few small blank images."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from contextrast.contrast.feature_maps import BLANK, blank, check_order, evaluating, is_map, stride_of
from contextrast.contrast.taps import Taps, no_map
from contextrast.errors import ConfigError
from contextrast.models.forward_pass import ForwardPass, built_of_parts, encoder_of, forward_pass

_FACTORS = (1, 2, 4, 8)  # of the stride, which networks may halve further


@dataclass(frozen=True)
class NetworkFacts:
    """What images a network takes, and what its encoder gives.

    Attributes:
        stride: Number that has to divide the image sides.
        smallest_side: Shortest image side in pixels.
        classes: Channels of the logits.
        resize: Whether the logits have another size than the image.
        maps: (Channels, stride) of every numbered map; the first is the image.
        named: (Channels, stride) of every map that is tapped.
        single_pixel_norms: Names of the batch norms that see one value per channel and image.
        unused: Names of the parameters that neither logits nor maps depend on, such as a classifier's leftovers.
        auxiliary: Whether it computes auxiliary logits of its own.
    """

    stride: int
    smallest_side: int
    classes: int
    resize: bool
    maps: tuple[tuple[int, int], ...]
    named: tuple[tuple[int, int], ...]
    single_pixel_norms: tuple[str, ...]
    unused: tuple[str, ...]
    auxiliary: bool


def probe(network: nn.Module, name: str, taps: Taps, channels: int = 3) -> NetworkFacts:
    """Learn the facts of a network on its device, which may be ``meta``. It and the random state stay as they were.

    Args:
        network: A network of either kind, see `contextrast.models.forward_pass`.
        name: What errors call it.
        taps: Of the modules that shall be contrasted.
        channels: Of the images.

    Raises:
        ConfigError: If it does not take images of any size, answers with anything else than logits, is built of parts
            and answers with logits of another size than the image's, or what is tapped is no feature map.
    """
    with _probing(network):
        stride, smallest = _sizes(network, _guessed_stride(network, name, taps, channels), name, channels)
        side = 2 * max(stride, smallest)  # so large that only a global pooling leads to single pixels
        image = blank(network, side, channels)
        seen, single = _watch_norms(network, image, taps)
        unused = _unused_parameters(network, seen)
    resize = seen.logits.shape[-2:] != image.shape[-2:]
    if resize and built_of_parts(network):
        raise ConfigError(
            f"{name} answers {side}x{side} images with {seen.logits.shape[-2]}x{seen.logits.shape[-1]} logits. "
            f"Multiply model.upsampling by {side / seen.logits.shape[-1]:g}, or change model.encoder_depth."
        )
    maps = tuple((m.shape[1], side // m.shape[3]) for m in seen.maps)
    named = tuple((m.shape[1], stride_of(m, image)) for m in seen.named)
    check_order(taps.names, [stride for _, stride in named], "model.contrast_on")
    return NetworkFacts(
        stride, smallest, seen.logits.shape[1], resize, maps, named, single, unused, seen.auxiliary is not None
    )


def _guessed_stride(network: nn.Module, name: str, taps: Taps, channels: int) -> int:
    """The stride that an encoder says it has; else that of the deepest map that is looked at.

    Raises:
        ConfigError: If something else than a feature map is tapped.
    """
    stated = getattr(encoder_of(network), "output_stride", None)
    deepest = int(stated) if isinstance(stated, int) else 1
    if not isinstance(stated, int) or taps.names:
        image = blank(network, BLANK, channels)
        try:
            with torch.no_grad():
                seen = forward_pass(network, image, taps)
        except (RuntimeError, ValueError, AssertionError) as error:
            raise ConfigError(f"{name} does not take images of {BLANK}x{BLANK} pixels: {error}.") from error
        except KeyError as error:
            raise ConfigError(
                f"model.contrast_on: {name} does not run the module {error} in a forward pass."
            ) from error
        for module, output in zip(taps.names, seen.named, strict=True):
            if not is_map(output, image):
                raise no_map(network, module, image, "model.contrast_on")
        deepest = max([deepest, *(stride_of(m, image) for m in (seen.logits, *seen.named))])
    return deepest


@contextmanager
def _probing(network: nn.Module) -> Iterator[None]:
    """Evaluation mode, gradients, and one thread: more only wait for each other on images this small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with evaluating(network), torch.enable_grad():
            yield
    finally:
        torch.set_num_threads(threads)


def _sizes(network: nn.Module, stride: int, name: str, channels: int) -> tuple[int, int]:
    """The number that has to divide the sides, and the shortest side.

    DPT halves its encoder's grid once more, so twice the stride has to divide the sides; PAN pools three times more, so
    it needs sides of 8 strides.
    """
    error: Exception | None = None
    for step in (stride * factor for factor in _FACTORS):
        for smallest in (step, 2 * step, 4 * step, 8 * step):
            odd = max(smallest, 2 * step) + step  # an odd multiple shows a grid that is halved once more
            error = _refusal(network, smallest, channels) or _refusal(network, odd, channels)
            if error is None:
                return step, smallest
    raise ConfigError(
        f"{name} does not take images of any size: {error}. An encoder made for one size may need "
        "model.dynamic_img_size=true (ViT) or model.strict_img_size=false (Swin)."
    )


@torch.no_grad()
def _refusal(network: nn.Module, side: int, channels: int) -> Exception | None:
    """What a network raises on a blank square image, if anything."""
    try:
        network(blank(network, side, channels))
    except (RuntimeError, ValueError, AssertionError) as error:
        return error
    return None


def _watch_norms(network: nn.Module, image: Tensor, taps: Taps) -> tuple[ForwardPass, tuple[str, ...]]:
    """A forward pass, and the names of the batch norms that saw one value per channel and image in it."""
    single: list[str] = []
    hooks = [
        module.register_forward_pre_hook(lambda _, x, name=name: single.append(name) if _is_single(x[0]) else None)
        for name, module in network.named_modules()
        if isinstance(module, _BatchNorm)
    ]
    seen = forward_pass(network, image, taps)
    for hook in hooks:
        hook.remove()
    return seen, tuple(single)


def _unused_parameters(network: nn.Module, seen: ForwardPass) -> tuple[str, ...]:
    """Names of the parameters that get no gradient from the logits or from a map."""
    maps = [*seen.maps, *seen.named, *([] if seen.auxiliary is None else [seen.auxiliary])]
    outputs = [seen.logits.sum(), *(m.sum() for m in maps if m.requires_grad)]
    trained = [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]
    if not trained:  # a network that is frozen already
        return ()
    names, parameters = zip(*trained, strict=True)
    gradients = torch.autograd.grad(outputs, parameters, allow_unused=True)
    return tuple(name for name, gradient in zip(names, gradients, strict=True) if gradient is None)


def _is_single(x: Tensor) -> bool:
    return x.numel() == x.shape[0] * x.shape[1]

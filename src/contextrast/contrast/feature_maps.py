"""Feature maps: what counts as one, which of a module's outputs they are, and the names that stand for them."""

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from contextrast.errors import ConfigError

BLANK = 256  # side in pixels of the image that a network of unknown stride is first tried with
_FINEST = 4  # stride; a contrast at the image's size would cost many times that of all other maps


def check_names(network: nn.Module, names: Sequence[str], argument: str) -> None:
    """Refuse names of modules that a network does not have.

    Args:
        network: The plain network.
        names: Dotted names.
        argument: What an error names as the cause.

    Raises:
        ConfigError: If there is no such module, with near matches.
    """
    if isinstance(names, str):
        raise ConfigError(f"{argument} must be a list of names of modules, got {names!r}")
    known = dict(network.named_modules())
    for name in names:
        if split_name(network, name)[0] not in known:
            near = difflib.get_close_matches(name, known, n=5, cutoff=0.5)
            hint = f"near matches: {', '.join(near)}" if near else f"it starts with {', '.join(list(known)[1:9])}"
            raise ConfigError(f"{argument}: {type(network).__name__} has no module {name}; {hint}")


def split_name(network: nn.Module, name: str) -> tuple[str, int | None]:
    """The module that a name stands for, and the number of one of its maps, where the name ends with one."""
    known = dict(network.named_modules())
    module, _, number = name.rpartition(".")
    if name not in known and module in known and number.isdecimal():
        return module, int(number)
    return name, None


def numbered_map(output: Any, number: int, image: Any, name: str) -> Tensor:
    """One of the maps that a module gives at once.

    Maps are numbered as smp numbers an encoder's: 0 is the image, where a module hands it on, and 1 the first behind
    it. Of what holds other things, too, the tensors ``[B, C, H, W]`` count, in their order.

    Args:
        output: What the module gave.
        number: Of the map.
        image: What the module was called on.
        name: What an error names as the cause.

    Raises:
        ConfigError: If there is no map of that number.
    """
    maps = [one for one in tree_leaves(output) if isinstance(one, Tensor) and one.ndim == 4]
    hands_on = bool(maps) and isinstance(image, Tensor) and maps[0].shape[-2:] == image.shape[-2:]
    first = 0 if hands_on else 1
    if not first <= number < first + len(maps) or not maps[number - first].numel():
        there = [str(place + first) for place, one in enumerate(maps) if one.numel()]
        raise ConfigError(f"{name}: there is no map {number}, the module gives {', '.join(there) or 'none'}")
    return maps[number - first]


def check_order(names: Sequence[str], strides: Sequence[int], argument: str) -> None:
    """Refuse a shallower map behind a deeper one.

    Raises:
        ConfigError: If there is one, with the right order.
    """
    if list(strides) != sorted(strides):
        by_stride = [name for _, name in sorted(zip(strides, names, strict=True), key=lambda pair: pair[0])]
        raise ConfigError(
            f"{argument} has maps of strides {list(strides)}, of which the shallowest must come first, as the last one "
            f"is the deepest that anchors are fused with: [{','.join(by_stride)}]"
        )


def is_map(output: Any, image: Tensor) -> TypeGuard[Tensor]:
    """Whether something is a feature map ``[B, C, H/s, W/s]`` of images ``[B, C', H, W]``."""
    if not isinstance(output, Tensor) or output.ndim != 4 or not output.numel():
        return False
    (full_height, full_width), (height, width) = image.shape[-2:], output.shape[-2:]
    # One stride leads to both sides, rounded up or down. It does not where the channels come last, as in Swin.
    return full_height * (width - 1) < full_width * (height + 1) and full_width * (height - 1) < full_height * (
        width + 1
    )


def stride_of(feature: Tensor, image: Tensor) -> int:
    """Stride of a feature map in pixels."""
    return image.shape[-1] // feature.shape[-1]


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode; each module's own mode afterwards."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training  # as `train()` would, which sets it for all within, too


def maps_of(output: Any, image: Tensor) -> dict[int, Tensor]:
    """The feature maps of a module's output, by their places among all that it holds."""
    if isinstance(output, Tensor):
        return {0: output} if is_map(output, image) else {}
    found = {index: one for index, one in enumerate(tree_leaves(output)) if is_map(one, image)}
    return {index: one for index, one in found.items() if stride_of(one, image) >= _FINEST}


def blank(network: nn.Module, side: int, channels: int = 3) -> Tensor:
    """A square image ``[1, channels, side, side]`` on the device and in the dtype of a network's parameters."""
    like = next((one for one in network.parameters() if one.is_floating_point()), torch.empty(0))
    return torch.zeros(1, channels, side, side, device=like.device, dtype=like.dtype)

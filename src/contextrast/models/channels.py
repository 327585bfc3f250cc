"""What the number of an image's channels asks of a network, and of the numbers that images are normalised by."""

from collections.abc import Callable, Sequence
from inspect import signature

import torch
from torch import Tensor, nn

from contextrast.errors import ConfigError

RGB = 3


def network_for(make: Callable[..., nn.Module], num_classes: int, in_channels: int) -> nn.Module:
    """A network of what makes it.

    Args:
        make: Called with ``num_classes``, and with ``in_channels`` where these are not three.
        num_classes: N.
        in_channels: Of the images.

    Raises:
        ConfigError: If it cannot be made for so many channels.
    """
    if in_channels == RGB:
        return make(num_classes=num_classes)
    known = signature(make).parameters
    if "in_channels" not in known and not any(one.kind is one.VAR_KEYWORD for one in known.values()):
        raise ConfigError(
            f"data.channels={in_channels}: {getattr(make, 'func', make).__name__} takes images of three channels, as "
            "its constructor has no argument in_channels. Choose another model, or add the argument."
        )
    return make(num_classes=num_classes, in_channels=in_channels)


def per_channel(name: str, values: Sequence[float], channels: int) -> Tensor:
    """Numbers that images are normalised by, one for each channel, ``[1, C, 1, 1]``.

    Raises:
        ConfigError: If there are more or fewer, or a standard deviation is not above 0.
    """
    if len(values) != channels or (name == "std" and min(values) <= 0):
        each = "red, green, blue" if channels == RGB else "one per channel, as contextrast-check prints them"
        raise ConfigError(
            f"model.{name} needs {channels} number(s) ({each}; std above 0) in units of 0..1, got {list(values)}."
        )
    return torch.tensor([float(value) for value in values]).view(1, channels, 1, 1)


def refuse_other(image: Tensor, channels: int, name: str) -> None:
    """Refuse images ``[B, C, H, W]`` that are not of these channels.

    Raises:
        ConfigError: If they have another number.
    """
    if image.shape[1] != channels:
        raise ConfigError(
            f"Images have {image.shape[1]} channel(s), and {name} takes {channels}. Train with data.channels="
            f"{image.shape[1]}, or give it images like those that it was trained on."
        )

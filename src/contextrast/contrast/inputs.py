"""What a loss is called with: refused in one sentence that names the argument, where it does not fit."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from contextrast.contrast.rows import at_least_float32
from contextrast.errors import ConfigError

_HAS_ASSERTION = ("cpu", "cuda")  # devices with a kernel for torch._assert_async


def checked_labels(logits: Tensor, target: Tensor, num_classes: int, ignore_index: int | None) -> Tensor:
    """Refuse logits and labels that do not fit a loss or each other.

    Args:
        logits: Floating ``[B, N, H, W]``.
        target: ``[B, H, W]`` of any integer dtype.
        num_classes: N.
        ignore_index: Label of pixels that take part in nothing; None if there is no such label.

    Returns:
        The target as int64.

    Raises:
        ConfigError: If a shape, dtype or device does not fit, or a label is out of range. In a compiled loss such a
            label is a RuntimeError, on a GPU a failed assertion of the device, with the same sentence.
    """
    _check_maps("logits", logits, "[B, N, H, W]")
    if logits.shape[1] != num_classes:
        raise ConfigError(
            f"logits must have one channel for each of num_classes={num_classes}, got {_described(logits)}"
        )
    grid = [logits.shape[0], *logits.shape[2:]]
    if not isinstance(target, Tensor) or list(target.shape) != grid:
        raise ConfigError(f"target must be [B, H, W] = {grid}, of the logits' size, got {_described(target)}")
    if target.is_floating_point() or target.is_complex() or target.dtype == torch.bool:
        raise ConfigError(f"target must hold labels of an integer dtype such as torch.int64, got {target.dtype}")
    if target.device != logits.device:
        raise ConfigError(f"target must be on the logits' device {logits.device}, got {target.device}")
    labels = target.long()
    _check_range(labels, num_classes, ignore_index)
    return labels


def checked_weight(weight: Tensor, target: Tensor, ignore_index: int | None) -> tuple[Tensor, Tensor]:
    """Refuse weights that are none of the target's pixels, and leave out pixels without weight.

    Args:
        weight: Floating ``[B, H, W]``, 0 or more.
        target: Labels int64 ``[B, H, W]``.
        ignore_index: Label of pixels that take part in nothing.

    Returns:
        The weights in float32 or wider, and the target with the ignore index where the weight is 0.

    Raises:
        ConfigError: If shape, dtype or device does not fit, or no label stands for pixels that take part in nothing.
    """
    if not isinstance(weight, Tensor) or weight.shape != target.shape or not weight.is_floating_point():
        raise ConfigError(f"weight must be floating [B, H, W] = {list(target.shape)}, got {_described(weight)}")
    if weight.device != target.device:
        raise ConfigError(f"weight must be on the target's device {target.device}, got {weight.device}")
    if ignore_index is None:
        raise ConfigError("weight needs an ignore_index, for the label of pixels whose weight is 0")
    if weight.device.type in _HAS_ASSERTION:
        try:
            torch._assert_async(((weight >= 0) & weight.isfinite()).all(), "weight must hold numbers of 0 or more")
        except RuntimeError as error:
            raise ConfigError("weight must hold numbers of 0 or more, one for each pixel") from error
    weight = weight.detach()
    return at_least_float32(weight), target.masked_fill(weight == 0, ignore_index)


def check_features(features: Sequence[Tensor], logits: Tensor, device: torch.device) -> None:
    """Refuse features that are no feature maps of the images that logits are of.

    Args:
        features: Floating ``[B, C_i, H_i, W_i]``, as many as there are.
        logits: ``[B, N, H, W]``.
        device: Where the loss is.

    Raises:
        ConfigError: If one does not fit.
    """
    if not isinstance(features, list | tuple):
        raise ConfigError(f"features must be a list of feature maps [B, C, H, W], got {_described(features)}")
    for index, feature in enumerate(features):
        _check_maps(f"features[{index}]", feature, "[B, C, H, W]")
        if len(feature) != len(logits):
            raise ConfigError(
                f"features[{index}] must be of the logits' batch of {len(logits)}, got {_described(feature)}"
            )
    for name, tensor in (("logits", logits), *((f"features[{i}]", feature) for i, feature in enumerate(features))):
        if tensor.device != device:
            raise ConfigError(f"{name} must be on the loss's device {device}, got {tensor.device}: move one with .to()")


def check_widths(features: Sequence[Tensor], in_channels: Sequence[int]) -> None:
    """Refuse feature maps of another number or width than those that embedding heads were made for.

    Args:
        features: ``[B, C_i, H_i, W_i]``.
        in_channels: Channels C_i.

    Raises:
        ConfigError: If they differ.
    """
    widths = [feature.shape[1] for feature in features]
    if widths != list(in_channels):
        raise ConfigError(
            f"features must be {len(in_channels)} maps with the channels {list(in_channels)} that in_channels names, "
            f"shallowest first, got {len(widths)} with {widths}"
        )


def _check_maps(name: str, maps: Tensor, form: str) -> None:
    if not isinstance(maps, Tensor) or maps.ndim != 4 or not maps.numel():
        raise ConfigError(f"{name} must be {form}, none of them 0, got {_described(maps)}")
    if not maps.is_floating_point():
        raise ConfigError(f"{name} must have a floating dtype, got {maps.dtype}")


def _check_range(labels: Tensor, num_classes: int, ignore_index: int | None) -> None:
    """Refuse labels that are no class, int64 ``[B, H, W]``.

    The assertion is of the device, so that no host waits for it and no graph breaks at it: a CPU raises at once, a GPU
    when it gets there. It takes a hundredth of the time of a cross-entropy.
    """
    if labels.device.type not in _HAS_ASSERTION:
        return
    expected = f"target must hold labels 0 to {num_classes - 1}"
    valid = (labels >= 0) & (labels < num_classes)
    if ignore_index is not None:
        expected += f", or the ignore_index {ignore_index}"
        valid |= labels == ignore_index
    try:
        torch._assert_async(valid.all(), expected)
    except RuntimeError:
        label = int(labels[~valid][0])
        raise ConfigError(f"{expected}, got {label}") from None


def _described(value: Any) -> str:
    return str(list(value.shape)) if isinstance(value, Tensor) else f"a {type(value).__name__}"

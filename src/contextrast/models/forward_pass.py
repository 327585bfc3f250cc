"""One forward pass of a network with everything a training loss may look at, whatever way the network is built.

A network is any module of images to logits. There are two kinds:

* Built of parts: with modules ``encoder``, ``decoder`` and ``segmentation_head``, as smp's models are. The encoder
  makes a list of feature maps of an image, the image first, of which the decoder makes what the head turns into logits
  of the image's size. Its maps have numbers.
* Any other: it answers with logits ``[B, N, h, w]`` at any stride, or a mapping that has them as ``logits`` or
  ``out`` (transformers, torchvision), and perhaps auxiliary ones as ``aux``. Its maps are outputs of modules, by name:
  those in its attribute ``encoder_maps``, or what the user names. With a method ``own_loss(answer, target)``, as
  Mask2Former has, it learns by that in place of a loss of its logits.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from contextrast.contrast.taps import Taps
from contextrast.errors import ConfigError
from contextrast.models.coarse import CoarseLogits

_PARTS = ("encoder", "decoder", "segmentation_head")
_LOGITS = ("logits", "out")
_AUXILIARY = "aux"


class ForwardPass(NamedTuple):
    """What a network computes of a batch of images.

    Attributes:
        logits: ``[B, N, H, W]``, at the image's resolution.
        maps: The encoder's feature maps ``[B, C_i, H/s_i, W/s_i]`` by number: the image, stage 1, stage 2, ...; empty
            where the network is not built of parts.
        auxiliary: Logits ``[B, N, h, w]`` of an auxiliary head that the network itself has, as OCRNet does.
        named: Outputs of the modules that are tapped.
        answer: What a network answered that has a loss of its own, else None.
    """

    logits: Tensor
    maps: Sequence[Tensor]
    auxiliary: Tensor | None
    named: list[Tensor]
    answer: Any = None


def built_of_parts(network: nn.Module) -> bool:
    """Whether a network has an encoder whose maps are numbered."""
    return all(isinstance(getattr(network, part, None), nn.Module) for part in _PARTS)


def encoder_of(network: nn.Module) -> nn.Module:
    """The part of a network that usually is pretrained, ``encoder`` or ``backbone``; an empty module without one."""
    parts = (getattr(network, name, None) for name in ("encoder", "backbone"))
    return next((part for part in parts if isinstance(part, nn.Module)), nn.Identity())


def segment(network: nn.Module, image: Tensor, resize: bool) -> Tensor:
    """The logits of a network and nothing else, which is all there is to deploy.

    Args:
        network: A network of either kind.
        image: float ``[B, C, H, W]`` of a size that the network takes.
        resize: Whether its logits have another size than the image.

    Returns:
        ``[B, N, H, W]``.
    """
    logits = _logits(network(image))
    return _to_size(logits, image) if resize else logits


def coarse_logits(network: nn.Module, image: Tensor) -> CoarseLogits:
    """As `segment`, without the interpolation that usually is the last layer.

    Args:
        network: A network of either kind.
        image: float ``[B, 3, H, W]`` of a size that the network takes.
    """
    height, width = image.shape[2:]
    if not built_of_parts(network):
        return CoarseLogits(_logits(network(image)), height, width, width)
    layers, corners = _without_interpolation(network.get_submodule("segmentation_head"))
    values, _, _ = _by_parts(network, image, nn.Sequential(*layers))
    return CoarseLogits(values, height, width, width, corners)


def _without_interpolation(head: nn.Module) -> tuple[list[nn.Module], bool]:
    """The layers of a head but for a bilinear interpolation at its end, and whether that aligns corners."""
    layers = list(head) if isinstance(head, nn.Sequential) else [head]
    while layers and all(isinstance(leaf, nn.Identity) for leaf in layers[-1].modules() if not any(leaf.children())):
        layers.pop()
    last = layers[-1] if layers else None
    if isinstance(last, nn.Upsample) and last.mode == "bilinear":
        return layers[:-1], bool(last.align_corners)
    return layers, False


def forward_pass(network: nn.Module, image: Tensor, taps: Taps, resize: bool = False) -> ForwardPass:
    """The forward pass with nothing thrown away.

    Args:
        network: A network of either kind.
        image: float ``[B, C, H, W]`` of a size the network takes.
        taps: Of the modules whose outputs are wanted.
        resize: See `segment`.
    """
    answer: Any = None
    with taps.open() as taken:
        if built_of_parts(network):
            logits, maps, auxiliary = _by_parts(network, image, network.get_submodule("segmentation_head"))
        else:
            answer = network(image)
            logits, maps = _logits(answer), []
            auxiliary = answer.get(_AUXILIARY) if isinstance(answer, Mapping) else None
    logits = _to_size(logits, image) if resize else logits
    own = answer if hasattr(network, "own_loss") else None
    return ForwardPass(logits, maps, auxiliary, [taken[name] for name in taps.names], own)


def _by_parts(network: Any, image: Tensor, head: nn.Module) -> tuple[Tensor, Sequence[Tensor], Tensor | None]:
    """The forward pass of smp's models and of those built like them, with the head that makes logits."""
    encoded = network.encoder(image)
    if isinstance(encoded, tuple):  # ViT encoders: maps without the image, and prefix tokens
        maps, tokens = encoded
        decoded = network.decoder(maps, tokens)
        encoded = [image, *maps]
    else:
        decoded = network.decoder(encoded)
    auxiliary = None
    if isinstance(decoded, tuple):  # OCRNet's decoder: what it decoded, and the logits its object regions come from
        decoded, auxiliary = decoded
    return head(decoded), encoded, auxiliary


def _logits(answer: Any) -> Tensor:
    """The logits in a network's answer.

    Raises:
        ConfigError: If there are none.
    """
    if isinstance(answer, Mapping):
        answer = next((answer[key] for key in _LOGITS if key in answer), answer)
    if not isinstance(answer, Tensor) or answer.ndim != 4:
        raise ConfigError(
            f"The network answers images with {_in_words(answer)}. It has to be logits [B, N, h, w], or a mapping that "
            f"has them as {' or '.join(_LOGITS)}."
        )
    return answer


def _in_words(answer: Any) -> str:
    if isinstance(answer, Tensor):
        return f"a tensor {list(answer.shape)}"
    return (
        f"a mapping of {', '.join(map(str, answer))}" if isinstance(answer, Mapping) else f"a {type(answer).__name__}"
    )


def _to_size(logits: Tensor, image: Tensor) -> Tensor:
    return F.interpolate(logits, size=image.shape[-2:], mode="bilinear", align_corners=False)

"""Which of a network's feature maps are contrasted: names of modules, where they are not the encoder's stages."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import segmentation_models_pytorch as smp
from torch import nn

from contextrast.contrast.feature_maps import check_names
from contextrast.errors import ConfigError

ContrastOn = Literal["encoder", "decoder"] | Sequence[str]

# Modules of smp's decoders whose outputs are maps of several strides, shallowest first. Decoders that are not here work
# at one stride.
_OF_SMP: dict[type[nn.Module], Callable[[Any], Sequence[str]]] = {
    smp.FPN: lambda _: [f"decoder.p{level}" for level in (2, 3, 4, 5)],
    smp.UPerNet: lambda n: [*_shallowest_first("decoder.fpn_conv_blocks", n.decoder.fpn_conv_blocks), "decoder.psp"],
    smp.Unet: lambda n: _shallowest_first("decoder.blocks", n.decoder.blocks)[_FINE:],
    smp.UnetPlusPlus: lambda n: [
        f"decoder.blocks.x_0_{k}" for k in reversed(range(len(n.decoder.in_channels) - _FINE))
    ],
    smp.MAnet: lambda n: _shallowest_first("decoder.blocks", n.decoder.blocks)[_FINE:],
    smp.Linknet: lambda n: _shallowest_first("decoder.blocks", n.decoder.blocks)[_FINE:],
    smp.PAN: lambda n: [f"decoder.gau{level}" for level in (1, 2, 3) if hasattr(n.decoder, f"gau{level}")],
    smp.DeepLabV3Plus: lambda _: ["decoder.block2", "decoder.aspp"],
    smp.Segformer: lambda n: _shallowest_first("decoder.mlp_stage", n.decoder.mlp_stage)[-_STAGES:],
    smp.DPT: lambda n: _shallowest_first("decoder.fusion_blocks", n.decoder.fusion_blocks),
}
_FINE = 2  # of the blocks of smp's U-shaped decoders the last ones, at strides 2 and 1
_STAGES = 4  # of a hierarchical encoder, from stride 4 on


def contrasted_modules(
    network: nn.Module, contrast_on: ContrastOn, stages: Sequence[int] | None = None
) -> tuple[str, ...]:
    """Names of the modules whose outputs a loss contrasts, shallowest first; none for the encoder's numbered stages.

    Args:
        network: The plain network.
        contrast_on: ``encoder`` or ``decoder``, which a network of ours or of the user's answers by an attribute
            ``encoder_maps`` or ``decoder_maps``; or the names themselves.
        stages: Numbers of stages that were asked for, if any.

    Raises:
        ConfigError: If the network has no such modules, or names its maps where numbers were asked for.
    """
    if contrast_on == "encoder":
        stated = tuple(getattr(network, "encoder_maps", ()))
        if stated and stages is not None:
            raise ConfigError(
                f"model.stages={list(stages)}: the maps of {type(network).__name__} have names instead of numbers. "
                f"Leave it out, or choose among them: model.contrast_on=[{','.join(stated)}]."
            )
        return stated
    if contrast_on == "decoder":
        names = getattr(network, "decoder_maps", None) or _OF_SMP.get(type(network), lambda _: ())(network)
        if not names:
            raise ConfigError(
                f"model.contrast_on=decoder: {type(network).__name__} has no decoder whose maps are known. Name "
                f"modules inside it, shallowest first: model.contrast_on=[{','.join(_examples(network))}]."
            )
        return tuple(names)
    if isinstance(contrast_on, str):
        raise ConfigError(f"model.contrast_on={contrast_on}: it is encoder, decoder, or a list: [{contrast_on}].")
    check_names(network, contrast_on, "model.contrast_on")
    return tuple(contrast_on)


def _examples(network: nn.Module) -> list[str]:
    """The last modules that contain others, two levels deep; all of the decoder's where none of its modules does."""
    names = [name for name, _ in network.named_modules() if name.count(".") == 1]
    of_decoder = [name for name in names if name.startswith("decoder.")]
    containers = [name for name in names if any(network.get_submodule(name).children())]
    return ([name for name in containers if name in of_decoder] or of_decoder or containers)[-2:]


def _shallowest_first(name: str, blocks: nn.ModuleList) -> list[str]:
    """The names of blocks of which each takes what the deeper one before it gave."""
    return [f"{name}.{number}" for number in reversed(range(len(blocks)))]

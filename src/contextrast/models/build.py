"""Building smp's models, and ours, by name: unknown names and options become errors with near matches."""

import difflib
import inspect
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import timm

from contextrast.errors import ConfigError, WeightsError
from contextrast.models.hrnet import HRNetV2
from contextrast.models.linear_head import LinearHead
from contextrast.models.ocr import OCRNet

ARCHITECTURES: dict[str, type[smp.base.SegmentationModel]] = {
    cls.__name__: cls for cls in (*smp.MODEL_ARCHITECTURES_MAPPING.values(), HRNetV2, OCRNet, LinearHead)
}

IMAGENET = "imagenet"
_OWN = (
    "self", "encoder_name", "encoder_weights", "in_channels", "classes", "aux_params", "activation", "kwargs",
    "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir",  # weights elsewhere
)  # fmt: skip


def build_network(
    architecture: str,
    encoder: str,
    encoder_weights: str | Path | None,
    num_classes: int,
    in_channels: int,
    options: dict[str, Any],
) -> smp.base.SegmentationModel:
    """Build a plain network; only ``imagenet`` lets smp fetch weights.

    Args:
        architecture: One of :data:`ARCHITECTURES`, in any case.
        encoder: Name of one of smp's encoders; ``tu-NAME`` is timm's model NAME.
        encoder_weights: ``imagenet`` for the hub's weights; anything else leaves the encoder random.
        num_classes: Channels of the logits.
        in_channels: Channels of the images; of other than three, smp and timm repeat or sum a first convolution's
            weights, see `contextrast.models.weights.load_encoder_weights`.
        options: Further arguments of the architecture, and of timm's encoders.

    Raises:
        ConfigError: If a name or an option does not exist, or smp cannot combine them.
        WeightsError: If the hub's weights cannot be had.
    """
    build = {name.lower(): cls for name, cls in ARCHITECTURES.items()}.get(architecture.lower())
    if build is None:
        raise ConfigError(f"Unknown model.architecture={architecture}. {_near(architecture, ARCHITECTURES)}")
    if ":" in encoder:  # timm takes `hf-hub:NAME` and `local-dir:PATH`, and asks for them at once
        raise ConfigError(
            f"model.encoder={encoder} names a place. Name an encoder; its weights are model.encoder_weights."
        )
    _check_options(options, inspect.signature(build.__init__).parameters, architecture, encoder)
    try:
        with warnings.catch_warnings():
            # smp deprecates the names `timm-*`, but those encoders have weights and settings of their own.
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.filterwarnings("ignore", message="For 'tu-'", category=UserWarning)
            return build(
                encoder_name=encoder,
                encoder_weights=IMAGENET if encoder_weights == IMAGENET else None,
                in_channels=in_channels,
                classes=num_classes,
                **options,
            )
    except Exception as error:  # whatever smp, timm or the hub raise becomes one error that names the setting
        raise _explain(error, architecture, encoder, encoder_weights) from error


def refuse_names(**settings: Any) -> None:
    """Refuse settings that build a network, beside one that is given.

    Raises:
        ConfigError: If there are any.
    """
    given = [name for name, value in settings.items() if value is not None]
    if given:
        raise ConfigError(
            f"model.{given[0]} beside model.network: a network that is given is built by its own class. Put its "
            "options under model.network, or leave model.network out."
        )


def network_name(model: Mapping[str, Any]) -> str:
    """What messages and model cards call the network of a ``model`` configuration."""
    own = model.get("network")
    if own and "_target_" in own:
        return str(own["_target_"])
    return f"{model.get('architecture')} over {model.get('encoder')}"


def _check_options(options: Iterable[str], known: Iterable[str], architecture: str, encoder: str) -> None:
    """Refuse misspelt options: smp hands what it does not know to the encoder, and most encoders drop it silently."""
    if own := sorted(set(options) & set(_OWN)):
        raise ConfigError(f"model.{own[0]} cannot be set: it follows from the other model.* settings. Remove it.")
    unknown = sorted(set(options) - set(known))
    if unknown and not encoder.startswith("tu-"):  # timm's models have options of their own and refuse unknown ones
        raise ConfigError(
            f"{architecture} has no option model.{unknown[0]}. {_near(unknown[0], set(known) - set(_OWN))}"
        )


def _explain(
    error: Exception, architecture: str, encoder: str, encoder_weights: str | Path | None
) -> ConfigError | WeightsError:
    known = [*smp.encoders.get_encoder_names(), *(f"tu-{name}" for name in timm.list_models())]
    if encoder.partition(".")[0] not in known:
        return ConfigError(f"Unknown model.encoder={encoder}. {_near(encoder, known)}")
    if encoder_weights == IMAGENET:
        return WeightsError(
            f"The hub's weights for {encoder} could not be had: {error}. Without a connection set "
            "model.encoder_weights to lite0, null or a local file."
        )
    return ConfigError(f"{architecture} over {encoder} cannot be built: {error}. Change the model.* setting it names.")


def _near(name: str, known: Iterable[str]) -> str:
    """A hint with the nearest names, letter case aside."""
    by_lower = {entry.lower(): entry for entry in known}
    if near := difflib.get_close_matches(name.lower(), by_lower, n=5, cutoff=0.5):
        return f"Near matches: {', '.join(by_lower[entry] for entry in near)}."
    return f"Some that exist: {', '.join(sorted(by_lower.values())[:20])}."

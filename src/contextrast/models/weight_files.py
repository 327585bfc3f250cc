"""Reading weight files: tensors only, nothing in a file is executed, and nothing takes more memory than the file."""

import contextlib
import io
import itertools
import pickletools
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors.torch import load_file
from torch import Tensor

from contextrast.errors import WeightsError, first_sentence

State = dict[str, Tensor]

_IN_FOLDERS = ("model.safetensors", "pytorch_model.safetensors", "pytorch_model.bin")
UNORDERED = ".safetensors"  # keeps no order of its own
# Prefixes that DataParallel, smp's timm encoders, Lightning modules and torch.compile add to names.
_WRAPPERS = ("module.", "model.", "network.", "_orig_mod.")
_LISTED = 10
_TENSORS = re.compile(  # what torch reads, of a pickle that it does not
    r"torch\.(_utils\._rebuild_\w+|serialization\._get_layout|(storage\.)?\w*Storage|per_\w+|Size|device|Tensor"
    r"|b?float\w*|q?u?int\w*|complex\w+|bool)|collections\.OrderedDict"
)
_UNREADABLE = (
    ValueError,
    OSError,
    EOFError,
    OverflowError,
    MemoryError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_weights(path: Path, setting: str) -> State:
    """Tensors of a weight file, on the CPU, in the file's order.

    Args:
        path: A .pth, .pt, .ckpt, .bin or .safetensors file, or a folder with one by the name that transformers and
            timm give it.
        setting: What the user should set instead if there is no such file.

    Raises:
        WeightsError: If it is missing, damaged, or holds anything but tensors and plain containers.
    """
    path = next((path / name for name in _IN_FOLDERS if (path / name).is_file()), path)
    if not path.is_file():
        raise WeightsError(f"No weight file at {path.absolute()}. Set {setting}.")
    try:
        if path.suffix == UNORDERED:
            return load_file(path, device="cpu")
        with path.open("rb") as file:
            content = load_plain(file)
    except Exception as error:  # a damaged or hostile stream can provoke any
        if named := refused_code(path, error):
            raise WeightsError(
                f"{named} Save the network's state_dict() alone, by torch.save as it is or best as .safetensors."
            ) from error
        raise WeightsError(
            f"{path} is damaged or no weight file ({first_sentence(error)}). Fetch or write it again."
        ) from error
    return _tensors(content, path)


def load_plain(file: BinaryIO, map_location: Any = "cpu") -> Any:
    """Tensors and plain containers of a file of ``torch.save``; nothing of it is executed.

    It takes no more memory than the file has bytes: ``torch.save`` compresses nothing and stores everything once.

    Args:
        file: The file.
        map_location: Where tensors go, as ``torch.load`` takes it.

    Raises:
        ValueError: If an archive unpacks to more than the file, or a tensor stands for more numbers than it has, or is
            sparse, quantised or complex.
        Exception: Whatever a damaged or hostile stream provokes.
    """
    size = file.seek(0, io.SEEK_END)
    if _is_archive(file):
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(record.file_size for record in archive.infolist())
        if unpacked > size:
            raise ValueError(f"it unpacks to {unpacked} bytes from {size}, which torch's own files never do")
    file.seek(0)
    content = torch.load(file, map_location=map_location, weights_only=True)
    for name, value in _tensors_inside(content):
        kinds = {
            "quantised": value.is_quantized,
            "sparse": value.layout != torch.strided,
            "complex": value.is_complex(),
        }
        kind = next((kind for kind, is_so in kinds.items() if is_so), None)
        if kind is None and (value.is_meta or value.untyped_storage().nbytes() < value.numel() * value.element_size()):
            kind = "larger than what is stored of it"
        if kind is not None:
            raise ValueError(f"{name} is {kind}; dense real numbers are needed")
    return content


def _tensors_inside(content: Any) -> Iterator[tuple[str, Tensor]]:
    """All tensors in plain containers with their keys, each container once: it may hold itself."""
    open_, seen = [("the content", content)], set()
    while open_:
        name, value = open_.pop()
        if isinstance(value, Tensor):
            yield name, value
        elif isinstance(value, Mapping | list | tuple | set) and id(value) not in seen:
            seen.add(id(value))
            items = value.items() if isinstance(value, Mapping) else enumerate(value)
            open_.extend((str(key), item) for key, item in items)


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
    return problems + [
        f"{name} is {tuple(found[name].shape)} in the {source}, {tuple(value.shape)} in the {target}"
        for name, value in expected.items()
        if name in found and found[name].shape != value.shape
    ]


def listed(problems: list[str]) -> str:
    """The first problems, one per line, and how many more there are."""
    more = [f"... and {len(problems) - _LISTED} more"] if len(problems) > _LISTED else []
    return "\n".join(f"  {problem}" for problem in [*problems[:_LISTED], *more])


def refused_code(path: Path, error: Exception) -> str | None:
    """Why a file was refused that holds more than tensors and plain containers; None if that is not the reason.

    Args:
        path: The file.
        error: What ``torch.load`` says; it names nothing of pickles that ``torch.save`` does not write by itself.
    """
    if "Weights only" not in str(error):
        return None
    found = re.search(r"GLOBAL ([\w.]+)", str(error))
    names = [found[1]] if found else list(_named(path))
    if name := next((name for name in names if not _TENSORS.fullmatch(name)), None):
        return (
            f"{path} was refused: it holds a {name}, and only tensors and plain containers are read, which run no code."
        )
    if names and "Unsupported operand" in str(error):
        return f"{path} was refused: it is pickled otherwise than torch.save does by itself (pickle_protocol=2)."
    return None


def _named(path: Path) -> Iterator[str]:
    """What a pickle, bare or in an archive, names of Python's modules, in its order; nothing is executed."""
    texts: list[str | None] = []
    memo: dict[Any, str | None] = {}
    pushed: str | None = None
    with contextlib.suppress(*_UNREADABLE):
        stream = io.BytesIO(_pickle_of(path))
        pickles = iter(lambda: pickletools.genops(stream), None)  # of before archives there are several in a row
        for opcode, argument, _ in itertools.chain.from_iterable(pickles):
            if opcode.name in {"GLOBAL", "INST", "STACK_GLOBAL"}:
                name = str(argument).replace(" ", ".", 1) if argument else ".".join(map(str, texts[-2:]))
                if all(part.isidentifier() for part in name.split(".")):
                    yield name
            elif opcode.name == "MEMOIZE" or "PUT" in opcode.name:
                memo[len(memo) if argument is None else argument] = pushed
            elif "GET" in opcode.name:
                texts.append(pushed := memo.get(argument))
            elif isinstance(argument, str):
                texts.append(pushed := argument)
            else:
                pushed = None


def _is_archive(file: BinaryIO) -> bool:
    """Whether ``torch.load`` takes a file for an archive; it is then at its beginning again."""
    file.seek(0)
    marked = file.read(4) == b"PK\x03\x04"
    file.seek(0)
    return marked


def _pickle_of(path: Path) -> bytes:
    """The pickle of ``torch.save`` in an archive, else the file itself; its first 4 MiB."""
    with path.open("rb") as file:
        if not _is_archive(file):
            return file.read(1 << 22)
        with zipfile.ZipFile(file) as archive:
            name = next((name for name in archive.namelist() if name.endswith("data.pkl")), "")
            return archive.open(name).read(1 << 22) if name else b""


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

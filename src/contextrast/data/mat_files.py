"""Label maps in MATLAB files, as PASCAL-Context and COCO-Stuff 10k are distributed."""

import io
import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import scipy.sparse
from numpy.typing import NDArray
from scipy.io.matlab import matfile_version

from contextrast.data.text_files import normal
from contextrast.errors import DataError

_LARGEST = np.iinfo(np.uint16).max
_MOST_BYTES = 1 << 28  # of a variable, decompressed: 33 million pixels as doubles

# Types of elements and classes of variables in the format's version 5
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15
_NUMBERS = frozenset((1, 2, 3, 4, 5, 6, 7, 9, 12, 13))
_CELL, _CHAR, _SPARSE, _NUMERIC = 1, 4, 5, range(6, 16)
_VERSION_5 = 1


def mat_files(folder: Path) -> dict[str, Path]:
    """List the ``.mat`` files of a folder (not of folders inside), sorted by name.

    Returns:
        Path by file name without suffix; empty where there is no such folder.
    """
    return {normal(path.stem): path for path in sorted(folder.glob("[!.]*.mat"))}


def read_mat(path: Path, *variables: str) -> dict[str, NDArray[Any]]:
    """Read variables of a ``.mat`` file (MATLAB up to 7.2) and skip all others.

    Returns:
        Those that the file holds, by name.

    Raises:
        DataError: The file is missing, damaged, or no such file.
    """
    try:
        stored = path.read_bytes()
        _refuse_odd_types(stored, variables)
        content = scipy.io.loadmat(io.BytesIO(stored), variable_names=variables)  # type: ignore[arg-type]  # the stub knows paths only
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist. Check the path, or fetch the file.") from error
    except Exception as error:  # what damage makes scipy raise ranges from IndexError to zlib.error
        raise DataError(
            f"{path} cannot be read ({error}). It is truncated or no .mat file of MATLAB 7.2 or older: fetch it again."
        ) from error
    return {name: content[name] for name in variables if name in content}


def label_map(content: Mapping[str, NDArray[Any]], variable: str, path: Path) -> NDArray[np.uint16]:
    """A file's label map, in a type that holds every label.

    Args:
        content: What `read_mat` read.
        variable: Name of the label map in it.
        path: The file, for messages.

    Returns:
        Labels as the file has them ``[H, W]``.

    Raises:
        DataError: The variable is missing, or no matrix of whole numbers.
    """
    labels = content.get(variable)
    if labels is None:
        raise DataError(
            f"{path} has no variable {variable}, which should be its label map; it holds {_held(path)}. Fetch it again."
        )
    if scipy.sparse.issparse(labels):
        raise DataError(f"{variable} in {path} is a sparse matrix. Write it in full: {variable} = full({variable}).")
    whole = labels.dtype.kind in "ui" or (labels.dtype.kind == "f" and not (labels % 1).any())
    if not whole or labels.ndim != 2 or labels.size == 0 or labels.min() < 0 or labels.max() > _LARGEST:
        raise DataError(
            f"{variable} in {path} is no label map: it is {labels.shape} {labels.dtype}, and should be a matrix of "
            f"whole numbers from 0 to {_LARGEST}."
        )
    return labels.astype(np.uint16)


def _held(path: Path) -> str:
    """The variables of a file."""
    try:
        return ", ".join(name for name, _, _ in scipy.io.whosmat(path)) or "nothing"
    except Exception:  # damage that reading other variables had not met
        return "what cannot be read"


def _refuse_odd_types(content: bytes, variables: Sequence[str]) -> None:
    """Look through variables of a file before scipy reads them: a type it does not know would crash the process.

    Raises:
        ValueError: A variable holds something else than numbers, text and lists of them, or is cut off or too large.
    """
    if matfile_version(io.BytesIO(content))[0] != _VERSION_5:  # type: ignore[arg-type]  # the stub knows paths only
        return
    order = "<" if content[126:128] == b"IM" else ">"
    position = 128
    while position < len(content):
        kind, size = struct.unpack_from(f"{order}II", content, position)
        element = content[position : position + 8 + size]
        if kind == _COMPRESSED:
            unpacker = zlib.decompressobj()
            element = unpacker.decompress(element[8:], _MOST_BYTES)
            if unpacker.unconsumed_tail:
                raise ValueError(f"a variable has more than {_MOST_BYTES >> 20} MiB")
        _Elements(element, order).check_variable(variables)
        position += 8 + size


class _Elements:
    """Reads a variable's elements one after the other, as scipy does.

    Args:
        content: Bytes of the variable.
        order: Of its bytes, ``<`` or ``>``.
    """

    def __init__(self, content: bytes, order: str) -> None:
        self._content = content
        self._order = order
        self._position = 0

    def check_variable(self, names: Sequence[str], inside_a_cell: bool = False) -> None:
        """Go through a variable if its name is one of these; all those inside a cell, whatever their names."""
        size = self._next(_MATRIX, whole=False)[1]
        if size == 0:
            return
        flags = self._next(_UINT32)[2]
        word = struct.unpack_from(f"{self._order}I", flags)[0]
        kind, is_complex = word & 0xFF, bool(word & 0x800)
        dimensions = np.frombuffer(self._next(_INT32)[2], f"{self._order}i4")
        name = self._next(_INT8)[2].decode("latin1")
        if not inside_a_cell and name not in names:
            return
        if kind == _CELL and not inside_a_cell:
            for _ in range(math.prod(dimensions.tolist())):
                self.check_variable(names, inside_a_cell=True)
        elif kind == _CHAR:
            self._next()
        elif kind in _NUMERIC or kind == _SPARSE:
            for _ in range((3 if kind == _SPARSE else 1) + is_complex):
                if (found := self._next()[0]) not in _NUMBERS:
                    raise ValueError(f"{name or 'a variable'} has numbers of the unknown type {found}")
        else:
            raise ValueError(f"{name or 'a variable'} is of class {kind}, neither numbers nor text")

    def _next(self, expected: int | None = None, whole: bool = True) -> tuple[int, int, bytes]:
        """Type, size and content of the next element; a variable's content is entered rather than skipped."""
        start = self._position
        kind, size = struct.unpack_from(f"{self._order}II", self._content, start)
        if kind >> 16:  # a small element: size, type and content in eight bytes
            kind, size = kind & 0xFFFF, kind >> 16
            content, self._position = self._content[start + 4 : start + 4 + size], start + 8
        else:
            content, self._position = self._content[start + 8 : start + 8 + size], start + 8 + size + -size % 8
        if expected is not None and kind != expected:
            raise ValueError(f"an element has type {kind} where the format has {expected}")
        if not whole:
            self._position = start + 8
        elif len(content) < size:
            raise ValueError("it is cut off")
        return kind, size, content

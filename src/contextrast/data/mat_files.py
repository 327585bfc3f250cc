"""Label maps in MATLAB files, as PASCAL-Context and COCO-Stuff 10k are distributed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import scipy.sparse
from numpy.typing import NDArray

from contextrast.errors import DataError

_LARGEST = np.iinfo(np.uint16).max


def mat_files(folder: Path) -> dict[str, Path]:
    """Lists the ``.mat`` files of a folder (not of folders inside), sorted by name.

    Returns:
        Path by file name without suffix; empty where there is no such folder.
    """
    return {path.stem: path for path in sorted(folder.glob("[!.]*.mat"))}


def read_mat(path: Path, *variables: str) -> dict[str, NDArray[Any]]:
    """Reads variables of a ``.mat`` file (MATLAB up to 7.2) and skips all others.

    Returns:
        Those that the file holds, by name.

    Raises:
        DataError: The file is missing, damaged, or no such file.
    """
    try:
        content = scipy.io.loadmat(str(path), appendmat=False, variable_names=variables)
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

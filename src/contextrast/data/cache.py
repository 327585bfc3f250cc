"""Decoded images and masks, kept in files so that later epochs and runs do not decode them again."""

import fcntl
import hashlib
import os
import pickle
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from contextrast.data.decoding import Picture
from contextrast.data.pairing import given_path
from contextrast.errors import ConfigError

_VERSION = 3  # of what a file holds
_COUNT = "bytes"  # the file that holds how many bytes the others were given


class DecodedCache:
    """Decoded samples in a folder, which all processes of a machine share; on a RAM disk it is a cache in memory.

    A sample is found again by the paths, sizes and times of its files and by what decodes its mask, so a changed file
    or another setting is another sample. What does not fit under the limit is decoded every time: as training reads
    every sample once an epoch, making room for one would only throw another one out before its turn. A file of it that
    is damaged is decoded anew. It never fails a run: a full disk ends the filling with a warning.

    Args:
        folder: Made where it is missing; delete it to empty the cache. The operating system's RAM disk, such as
            ``/dev/shm/contextrast``, keeps samples in memory.
        limit: Bytes that the folder may hold.

    Raises:
        ConfigError: If the limit is not positive, or the folder cannot be made.
    """

    def __init__(self, folder: str | Path, limit: int) -> None:
        if limit < 1:
            raise ConfigError(f"data.cache_gib={limit / 2**30:g} has to be positive; data.cache=null switches it off.")
        self.folder = given_path("data.cache", folder)
        self.limit = limit
        self._full = False
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"data.cache={folder} cannot be made: {error}. Name another folder.") from error

    def read(
        self, files: Sequence[Path], settings: object, channels: int, decode: Callable[[], tuple[Picture, Picture]]
    ) -> tuple[Picture, Picture]:
        """A sample, from the cache or decoded.

        Args:
            files: What it is decoded from.
            settings: What else the result depends on; has to be picklable.
            channels: Of the image, C.
            decode: Reads image ``[H, W, C]`` and mask ``[H, W]``, both uint8.

        Returns:
            What ``decode`` returns.
        """
        path = self.folder / f"{_key(files, settings)}.npy"
        try:
            both = np.load(path, allow_pickle=False)
            if both.dtype != np.uint8 or both.ndim != 3 or both.shape[2] != channels + 1:
                raise ValueError("no image and mask")
            return both[..., :-1], both[..., -1]
        except (OSError, ValueError, EOFError):  # there is none, or it is damaged
            damaged = path.exists()
        image, mask = decode()
        if image.shape[:2] == mask.shape and not self._full and (damaged or self._reserved(image.nbytes + mask.nbytes)):
            self._keep(path, np.dstack([image, mask]))
        return image, mask

    def _reserved(self, size: int) -> bool:
        """Whether there is room, which is then counted as taken; over all processes."""
        try:
            with (self.folder / _COUNT).open("a+") as count:
                fcntl.flock(count, fcntl.LOCK_EX)  # until it is closed
                count.seek(0)
                taken = int(count.read() or 0) + size
                self._full = taken > self.limit
                if not self._full:
                    count.truncate(0)
                    count.write(str(taken))
        except (OSError, ValueError) as error:
            self._stop(error)
        return not self._full

    def _keep(self, path: Path, both: Picture) -> None:
        """Write a file whole or not at all."""
        draft = path.with_suffix(f".{os.getpid()}")
        try:
            with draft.open("wb") as file:
                np.save(file, both, allow_pickle=False)
            draft.replace(path)
        except OSError as error:
            draft.unlink(missing_ok=True)
            self._stop(error)

    def _stop(self, error: Exception) -> None:
        self._full = True
        warnings.warn(f"data.cache={self.folder} takes no more samples: {error}", stacklevel=2)


def _key(files: Sequence[Path], settings: object) -> str:
    seen = [(str(path.absolute()), status.st_size, status.st_mtime_ns) for path in files for status in [path.stat()]]
    return hashlib.sha256(pickle.dumps((_VERSION, seen, settings))).hexdigest()

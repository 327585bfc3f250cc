"""Checkpoint files that are whole or not there: written beside, flushed, renamed; and verified when they are read.

A checkpoint is torch's zip file with the SHA-256 of all that precedes it as the archive's comment: one file, so that
content and hash cannot part, and ``torch.load`` reads it as any other. Files without a hash, of older versions or of
other tools, are read as they are.
"""

import contextlib
import hashlib
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import torch
from lightning.fabric.plugins import CheckpointIO
from typing_extensions import override

from contextrast.errors import CheckpointError, first_sentence
from contextrast.models.weight_files import load_plain, refused_code

log = logging.getLogger(__name__)

_MARK: Final = b"sha256:"
_COMMENT: Final = len(_MARK) + 64  # bytes of mark and hexadecimal digest


@dataclass(frozen=True)
class ReadCheckpoint:
    """A checkpoint that was verified and read.

    Attributes:
        path: The file.
        content: What was in it, on the CPU; plain data and tensors.
    """

    path: Path
    content: Any


class CheckpointFiles(CheckpointIO):
    """Lightning's plugin that writes with `write_checkpoint` and reads with `read_checkpoint`.

    Args:
        read: A checkpoint that was read already; when it is asked for, its content is handed over, once.
    """

    def __init__(self, read: ReadCheckpoint | None = None) -> None:
        super().__init__()
        self._read = read

    @override
    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint; called in one process."""
        write_checkpoint(checkpoint, Path(path))

    @override
    def load_checkpoint(
        self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Verify and read a checkpoint; nothing in it is executed unless ``weights_only=False`` asks for that."""
        read, plain = self._read, weights_only is not False
        if read is not None and Path(path) == read.path and map_location in (None, "cpu") and plain:
            self._read = None  # whoever loads it lets go of it in time
            handed: dict[str, Any] = read.content
            return handed
        content: dict[str, Any] = read_checkpoint(Path(path), map_location or "cpu", plain)
        return content

    @override
    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a file, if it is there."""
        Path(path).unlink(missing_ok=True)


def write_checkpoint(content: object, path: Path) -> None:
    """Write a checkpoint under its name only when it is complete and on the disk.

    Whenever the process dies, ``path`` is the file that was there before or the new one. What is left of an unfinished
    one, ``<name>.tmp``, is replaced by the next save.

    Args:
        content: What ``torch.save`` takes.
        path: The file; its folder is made.

    Raises:
        CheckpointError: If it cannot be written, as on a full disk; then nothing is left of it.
    """
    unfinished = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("w+b") as file:
            torch.save(content, file)
            file.seek(-2, os.SEEK_END)  # the length of the archive's comment ends the archive
            file.write(_COMMENT.to_bytes(2, "little"))
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.write(_MARK + digest.encode())
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)  # noqa: PTH105  (the call that is atomic, by its own name)
        _flush_folder(path.parent)
    except (OSError, RuntimeError) as error:  # torch's writer turns the system's errors into RuntimeErrors
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise CheckpointError(_unwritten(path, error)) from error


def read_checkpoint(path: Path, map_location: Any = "cpu", weights_only: bool = True) -> Any:
    """Verify a checkpoint and read it, both from the file as it was opened.

    Args:
        path: The file.
        map_location: Where tensors go, as ``torch.load`` takes it.
        weights_only: Whether to read plain data alone, so that nothing in the file is executed.

    Raises:
        CheckpointError: If it is missing, truncated or altered, or no checkpoint.
    """
    with _opened(path) as file:
        _verify(file, path)
        return _load(file, path, map_location, weights_only)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file, open for reading; the system's errors while it is are errors of the checkpoint."""
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}).{_instead(path)}") from error


def _load(file: BinaryIO, path: Path, map_location: Any, weights_only: bool) -> Any:
    """What ``torch.load`` makes of an open file."""
    try:
        if weights_only:
            return load_plain(file, map_location)
        file.seek(0)
        return torch.load(file, map_location=map_location, weights_only=False)
    except Exception as error:  # what a damaged file makes the unpickler raise has no common type
        if named := refused_code(path, error):
            raise CheckpointError(f"{named}{_instead(path)}") from error
        raise CheckpointError(
            f"{path} cannot be read ({first_sentence(error)}). It is damaged, or no checkpoint.{_instead(path)}"
        ) from error


def _verify(file: BinaryIO, path: Path) -> None:
    """Compare a checkpoint with the hash that it carries; a file without one passes.

    Raises:
        CheckpointError: If it is not what was written.
    """
    length = file.seek(0, os.SEEK_END) - _COMMENT
    file.seek(max(0, length))
    comment = file.read()
    if length <= 0 or not comment.startswith(_MARK):
        return
    file.seek(0)
    found = _digest(file, length)
    if found != comment[len(_MARK) :].decode(errors="replace"):
        raise CheckpointError(
            f"{path} is damaged: its content is not what was written (SHA-256 {found[:12]}... instead of the recorded "
            f"one). Copy it again if it was copied.{_instead(path)}"
        )


def valid_checkpoint(path: Path) -> ReadCheckpoint:
    """A checkpoint to go on from, read: this one, or where it is damaged the newest one before it that is whole.

    Args:
        path: The file; those before it are ``<stem>-1<suffix>``, ``<stem>-2<suffix>``, ....

    Returns:
        What was read from ``path``, or with a warning on the log from another one.

    Raises:
        CheckpointError: If none of them is whole; tells of ``path``.
    """
    try:
        return ReadCheckpoint(path, read_checkpoint(path))
    except CheckpointError as error:
        for earlier in previous_checkpoints(path):
            with contextlib.suppress(CheckpointError):
                read = ReadCheckpoint(earlier, read_checkpoint(earlier))
                log.warning("%s Goes on from the one before it, %s.", error, earlier)
                return read
        raise


def keep_previous(path: Path, count: int) -> None:
    """Keep a checkpoint that is about to be replaced, under the name of the one before.

    Args:
        path: The file; it stays in its place, too.
        count: How many earlier ones to keep; older ones are removed.
    """
    kept = previous_checkpoints(path)
    for older in kept[max(0, count - 1) :]:
        older.unlink()
    for number in range(min(count - 1, len(kept)), 0, -1):
        _numbered(path, number).replace(_numbered(path, number + 1))
    if count > 0 and path.is_file():
        try:
            os.link(path, _numbered(path, 1))  # a second name for the same bytes
        except OSError:  # file systems that have one name a file
            copy = path.with_name(path.name + ".tmp")
            shutil.copyfile(path, copy)
            copy.replace(_numbered(path, 1))


def previous_checkpoints(path: Path) -> list[Path]:
    """The checkpoints that were kept before this one, newest first."""
    found: list[Path] = []
    while (earlier := _numbered(path, len(found) + 1)).is_file():
        found.append(earlier)
    return found


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}-{number}{path.suffix}")


def _digest(file: Any, length: int) -> str:
    """SHA-256 of the next bytes of a file, in pieces."""
    digest = hashlib.sha256()
    while length > 0 and (piece := file.read(min(length, 1 << 22))):
        digest.update(piece)
        length -= len(piece)
    return digest.hexdigest()


def _flush_folder(folder: Path) -> None:
    """Make a renaming survive a loss of power, where the file system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _unwritten(path: Path, error: Exception) -> str:
    """What happened to a checkpoint that could not be written, and what to do."""
    reason = getattr(error, "strerror", None) or first_sentence(error)
    free = ""
    with contextlib.suppress(OSError):
        free = f" {shutil.disk_usage(path.parent).free / 2**20:.0f} MiB are free there."
    kept = "The one before is untouched." if path.is_file() else "Nothing was left of it."
    return (
        f"The checkpoint {path} could not be written ({reason}).{free} {kept} Make room, or choose another folder with "
        "paths.runs=PATH, and go on with resume=RUN_FOLDER."
    )


def _instead(path: Path) -> str:
    """Which checkpoints to take instead of a damaged one."""
    others = [*previous_checkpoints(path), *(path.with_name(name) for name in ("last.ckpt", "best.ckpt"))]
    there = [str(other) for other in dict.fromkeys(others) if other != path and other.is_file()]
    return f" Use another one: {', '.join(there)}." if there else " Its run has no other one."

"""Reads what W&B wrote offline, and keeps W&B away from the user's account, home and terminal."""

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wandb.proto import wandb_internal_pb2

BLOCK = 32 * 1024
HEADER = 7  # of the file: ":W&B", a magic number, a version; and of every chunk: checksum, length, kind
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def sign_out(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """A home without any key, and an environment that does not mention W&B."""
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("WANDB_SILENT", "true")


def read_records(file: Path) -> Iterator[wandb_internal_pb2.Record]:
    """The records of a ``.wandb`` file: LevelDB's log format around protobuf messages."""
    data = file.read_bytes()
    assert data[:4] in (b":W&B", b"")
    place, message = HEADER, b""
    while place + HEADER <= len(data):
        if (left := BLOCK - place % BLOCK) < HEADER:  # no chunk begins in the last bytes of a block
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + HEADER])
        if place + HEADER + length > len(data):  # still being written
            return
        message += data[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in (FULL, LAST):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(message)
            message = b""
            yield record


class Record:
    """One offline run.

    Attributes:
        folder: Its folder.
        history: Every value logged, by name and in order.
        config: The run's configuration.
        run: The run's own record: project, group, tags.
        exit_code: None while the run is not finished.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.history: dict[str, list[Any]] = {}
        self.config: dict[str, Any] = {}
        self.run: Any = None
        self.exit_code: int | None = None
        for file in folder.glob("*.wandb"):
            for record in read_records(file):
                self._take(record)

    def _take(self, record: wandb_internal_pb2.Record) -> None:
        kind = record.WhichOneof("record_type")
        if kind == "history":
            for item in record.history.item:
                self.history.setdefault(item.key or "/".join(item.nested_key), []).append(json.loads(item.value_json))
        elif kind == "config":
            self._configure(record.config.update)
        elif kind == "run":
            self.run = record.run
            self._configure(record.run.config.update)
        elif kind == "exit":
            self.exit_code = record.exit.exit_code

    def _configure(self, items: Any) -> None:
        self.config |= {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}

    def file(self, path: str) -> Path:
        """A file that the record speaks of."""
        return self.folder / "files" / path


def records_in(run_dir: Path, patience: float = 60.0) -> list[Record]:
    """All offline runs of a run folder. W&B's own process may write for a moment after a run was finished."""
    deadline = time.monotonic() + patience
    while True:
        records = [Record(folder) for folder in sorted((run_dir / "wandb").glob("offline-run-*"))]
        if all(record.exit_code is not None for record in records) or time.monotonic() > deadline:
            return records
        time.sleep(0.1)

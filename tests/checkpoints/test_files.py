"""Checkpoints that are whole or not there, and the same when they are read."""

import hashlib
import os
import resource
import zipfile

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contextrast.checkpoints.files import (
    keep_previous,
    previous_checkpoints,
    read_checkpoint,
    valid_checkpoint,
    write_checkpoint,
)
from contextrast.errors import CheckpointError


def content(step=1):
    return {"global_step": step, "state_dict": {"weight": torch.arange(3000.0) + step}}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "checkpoints" / "last.ckpt"
    write_checkpoint(content(), path)
    return path


def steps(folder):
    return {file.name: torch.load(file, weights_only=True)["global_step"] for file in folder.iterdir()}


def test_any_torch_and_any_zip_reads_it(path):
    assert torch.equal(torch.load(path, weights_only=True)["state_dict"]["weight"], torch.arange(3000.0) + 1)
    assert torch.load(path, weights_only=True, mmap=True)["global_step"] == 1
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.comment == b"sha256:" + hashlib.sha256(path.read_bytes()[:-71]).hexdigest().encode()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_changed_byte_is_noticed(path, place, flip):
    whole = path.read_bytes()
    body = len(whole) - 71
    damaged = bytearray(whole)
    damaged[int(place * body)] ^= flip
    path.write_bytes(damaged)
    try:
        with pytest.raises(CheckpointError, match=r"last\.ckpt is damaged.*SHA-256"):
            read_checkpoint(path)
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_file_is_noticed_and_another_one_named(path, share):
    keep_previous(path, 1)
    whole = path.read_bytes()
    path.unlink()  # the one before is a second name of the same bytes
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError, match=r"last\.ckpt cannot be read.*Use another one: .*last-1\.ckpt"):
        read_checkpoint(path)


def test_files_of_before_hashes_are_read(tmp_path):
    torch.save(content(7), tmp_path / "old.ckpt")
    assert read_checkpoint(tmp_path / "old.ckpt")["global_step"] == 7


@pytest.mark.timeout(60)  # the time does not depend on what is allowed
@pytest.mark.parametrize("count", [0, 1, 3, 10**12])
def test_as_many_are_kept_as_asked_for(tmp_path, count):
    path = tmp_path / "last.ckpt"
    for step in range(1, 7):
        keep_previous(path, count)
        write_checkpoint(content(step), path)
    assert steps(tmp_path) == {"last.ckpt": 6} | {
        f"last-{number}.ckpt": 6 - number for number in range(1, min(count, 5) + 1)
    }
    keep_previous(path, 0)
    assert previous_checkpoints(path) == []


def test_file_systems_without_links_get_copies(path, monkeypatch):
    def refuse(*names):
        raise OSError("not supported")

    monkeypatch.setattr(os, "link", refuse)
    keep_previous(path, 1)
    write_checkpoint(content(2), path)
    assert steps(path.parent) == {"last.ckpt": 2, "last-1.ckpt": 1}


def test_the_one_before_is_taken_with_a_warning(path, caplog):
    for step in (2, 3):
        keep_previous(path, 2)
        write_checkpoint(content(step), path)
    assert valid_checkpoint(path).path == path
    assert not caplog.records
    for name in ("last.ckpt", "last-1.ckpt"):
        damaged = bytearray((path.parent / name).read_bytes())
        damaged[1000] ^= 1
        (path.parent / name).write_bytes(damaged)
    assert valid_checkpoint(path).path == path.parent / "last-2.ckpt"
    assert "last.ckpt is damaged" in caplog.text
    assert "last-2.ckpt" in caplog.text
    (path.parent / "last-2.ckpt").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"last\.ckpt is damaged"):
        valid_checkpoint(path)


def test_a_disk_that_fills_leaves_the_one_before_and_nothing_else(path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(CheckpointError, match=r"last\.ckpt could not be written.*The one before is untouched"):
            write_checkpoint({"global_step": 2, "weight": torch.zeros(1_000_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert steps(path.parent) == {"last.ckpt": 1}

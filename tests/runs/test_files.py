"""The run folder's JSON files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from contextrast.runs import files as run_files
from contextrast.runs.files import environment, write_json


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "metrics.json"
    write_json(path, {"miou": 0.5, "confusion": [[1, 2], [3, 4]], "names": ["a[\n", "b"]})
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(path, {"miou": float("nan")})
    with pytest.raises(TypeError):
        write_json(path, {"miou": object()})
    assert json.loads(path.read_text()) == {"miou": 0.5, "confusion": [[1, 2], [3, 4]], "names": ["a[\n", "b"]}
    assert "[1, 2]" in path.read_text(), "a row of numbers takes one line"
    assert list(path.parent.iterdir()) == [path], "nothing temporary is left"
    assert path.stat().st_mode & 0o444 == 0o444


def test_the_environment_is_json_and_names_what_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "42")
    monkeypatch.setattr(sys, "argv", ["contextrast-train", "data.root=my data"])
    content = json.loads(json.dumps(environment(), allow_nan=False))
    assert content["seed"] == 42
    assert content["command"] == "contextrast-train 'data.root=my data'"
    assert content["versions"]["torch"]
    assert content["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert content["hardware"]["cores"] >= 1
    assert content["hardware"]["torch_threads"] >= 1
    assert content["hardware"]["cpu"]
    monkeypatch.delenv("PL_GLOBAL_SEED")
    assert environment()["seed"] is None


def test_the_commit_is_that_of_the_package_and_of_no_other_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=tester", "-c", "user.email=tester@example.org"]
        done = subprocess.run(["git", *identity, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    source = tmp_path / "files.py"
    source.write_text("")
    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "--message", "somebody's own work")
    monkeypatch.setattr(run_files, "__file__", str(source))
    assert environment()["git"] is None, "a file that is not tracked does not come from this repository"
    git("add", "files.py")
    git("commit", "--quiet", "--message", "the package")
    assert environment()["git"] == {"commit": git("rev-parse", "HEAD"), "modified": False}
    source.write_text("changed")
    assert environment()["git"]["modified"] is True
    monkeypatch.setenv("PATH", "")
    assert environment()["git"] is None, "without git"

"""What a run says first and last, and that its last lines can be pasted."""

import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from contextrast.errors import CheckpointError
from contextrast.tasks.announcing import next_commands
from contextrast.tasks.chosen import LAST, checkpoint_or_export, find_checkpoint, link_latest
from tests.cli import commands
from tests.conftest import TINY


def run_folder(path):
    """A folder as a run leaves it, with a checkpoint that nothing reads."""
    (path / LAST.parent).mkdir(parents=True)
    (path / LAST).write_bytes(b"")
    return path


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """A tiny run by the command: its output, and the folder that it was typed in."""
    folder = tmp_path_factory.mktemp("announced")
    done = commands.run("train", *TINY, "logger=csv", "callbacks.pictures.num_images=0", cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout, folder


def test_the_first_lines_say_what_begins_and_random_weights_loudly(started):
    printed, _ = started
    begun = printed.partition("Parameters")[0]
    for word in ("FPN over", "RANDOM", "streets: ", "11 classes", "ContextrastLoss on cross_entropy", "CPU", "32-true"):
        assert word in begun


def test_the_log_has_what_was_printed(started):
    printed, folder = started
    log = (folder / "runs" / "latest" / "train.log").read_text()
    for line in ("reached", "next:", "contextrast-evaluate checkpoint="):
        assert line in printed
        assert line in log


def test_the_last_lines_name_the_run_s_checkpoint(started, monkeypatch):
    printed, folder = started
    monkeypatch.chdir(folder)
    line = next(line for line in printed.splitlines() if line.strip().startswith("contextrast-evaluate"))
    asked = shlex.split(line)[1].removeprefix("checkpoint=")
    assert Path(checkpoint_or_export(asked, Path("runs"))) == (folder / "runs" / "latest").resolve() / LAST


@pytest.mark.parametrize("name", ["plain", "12", "null", "a b", "x=1,y", "[/x] {1}", "it's", 'a"b', "${x}"])
def test_what_is_to_be_typed_next_survives_shell_and_hydra(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    folder = run_folder(tmp_path / "runs" / name)
    for command in next_commands(folder):
        for word in shlex.split(command)[1:]:
            if word.startswith(("checkpoint=", "start_from=")):
                (override,) = OverridesParser.create().parse_overrides([word])
                value = override.value()
                text = str(getattr(value, "text", value)).replace(r"\${", "${")
                assert Path(text).resolve() == folder.resolve()


def test_a_run_s_folder_stands_for_its_last_checkpoint(tmp_path):
    run = run_folder(tmp_path / "run")
    assert checkpoint_or_export(str(run), tmp_path) == str(run / LAST)
    assert checkpoint_or_export(str(run / LAST), tmp_path) == str(run / LAST)
    assert checkpoint_or_export("latest", tmp_path) == str(run / LAST)
    assert checkpoint_or_export(str(tmp_path / "model.onnx"), tmp_path) == str(tmp_path / "model.onnx")
    with pytest.raises(CheckpointError, match="latest"):
        checkpoint_or_export("latest", tmp_path / "elsewhere")


def test_the_link_leads_to_the_run_that_was_begun_last(tmp_path):
    runs = tmp_path / "runs"
    first, second = run_folder(runs / "a" / "1"), run_folder(runs / "b" / "2")
    for run in (first, second):
        link_latest(run, runs)
        assert (runs / "latest").resolve() == run
        assert find_checkpoint(str(runs / "latest"), runs, "resume") == run / LAST
    assert find_checkpoint("latest", runs, "resume") in (first / LAST, second / LAST)
    assert len(list(runs.rglob("last.ckpt"))) == 2, "the link is not gone through"


def test_what_is_no_link_of_ours_is_left_alone(tmp_path):
    runs = tmp_path / "runs"
    run = run_folder(runs / "a")
    (runs / "latest").mkdir()
    link_latest(run, runs)
    assert not (runs / "latest").is_symlink()
    link_latest(run_folder(tmp_path / "elsewhere"), tmp_path / "others")
    assert not (tmp_path / "others").exists()

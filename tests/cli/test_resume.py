"""A run that stopped goes on: same folder, same settings, same curves and the same W&B run."""

import contextlib
import csv
import json
import os
import shutil
import sys

import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from contextrast.checkpoints.files import valid_checkpoint, write_checkpoint
from contextrast.cli import train
from contextrast.config import plain
from contextrast.errors import CheckpointError, ConfigError
from contextrast.runs.settings import differing_keys, flat, results
from contextrast.tasks.chosen import find_checkpoint
from contextrast.tasks.old_records import recorded_settings
from contextrast.tasks.resume import checkpoint_of_job, resumed_arguments
from tests.conftest import TINY

SHORT = [text for text in TINY if "max_steps" not in text]
COMMAND = [
    *SHORT, "loss=ce", "scheduler=constant", "trainer.max_steps=4", "trainer.val_check_interval=2",
    "trainer.log_every_n_steps=1",
    "logger=default", "model.decoder_dropout=0.0", "logger.wandb.table_images=2", "callbacks.pictures.num_images=0",
    "logger.wandb.artifacts=[config]",
]  # fmt: skip


def start(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["train", *arguments])
    train.main()


NEWER = (
    "module.freeze_encoder",
    "module.gradient_interval",
    "start_from",
    "data.validate",
    "callbacks.averaged_weights",
)
"""Settings that runs of earlier versions do not have."""


def forget(path, *keys):
    """Takes settings out of a record, as if it had been made before they existed."""
    config = OmegaConf.load(path)
    for key in keys:
        parent, _, name = key.rpartition(".")
        del (OmegaConf.select(config, parent) if parent else config)[name]
    OmegaConf.save(config, path)


class Openings:
    """Counts how often a file is opened for reading, by whatever code of this process."""

    def __init__(self):
        self.path, self.count = None, 0
        sys.addaudithook(self._hear)  # which cannot be taken away again

    def _hear(self, event, arguments):
        if event == "open" and self.path is not None and arguments[1] in ("r", "rb"):
            self.count += str(arguments[0]) == self.path

    @contextlib.contextmanager
    def of(self, path):
        self.path, self.count = str(path), 0
        yield
        self.path = None


@pytest.fixture(scope="module")
def openings():
    return Openings()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, openings):
    """Where a run stopped after two of four steps, as if killed, and then went on."""
    folder = tmp_path_factory.mktemp("resume")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        start(patch, *COMMAND, "hydra.run.dir='runs/a=1,b'")
        run = folder / "runs" / "a=1,b"
        whole = json.loads((run / "metrics.json").read_text())
        start(patch, *COMMAND, "trainer.max_steps=2", "hydra.run.dir=runs/stopped")
        stopped = folder / "runs" / "stopped"
        (stopped / "metrics.json").unlink()
        forget(stopped / "config.yaml", *NEWER)
        with (stopped / "metrics.csv").open("a") as file:
            file.write("9" + "," * 3 + "\n")  # of a step after the checkpoint
        with openings.of(stopped / "checkpoints" / "last.ckpt"):
            start(patch, "resume=latest", "trainer.max_steps=4")
    return folder, whole, stopped


def test_the_run_takes_the_steps_that_were_left(folder):
    _, whole, stopped = folder
    again = json.loads((stopped / "metrics.json").read_text())
    assert again["step"] == whole["step"] == 4
    last = torch.load(stopped / "checkpoints" / "last.ckpt", weights_only=True)
    taken = {int(value) for key, value in last["state_dict"].items() if key.endswith("num_batches_tracked")}
    assert taken - {0} == {4}, "batch normalisation has seen the batches of both starts, each once"


def test_the_checkpoint_is_verified_and_read_once(folder, openings):
    assert openings.count == 1


def test_the_curves_go_on_and_no_step_is_there_twice(folder):
    with (folder[2] / "metrics.csv").open(newline="") as file:
        steps = [int(row["step"]) for row in csv.DictReader(file) if row.get("train/loss")]
    assert steps == [1, 2, 3, 4]


def test_the_w_and_b_run_is_the_same(folder):
    ids = [path.name.rpartition("-")[2] for path in (folder[2] / "wandb").glob("offline-run-*")]
    assert len(ids) == 2
    assert len(set(ids)) == 1


def test_what_was_typed_is_kept_without_the_resumption(folder):
    text = (folder[2] / "overrides.yaml").read_text()
    assert "loss=ce" in text
    assert "resume" not in text
    assert "resume:" not in (folder[2] / "config.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["resume=runs/stopped"], ["finished", "4 steps"]),
        (["resume=runs/stopped", "trainer.max_steps=6", "data.batch_size=4"], ["data.batch_size: 2 there, 4 here"]),
        (["resume=runs/nothing"], ["runs/nothing", "is no file"]),
        (["resume=latest", "paths.runs=elsewhere"], ["resume=latest", "elsewhere"]),
    ],
)
def test_what_cannot_go_on_is_refused_and_left_alone(folder, arguments, words, monkeypatch, capsys):
    monkeypatch.chdir(folder[0])
    before = (folder[2] / "metrics.json").read_text()
    with pytest.raises(SystemExit) as stopped:
        start(monkeypatch, *arguments)
    printed = f"{stopped.value} {capsys.readouterr().err}"
    assert stopped.value.code != 0
    for word in words:
        assert word in printed
    assert (folder[2] / "metrics.json").read_text() == before


def test_a_setting_that_the_record_does_not_have_is_refused_where_it_is_no_default(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder[0])
    run = shutil.copytree(folder[2], folder[0] / "runs" / "older")
    (run / "metrics.json").unlink()
    forget(run / "config.yaml", *NEWER)
    with pytest.raises(SystemExit) as stopped:
        start(monkeypatch, "resume=runs/older", "trainer.max_steps=6", "module.freeze_encoder=true")
    told = f"{stopped.value} {capsys.readouterr().err}"
    assert "(module.freeze_encoder: False there, True here)" in told


def test_newer_settings_have_the_defaults_of_what_the_run_was(composed, tmp_path):
    overrides = ["data=folder", "loss=ce", "model=upernet_swin_tiny"]
    settings = plain(composed("train", *overrides))
    run = tmp_path / "old"
    run.mkdir()
    OmegaConf.save(OmegaConf.create(overrides), run / "overrides.yaml")
    OmegaConf.save(OmegaConf.create(settings), run / "config.yaml")
    newer = ["data.orientation", "data.dataset.image_range", "module.auxiliary_stage", "optimizer.weight_decay"]
    forget(run / "config.yaml", *newer)
    found, whole = recorded_settings(run, settings), flat(settings)
    assert {key: found[key] for key in newer} == {key: whole[key] for key in newer}
    assert found["module.auxiliary_stage"] is not None, "a default of the network that was chosen, not of all"
    assert differing_keys([results(found), results(settings)]) == []
    other = recorded_settings(run, plain(composed("train", "data=folder", "loss=contextrast")))
    assert "loss.temperature" not in other, "a setting of another loss has no default in this run"


def run_folder(path, overrides="[]"):
    (path / "checkpoints").mkdir(parents=True)
    (path / "checkpoints" / "last.ckpt").write_bytes(b"")
    (path / "overrides.yaml").write_text(overrides)
    return path


def test_settings_come_from_the_run_and_what_is_typed_wins(tmp_path):
    run = run_folder(tmp_path / "loss.alpha=0.1,it's", "[loss=ce, data=camvid, trainer.max_steps=9]")
    arguments = resumed_arguments(["loss=contextrast", f"resume={run}", "--cfg", "job"])
    assert arguments[:3] == ["loss=contextrast", "data=camvid", "trainer.max_steps=9"]
    assert arguments[-2:] == ["--cfg", "job"]
    parsed = {item.key_or_group: item.value() for item in OverridesParser.create().parse_overrides(arguments[:-2])}
    assert parsed["resume"] == str(run / "checkpoints" / "last.ckpt")
    assert parsed["hydra.run.dir"] == str(run)
    assert resumed_arguments(arguments) == arguments, "the processes of other devices get the same command"


def test_a_job_of_an_ablation_goes_on_alone(tmp_path):
    run = run_folder(tmp_path / "job", "[ablation=alpha, loss.alpha=0.2]")
    assert "hydra.mode=RUN" in resumed_arguments([f"resume={run}"])


@pytest.mark.parametrize(
    "arguments", [["-m", "resume=latest"], ["ablation=alpha", "resume=latest"], ["resume=null"], []]
)
def test_sweeps_and_new_runs_are_left_as_typed(arguments):
    assert resumed_arguments(arguments) == arguments


def test_a_checkpoint_without_its_run_is_refused(tmp_path):
    run = run_folder(tmp_path / "run")
    (run / "overrides.yaml").unlink()
    with pytest.raises(CheckpointError, match=r"model\.weights=PATH"):
        resumed_arguments([f"resume={run}"])


def test_the_checkpoint_before_serves_where_the_last_one_is_gone(tmp_path):
    run = run_folder(tmp_path / "run")
    last = run / "checkpoints" / "last.ckpt"
    last.rename(last.with_name("last-1.ckpt"))
    assert find_checkpoint(str(run), tmp_path, "resume") == checkpoint_of_job(None, run) == last
    write_checkpoint({"step": 3}, last.with_name("last-1.ckpt"))
    assert valid_checkpoint(last).content == {"step": 3}


def test_latest_is_the_run_that_saved_last(tmp_path):
    run_folder(tmp_path / "deep" / "er" / "first")
    second = run_folder(tmp_path / "second")
    os.utime(second / "checkpoints" / "last.ckpt", (2e9, 2e9))
    assert find_checkpoint("latest", tmp_path, "resume") == second / "checkpoints" / "last.ckpt"


def test_jobs_of_a_sweep_go_on_from_their_own_folders(tmp_path):
    assert checkpoint_of_job("latest", tmp_path / "new") is None
    run = run_folder(tmp_path / "run")
    assert checkpoint_of_job(None, run) == checkpoint_of_job("latest", run) == run / "checkpoints" / "last.ckpt"
    with pytest.raises(ConfigError, match="leave resume out"):
        checkpoint_of_job(str(run), run)

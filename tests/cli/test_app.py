"""What a newcomer's mistakes print: one clear error, no traceback, exit code 1."""

import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from contextrast.cli import evaluate, predict, train
from contextrast.cli.app import Task


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs a command's ``main`` with arguments; returns its exit code and what it printed on stderr."""

    def call(command, *arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.argv", [command.__name__, *arguments, f"hydra.run.dir={tmp_path / 'run'}"])
        with pytest.raises(SystemExit) as stopped:
            command.main()
        return stopped.value.code, capsys.readouterr().err

    return call


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["optimiser=sgd"], ["optimiser", "optimizer"]),
        (["loss=contrastt"], ["contrastt", "contextrast", "ce"]),
        (["loss.alhpa=0.2"], ["alhpa", "alpha"]),
        (["data=camvid"], ["data.root=PATH"]),
        (["data=camvid", "data.root=/no/such/folder"], ["/no/such/folder"]),
        (["model.encoder_weights=/no/such/file.pth"], ["/no/such/file.pth"]),
        (["model.encoder_weights=null", "model.encoder=resnet9999"], ["resnet9999", "resnet18"]),
        (["model.encoder_weights=null", "model.stages=[2,3,4,6]"], ["stage 6", "320 channels"]),
        (["model.encoder_weights=null", "loss.stage_weights=[1.0]"], ["stage_weights", "4 feature maps"]),
        (["model.encoder_weights=null", "model.architecture=DeepLabV3Plus", "~model.decoder_pyramid_channels",
          "~model.decoder_segmentation_channels", "~model.decoder_dropout", "data.batch_size=1"], ["data.batch_size"]),
        (["data.crop=[0,5]"], ["data.crop"]),
        (["data.batch_size=4000"], ["data.batch_size=4000"]),
        (["trainer.max_stps=3"], ["max_stps", "max_steps"]),
        (["experiment=null"], ["~GROUP"]),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else None,
)  # fmt: skip
def test_training_mistakes(run, arguments, words):
    code, error = run(train, *arguments)
    assert code == 1
    assert "Traceback" not in error
    for word in words:
        assert word in error


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="no folder here in which nobody can write")
def test_a_place_that_takes_no_files_names_the_way_out(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["train", "hydra.run.dir=/sys/contextrast"])
    with pytest.raises(SystemExit) as stopped:
        train.main()
    printed = capsys.readouterr().err
    assert stopped.value.code == 1
    assert "/sys/contextrast" in printed
    assert "paths.runs=PATH" in printed


def test_a_finished_run_is_left_alone(run, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.json").write_text("{}")
    code, error = run(train)
    assert code == 1
    assert "already holds a finished run" in error
    assert (tmp_path / "run" / "metrics.json").read_text() == "{}"


def test_an_output_folder_that_cannot_be_made(run, tmp_path):
    (tmp_path / "run").write_text("a file where the folder should be")
    code, error = run(train)
    assert code == 1
    assert str(tmp_path / "run") in error
    assert "Traceback" not in error


@pytest.mark.parametrize("command", [evaluate, predict], ids=["evaluate", "predict"])
@pytest.mark.parametrize(
    ("content", "word"),
    [(None, "is no file"), (b"not a checkpoint", "cannot be read"), ("weights", "contextrast-train")],
)
def test_checkpoints_that_cannot_be_used(run, tmp_path, command, content, word):
    path = tmp_path / "a.ckpt"
    if content == "weights":
        torch.save({"conv.weight": torch.zeros(3)}, path)
    elif content is not None:
        path.write_bytes(content)
    extra = ["input=x.png"] if command is predict else []
    code, error = run(command, f"checkpoint={path}", *extra)
    assert code == 1
    assert word in error
    assert str(path) in error


def test_a_checkpoint_has_to_be_named(run):
    code, error = run(evaluate)
    assert code == 1
    assert "checkpoint" in error


def test_files_that_others_have_in_common_are_offered_by_no_message_and_no_completion(run, monkeypatch, capsys):
    _, error = run(train, "data=camvit")
    assert "camvid" in error
    assert not re.search(r"\b_(files|loader)", error)
    monkeypatch.setenv("COMP_LINE", "train data=")
    monkeypatch.setattr("sys.argv", ["train", "-sc", "query=bash"])
    train.main()
    offered = capsys.readouterr().out.split()
    assert "data=camvid" in offered
    assert not [choice for choice in offered if choice.startswith("data=_")]


@pytest.mark.slow  # starts an interpreter
def test_a_launcher_s_process_is_prepared_by_the_task_that_it_is_sent_and_by_no_import():
    program = (
        "import pickle, sys, contextrast.cli.train; from omegaconf import OmegaConf;"
        "print([name for name in ('sweep_folder', 'run_name') if OmegaConf.has_resolver(name)]);"
        "task = pickle.load(sys.stdin.buffer); print(OmegaConf.has_resolver('sweep_folder'), task.__module__)"
    )
    sent = pickle.dumps(Task("contextrast.tasks.evaluate:evaluate", "evaluate"))
    done = subprocess.run([sys.executable, "-c", program], input=sent, capture_output=True, check=True)
    assert done.stdout.decode().splitlines() == ["[]", "True contextrast.tasks.evaluate"]

"""The commands one after the other, as a user runs them."""

import csv
import json
import os
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from contextrast.checkpoints.contents import load_checkpoint
from contextrast.data import Streets
from contextrast.errors import CheckpointError
from tests.cli.commands import run
from tests.cli.processes import ended, run_command, start
from tests.conftest import TINY


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A run folder of two steps on tiny streets, made by the console command in a process of its own."""
    folder = tmp_path_factory.mktemp("trained")
    assert ended(start("train", folder, *TINY, "logger=default", "hydra.run.dir=run")) == [0]
    assert "mean" in (folder / "output.txt").read_text()
    return folder / "run"


def test_the_run_folder_holds_what_a_run_leaves(trained):
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["step"] == 2
    assert 0 <= metrics["miou"] <= 1
    assert set(metrics["iou"]) == set(Streets.labels.classes)
    environment = json.loads((trained / "environment.json").read_text())
    assert environment["seed"] == 0
    assert environment["versions"]["torch"] == metadata.version("torch")
    config = yaml.safe_load((trained / "config.yaml").read_text())
    assert config["trainer"]["max_steps"] == 2
    assert "${" not in (trained / "config.yaml").read_text()
    with (trained / "metrics.csv").open() as file:
        validated = [row["step"] for row in csv.DictReader(file) if row["val/miou"]]
    assert validated[-1] == "2" == str(metrics["step"]), "curves and scores count the steps alike"
    assert (trained / "pictures" / "step_000002.jpg").is_file()
    assert all(path.stat().st_size < 300_000 for path in (trained / "pictures").rglob("*.*"))
    assert {path.name for path in (trained / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert list((trained / "pictures").glob("*.png"))
    assert list((trained / "wandb").glob("offline-run-*"))


def test_evaluation_repeats_the_validation_of_training(trained, tmp_path):
    done = run(
        "evaluate", f"checkpoint={trained / 'checkpoints' / 'last.ckpt'}", "protocols.multi_scale.scales=[0.5,1.0]",
        "hydra.run.dir=run", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "multi scale" in done.stdout
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    training = json.loads((trained / "metrics.json").read_text())
    assert metrics["single_scale"]["confusion"] == training["confusion"]
    assert sum(map(sum, metrics["multi_scale"]["confusion"])) == sum(map(sum, training["confusion"]))


def test_prediction_keeps_sizes_and_names(trained, tmp_path):
    scenes = Streets("test", size=(70, 90))
    (tmp_path / "images" / "deeper").mkdir(parents=True)
    Image.fromarray(scenes.read(0)[0]).save(tmp_path / "images" / "first.jpg")
    Image.fromarray(scenes.read(1)[0][:41, :53]).save(tmp_path / "images" / "deeper" / "second.PNG")
    done = run(
        "predict", f"checkpoint={trained / 'checkpoints' / 'best.ckpt'}", "input=images", "window=[64,64]",
        "hydra.run.dir=run", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for name, size in (("first.png", (90, 70)), ("deeper/second.png", (53, 41))):
        with Image.open(tmp_path / "run" / "masks" / name) as mask:
            assert (mask.mode, mask.size) == ("P", size)
            assert int(np.asarray(mask).max()) < 11
            assert mask.getpalette()[:33] == [value for color in Streets.labels.palette for value in color]
        with Image.open(tmp_path / "run" / "overlays" / name) as overlay:
            assert overlay.size == size


def test_two_images_of_one_name_are_refused(trained, tmp_path):
    for suffix in ("png", "jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / f"a.{suffix}")
    arguments = [f"checkpoint={trained / 'checkpoints' / 'best.ckpt'}", f"input={tmp_path}/a.*", "hydra.run.dir=run"]
    done = run("predict", *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert "would both become a.png" in done.stderr


def test_the_deployed_network_is_all_that_is_loaded(trained):
    checkpoint = load_checkpoint(trained / "checkpoints" / "last.ckpt")
    network = checkpoint.network()
    assert not network.training
    full = torch.load(checkpoint.path, weights_only=True)["state_dict"]
    assert any(key.startswith("loss.heads") for key in full)
    assert set(checkpoint.weights) == {key.removeprefix("network.") for key in full if key.startswith("network.")}


def test_weights_of_another_architecture_are_refused_with_a_list(trained):
    checkpoint = load_checkpoint(trained / "checkpoints" / "last.ckpt")
    with pytest.raises(CheckpointError, match=r"(?s)does not fit.*decoder") as refused:
        checkpoint.network({"decoder_pyramid_channels": 32})
    assert "in the checkpoint" in str(refused.value)


def test_data_of_other_classes_is_refused(trained, tmp_path):
    path = tmp_path / "other.ckpt"
    content = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)
    content["hyper_parameters"]["labels"]["classes"][0] = "Heaven"
    torch.save(content, path)
    done = run("evaluate", f"checkpoint={path}", "hydra.run.dir=run", cwd=tmp_path)
    assert done.returncode == 1
    assert "Heaven" in done.stderr


def run_without_wandb(*arguments):
    run_command(*arguments)
    assert "wandb" not in sys.modules, "wandb was imported"


def test_csv_logging_never_imports_wandb(tmp_path):
    arguments = [*TINY, "logger=csv", "callbacks.pictures.num_images=1", "hydra.run.dir=run"]
    assert ended(start("train", tmp_path, *arguments, run=run_without_wandb)) == [0]
    assert (tmp_path / "run" / "metrics.csv").is_file()


CAMVID = os.environ.get("CONTEXTRAST_CAMVID")


@pytest.mark.skipif(not CAMVID, reason="CONTEXTRAST_CAMVID names no folder with CamVid")
def test_camvid_from_training_to_prediction(tmp_path):
    """On the first eight images of each split."""
    for split in ("train", "val"):
        for folder in (split, f"{split}annot"):
            (tmp_path / "camvid" / folder).mkdir(parents=True)
            for path in sorted((Path(CAMVID) / folder).iterdir())[:8]:
                (tmp_path / "camvid" / folder / path.name).symlink_to(path)
    tiny = [item for item in TINY if not item.startswith("data.dataset")]
    run(
        "train",
        "data=camvid",
        f"data.root={tmp_path / 'camvid'}",
        *tiny,
        "logger=csv",
        "hydra.run.dir=run",
        cwd=tmp_path,
    )
    checkpoint = f"checkpoint={tmp_path / 'run' / 'checkpoints' / 'last.ckpt'}"
    run("evaluate", checkpoint, "protocols.multi_scale=null", "hydra.run.dir=evaluated", cwd=tmp_path)
    evaluated = json.loads((tmp_path / "evaluated" / "metrics.json").read_text())
    trained = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert evaluated["single_scale"]["confusion"] == trained["confusion"]
    image = next((Path(CAMVID) / "val").iterdir())
    run("predict", checkpoint, f"input={image}", "hydra.run.dir=predicted", cwd=tmp_path)
    with Image.open(image) as original, Image.open(tmp_path / "predicted" / "masks" / f"{image.stem}.png") as mask:
        assert mask.size == original.size

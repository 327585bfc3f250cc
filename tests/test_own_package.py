"""A package of the user's own, through the commands: the very files that the how-to pages show."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from contextrast.checkpoints.contents import load_checkpoint
from contextrast.errors import ConfigError
from contextrast.export import load_export

PACKAGE = Path(__file__).parents[1] / "docs" / "how_to" / "package"
TRAINING = (
    *("data=harbour", "model=two_scales", "data.root=data", "data.crop=[48,48]", "data.batch_size=2"),
    *("data.num_workers=0", "trainer.max_steps=3", "trainer.precision=32-true", "trainer.accelerator=cpu"),
    *("trainer.log_every_n_steps=1", "logger=csv"),
)
CONTRAST = ("loss=contextrast", "loss/fusion=larger", "loss/negatives=checkerboard", "callbacks=harbour")
CHECKPOINT = "checkpoint=run/checkpoints/last.ckpt"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the package as an installer leaves it, and with the files of its dataset."""
    folder = tmp_path_factory.mktemp("own")
    shutil.copytree(PACKAGE / "harbour", folder / "site" / "harbour", ignore=shutil.ignore_patterns("__pycache__"))
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text("utf-8"))["project"]
    installed = folder / "site" / f"{project['name']}-{project['version']}.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1.0\n")
    for group, points in project["entry-points"].items():
        lines = [f"{name} = {value}" for name, value in points.items()]
        (installed / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
    (folder / "bare").mkdir()
    (folder / "bare" / "harbour").symlink_to(folder / "site" / "harbour")  # beside no metadata of an installation
    generator = np.random.default_rng(0)
    for split, images in (("train", 4), ("val", 2)):
        for kind in ("", "_labels"):
            (folder / "data" / f"{split}{kind}").mkdir(parents=True)
        for number in range(images):
            mask = np.full((50, 70), 1, np.uint8)
            mask[25:], mask[:3] = 2, 0
            image = np.where((mask == 1)[..., None], [40, 60, 200], [150, 140, 130])
            image = (image + generator.integers(-20, 20, image.shape)).astype(np.uint8)
            Image.fromarray(image).save(folder / "data" / split / f"{number}.png")
            Image.fromarray(mask).save(folder / "data" / f"{split}_labels" / f"{number}.png")
    return folder


def command(place, name, *arguments, packages=None, site="site"):
    """Run a command where the package is installed (``site``), or named in the environment."""
    environment = {key: value for key, value in os.environ.items() if key != "CONTEXTRAST_PACKAGES"}
    environment["PYTHONPATH"] = os.pathsep.join([str(place / site), os.environ.get("PYTHONPATH", "")])
    environment |= {} if packages is None else {"CONTEXTRAST_PACKAGES": packages}
    done = subprocess.run(
        [sys.executable, "-m", f"contextrast.cli.{name}", *arguments], cwd=place, env=environment, timeout=500,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def trained(place):
    command(place, "train", *TRAINING, *CONTRAST, "hydra.run.dir=run")
    return place


def test_dataset_network_fusion_sampling_and_callback_train(trained):
    counts = json.loads((trained / "run" / "class_counts.json").read_text())
    assert set(counts) == {"ship", "quay"}
    assert 0 < sum(counts.values()) <= 3 * 2 * 48 * 48
    state = torch.load(trained / "run" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert state["loss.contrast.negatives.step"] == 3  # moved on after every step
    assert state["network.network.fine.0.0.weight"].shape == (16, 3, 3, 3)
    header = (trained / "run" / "metrics.csv").read_text().splitlines()[0]
    assert {"contrast/negatives/fine", "contrast/negatives/coarse"} <= set(header.split(","))


def test_a_loss_of_one_s_own_trains_with_the_package_named_in_the_environment(place):
    command(place, "train", *TRAINING, "loss=compact", "hydra.run.dir=compact", packages="harbour", site="bare")
    header = (place / "compact" / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"train/compactness", "contrast/spread/coarse"} <= set(header)


def test_a_metric_of_one_s_own_evaluates(trained):
    command(
        trained, "evaluate", CHECKPOINT, "metrics=[miou,worst_class]", "protocols.multi_scale=null",
        "trainer.accelerator=cpu", "hydra.run.dir=evaluated",
    )  # fmt: skip
    found = json.loads((trained / "evaluated" / "metrics.json").read_text())["single_scale"]
    assert found["worst_class"]["worst_class"] == pytest.approx(min(found["iou"].values()))
    assert found["worst_class"]["class"] == min(found["iou"], key=found["iou"].get)


def test_the_network_is_exported_and_read_where_the_package_is_named_alone(trained, monkeypatch):
    command(trained, "export", CHECKPOINT, "format=safetensors", "hydra.run.dir=exported")
    assert "Licence: as you please" in (trained / "exported" / "README.md").read_text()
    monkeypatch.syspath_prepend(trained / "bare")
    for read in (
        lambda: load_checkpoint(trained / "run" / "checkpoints" / "last.ckpt").network(),
        lambda: load_export(trained / "exported" / "model.safetensors"),
    ):
        monkeypatch.setenv("CONTEXTRAST_PACKAGES", "")
        with pytest.raises(
            ConfigError, match=r"harbour\.network\.TwoScales is not allowed.*CONTEXTRAST_PACKAGES=harbour"
        ):
            read()
        monkeypatch.setenv("CONTEXTRAST_PACKAGES", "harbour")
        network = read()
        with torch.no_grad():
            assert network(network.normalize(torch.zeros(1, 3, 50, 70, dtype=torch.uint8))).shape == (1, 2, 50, 70)

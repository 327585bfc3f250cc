"""From YAML to objects: every file composes and builds, and nothing outside the allowed places is called."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from contextrast.config import config_directory, instantiate
from contextrast.errors import ConfigError
from contextrast.training.assembly import build_datamodule, build_module, build_trainer
from tests.conftest import TINY

CONF = config_directory()
GROUPS = {
    f"{path.parent.name}={path.stem}"
    for folder in ("loss", "optimizer", "scheduler", "trainer", "logger")
    for path in (CONF / folder).glob("*.yaml")
}
NEGATIVES = {f"loss/negatives={path.stem}" for path in (CONF / "loss" / "negatives").glob("*.yaml")}


@pytest.mark.parametrize("override", sorted(GROUPS | NEGATIVES))
def test_every_choice_composes_and_builds(composed, override):
    config = composed("train", *TINY, override)
    datamodule = build_datamodule(config.data)
    module = build_module(config, datamodule)
    loggers = [instantiate(logger) for logger in config.logger.values()]
    callbacks = [instantiate(callback) for callback in config.callbacks.values()]
    trainer = build_trainer(config.trainer, loggers, callbacks)
    assert trainer.max_steps == 2
    assert module.configure_optimizers() is not None


@pytest.mark.parametrize("path", sorted((CONF / "experiment").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_experiment_composes_and_builds(composed, path):
    config = composed("train", f"experiment={path.stem}", "data.root=/nowhere")
    datamodule = build_datamodule(config.data)
    module = build_module(config, datamodule)
    assert module.network.num_classes == datamodule.labels.num_classes
    assert config.trainer.max_steps > 0


@pytest.mark.parametrize("path", sorted((CONF / "model").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_model_builds(composed, path):
    free = ["model.architecture=Unet", "model.encoder=resnet18"] if path.stem == "smp" else []
    config = composed("train", f"model={path.stem}", "model.encoder_weights=null", *free)
    network = instantiate(config.model, num_classes=3).eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 33, 47)).shape == (1, 3, 33, 47)


@pytest.mark.parametrize(
    "command", [["evaluate"], ["predict"], ["export", "format=onnx"], ["export", "format=smp"], ["demo"]]
)
def test_the_other_commands_compose(composed, command):
    assert composed(*command, "checkpoint=x.ckpt").checkpoint == "x.ckpt"


def test_the_check_composes(composed):
    assert composed("check", "data=camvid").data._target_.endswith("SegmentationDataModule")


def test_every_file_says_what_it_is():
    unexplained = [str(path) for path in CONF.rglob("*.yaml") if not path.read_text().lstrip().startswith("#")]
    assert not unexplained


@pytest.mark.parametrize(
    "target", ["os.system", "builtins.eval", "torch.load", "subprocess.run", "contextrast_evil.run"]
)
def test_targets_outside_the_allowed_places_are_refused(target):
    with pytest.raises(ConfigError, match="not allowed"):
        instantiate({"_target_": target})
    with pytest.raises(ConfigError, match="not allowed"):
        instantiate({"_target_": "contextrast.contrast.ContextrastLoss", "deep": [{"inside": {"_target_": target}}]})


def test_a_misspelt_argument_is_named():
    with pytest.raises(ConfigError, match="weight_lo"):
        instantiate({"_target_": "contextrast.contrast.StaticFusion", "weight_lo": 1.0})


def test_our_own_error_arrives_unwrapped():
    with pytest.raises(ConfigError, match="sum to one"):
        instantiate({"_target_": "contextrast.contrast.StaticFusion", "weight_low": 1.0})


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("loss.temperature=0", "loss.temperature "),
        ("loss.negatives.percentage=120", "loss.negatives.percentage "),
        ("loss.fusion.weight_low=0.9", "loss.fusion.weight_low "),
        ("loss/fusion=multi_head loss.fusion.num_heads=7", "loss.fusion.num_heads "),  # completed by the loss
        ("loss=contextrast_pp loss.memory.size=0", "loss.memory.size "),
    ],
)
def test_a_refused_value_is_named_by_its_key(composed, override, key):
    """Classes name their arguments; whoever typed a setting reads its key."""
    config = composed("train", *override.split())
    with pytest.raises(ConfigError) as refused:
        instantiate(config.loss, num_classes=3, in_channels=[8, 8, 8, 8])
    assert str(refused.value).startswith(key)


def test_conf_is_found_in_a_checkout_and_in_an_installed_wheel(tmp_path):
    root = Path(__file__).parents[1]
    assert root / "conf" == CONF
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=root, check=True, capture_output=True)
    wheel = next(tmp_path.glob("*.whl"))
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    program = (
        "import contextrast.config as c; from contextrast.runs.composition import compose;"
        "print(c.config_directory()); print(compose('train').loss._target_)"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == [
        str(tmp_path / "site" / "contextrast" / "conf"), "contextrast.contrast.ContextrastLoss",
    ]  # fmt: skip

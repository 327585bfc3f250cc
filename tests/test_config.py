"""From YAML to objects: every file composes and builds, and nothing outside the allowed places is called."""

import os
import subprocess
import sys
import zipfile
from collections import Counter
from functools import reduce
from inspect import signature
from operator import getitem
from pathlib import Path

import pytest
import torch
import yaml
from hydra.utils import get_class
from omegaconf import OmegaConf

from contextrast.config import instantiate
from contextrast.errors import ConfigError
from contextrast.folders import config_directory
from contextrast.runs.settings import flat
from contextrast.training.assembly import build_datamodule, build_module, build_trainer
from tests.conftest import TINY, choices

CONF = config_directory()
LARGE = ("mask2former_swin_large", "eomt_vit_large", "segformer_mit_b4", "segformer_mit_b5")  # minutes and gigabytes
GROUPS = ("loss", "loss/negatives", "loss/fusion", "loss/memory", "optimizer", "scheduler", "trainer", "logger")
PARTS = [(group, name) for group in ("base", "fusion", "negatives", "memory") for name in choices(f"loss/{group}")]
GIVEN_BY_TRAINING = {"num_classes", "in_channels", "num_stages", "base", "ignore_index"}


@pytest.mark.parametrize("override", [f"{group}={name}" for group in GROUPS for name in choices(group)])
def test_every_choice_composes_and_builds(composed, override):
    config = composed("train", *TINY, override)
    datamodule = build_datamodule(config.data)
    module = build_module(config, datamodule)
    loggers = [instantiate(logger) for logger in config.logger.values()]
    callbacks = [instantiate(callback) for callback in config.callbacks.values()]
    trainer = build_trainer(config.trainer, loggers, callbacks)
    assert trainer.max_steps == 2
    assert module.configure_optimizers() is not None


@pytest.mark.parametrize("name", choices("experiment"))
def test_every_experiment_composes_and_builds(composed, name):
    config = composed("train", f"experiment={name}", "data.root=/nowhere")
    datamodule = build_datamodule(config.data)
    module = build_module(config, datamodule)
    assert module.network.num_classes == datamodule.labels.num_classes
    assert config.trainer.max_steps > 0


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in choices("model")],
)
def test_every_model_builds(composed, name):
    free = ["model.architecture=Unet", "model.encoder=resnet18"] if name == "smp" else []
    config = composed("train", f"model={name}", "model.encoder_weights=null", *free)
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


@pytest.mark.parametrize("folder", sorted({path.parent for path in CONF.rglob("*.yaml")}), ids=lambda path: path.name)
def test_what_files_of_a_folder_have_in_common_stands_in_one_of_them(folder):
    """At most a quarter of their values, by dotted key, stand in two: the others start from a file that has them."""
    contents = [yaml.safe_load(path.read_text("utf-8")) or {} for path in folder.glob("*.yaml")]
    own = [{key: value for key, value in content.items() if key != "defaults"} for content in contents]
    times = Counter((key, repr(value)) for content in own for key, value in flat(content).items())
    assert sum(count for count in times.values() if count > 1) <= 0.25 * times.total()


def described(content, key=""):
    """Dotted keys of the mappings that name a class."""
    if isinstance(content, dict):
        if "_target_" in content:
            yield key
        for name, value in content.items():
            yield from described(value, f"{key}.{name}".lstrip("."))


@pytest.mark.parametrize(("group", "name"), [*PARTS, *(("", name) for name in choices("loss"))])
def test_defaults_of_constructors_are_those_of_the_files(composed, group, name):
    """All arguments of the classes that a file names; what files change that start from another one is theirs."""
    path = CONF / "loss" / group / f"{name}.yaml"
    override = f"loss/{group}={name}".replace("/=", "=")
    config = composed("train", "data=ade20k", override)  # no loss has a recipe for these data
    loss = OmegaConf.to_container(config.loss, resolve=True)
    content = loss[group] if group else loss
    named = list(described(yaml.safe_load(path.read_text("utf-8"))))
    assert named or name in {"none", "focal", "contextrast_pp"}
    for key in named:
        settings = reduce(getitem, key.split("."), content) if key else content
        filled = GIVEN_BY_TRAINING | ({"embedding_dim"} if "_partial_" in settings else set())
        filled |= {name for name, value in settings.items() if isinstance(value, dict)}  # objects, with own files
        parameters = signature(get_class(settings["_target_"])).parameters.items()
        defaults = {name: it.default for name, it in parameters if it.default is not it.empty and name not in filled}
        in_file = {name: settings.get(name, "missing") for name in defaults}
        assert OmegaConf.create(in_file) == OmegaConf.create(defaults)


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
        "import contextrast.folders as c; from contextrast.runs.composition import compose;"
        "print(c.config_directory()); print(compose('train').loss._target_)"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == [
        str(tmp_path / "site" / "contextrast" / "conf"), "contextrast.contrast.ContextrastLoss",
    ]  # fmt: skip

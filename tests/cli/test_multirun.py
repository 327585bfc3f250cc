"""Launchers: what composes, what is refused before any job starts, and sweeps that each of them finishes."""

import importlib.util
import json

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from contextrast.cli import train
from contextrast.config import instantiate
from contextrast.errors import ConfigError
from contextrast.folders import config_directory
from contextrast.tasks.sweeps import refuse_equal_jobs, refuse_shared_process
from tests.conftest import TINY

SWEEP = ("-m", *TINY, "loss=ce", "logger=csv", "callbacks.pictures.num_images=0", "hydra.sweep.dir=sweep")


def composed(*overrides):
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        return compose("train", list(overrides), return_hydra_config=True)


def start(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["train", *arguments])
    train.main()


@pytest.mark.parametrize("launcher", ["basic", "joblib", "submitit_local", "submitit_slurm"])
def test_launchers_compose(launcher):
    assert composed(f"hydra/launcher={launcher}").hydra.launcher._target_


@pytest.mark.parametrize("trainer", ["default", "cpu", "gpu", "ddp", "slurm"])
def test_trainers_compose(trainer, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_NUM_NODES", "2")
    settings = composed(f"trainer={trainer}").trainer
    assert settings._target_ == "lightning.pytorch.Trainer"
    assert settings.get("strategy") == ("ddp" if trainer in ("ddp", "slurm") else None)
    assert settings.get("num_nodes", 1) == (2 if trainer == "slurm" else 1)


@pytest.mark.parametrize("name", ["fast", "overfit", "profile"])
def test_debug_runs_lie_apart_and_can_be_built(name):
    config = composed(f"debug={name}", "paths.run_dir=run")
    assert config.paths.runs == "runs/debug"
    assert config.trainer.max_steps <= 100
    instantiate(OmegaConf.to_container(config.trainer, resolve=True) | {"precision": "32-true", "logger": False})


SUBMITIT = {"_target_": "x.LocalLauncher", "tasks_per_node": 2, "nodes": 1}


@pytest.mark.parametrize("devices", [2, "2", [0, 1], "0,1"])
def test_several_devices_need_a_process_each(devices):
    trainer = {"devices": devices, "accelerator": "cpu"}
    refuse_shared_process(trainer, SUBMITIT)
    with pytest.raises(ConfigError, match=r"2 device\(s\).*tasks_per_node=2"):
        refuse_shared_process(trainer, {"_target_": "x.BasicLauncher"})
    with pytest.raises(ConfigError, match="LocalLauncher starts 3"):
        refuse_shared_process(trainer, {**SUBMITIT, "tasks_per_node": 3})


def test_one_device_suits_every_launcher_but_not_twice():
    for devices in (1, "auto", [3]):
        refuse_shared_process({"devices": devices, "accelerator": "cpu"}, {"_target_": "x.JoblibLauncher"})
    with pytest.raises(ConfigError, match="starts 2"):
        refuse_shared_process({"devices": 1, "accelerator": "cpu"}, SUBMITIT)


@pytest.mark.parametrize("axis", ["data.num_workers=0,2", "channels_last=choice(true,false)", "logger=csv,none"])
def test_jobs_that_would_have_the_same_result_are_refused_before_any_starts(axis, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        start(monkeypatch, *SWEEP, "loss=ce,contextrast", axis)
    assert f"{axis}: {axis.partition('=')[0]} says" in f"{stopped.value}{capsys.readouterr().err}"
    assert not list((tmp_path / "sweep").iterdir())


@pytest.mark.parametrize("axes", [("seed=0,1", "data.num_workers=2"), ("trainer=cpu,ddp",), ("loss/fusion=glob(*)",)])
def test_what_differs_in_its_result_is_not_refused(axes):
    refuse_equal_jobs(axes)


def test_a_sweep_on_several_devices_is_refused_before_any_job_starts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        start(monkeypatch, *SWEEP, "seed=0,1", "trainer=ddp", "trainer.devices=2")
    assert "A sweep needs a process for each device" in f"{stopped.value}{capsys.readouterr().err}"
    assert not list(tmp_path.rglob(".hydra"))


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_a_misspelt_key_is_refused_by_every_launcher_before_any_job_starts(launcher, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        start(monkeypatch, *SWEEP, f"hydra/launcher={launcher}", "loss.alhpa=0.1,0.2")
    assert "alhpa" in capsys.readouterr().err
    assert not list(tmp_path.rglob(".hydra"))


def finished(folder):
    return sorted(json.loads(path.read_text())["step"] for path in folder.glob("sweep/*/metrics.json"))


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_jobs_in_other_processes_finish_and_failures_are_named(launcher, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        start(monkeypatch, *SWEEP, f"hydra/launcher={launcher}", "trainer.accumulate_grad_batches=1,0")
    assert stopped.value.code == 1
    assert "1 job(s)" in capsys.readouterr().err
    assert finished(tmp_path) == [2]


@pytest.mark.slow
def test_a_job_on_two_devices_where_the_launcher_starts_two_processes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    devices = ["trainer=ddp", "trainer.devices=2", "hydra/launcher=submitit_local", "hydra.launcher.tasks_per_node=2"]
    start(monkeypatch, *SWEEP, *devices, "seed=0")
    assert finished(tmp_path) == [2]
    (metrics,) = tmp_path.glob("sweep/*/metrics.json")
    pixels = sum(map(sum, json.loads(metrics.read_text())["confusion"]))
    assert pixels <= 4 * 64 * 64, "each image of the validation is counted by one of the two"


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="the extra `ray` is not installed")
def test_jobs_on_a_local_ray(tmp_path, monkeypatch):
    ray = pytest.importorskip("ray")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    ray.init(num_cpus=1, include_dashboard=False, object_store_memory=80 * 2**20)
    try:
        start(monkeypatch, *SWEEP, "hydra/launcher=ray", "seed=0,1")
    finally:
        ray.shutdown()
    assert finished(tmp_path) == [2, 2]

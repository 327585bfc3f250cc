"""Names that say what differs, groups and tags, as a run's configuration resolves them."""

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from contextrast.runs.wandb_names import run_group, run_name, run_setting, run_tags


@pytest.fixture
def job(monkeypatch):
    """Puts a job of some mode, overrides and sweep in Hydra's place."""

    def put(mode, overrides, sweep=()):
        config = OmegaConf.create(
            {
                "mode": mode,
                "runtime": {"choices": {"data": "camvid", "model": "hrnet_w48", "loss": "contextrast"}},
                "overrides": {"task": overrides},
                "callbacks": {"failed_jobs": {"sweep": list(sweep)}},
                "sweep": {"dir": "runs/multirun/alpha"},
                "job": {"name": "train"},
            }
        )
        monkeypatch.setattr(HydraConfig, "get", staticmethod(lambda: config))

    return put


def test_a_single_run_says_what_differs_from_the_defaults(job):
    places = ["data.root=/somewhere", "data.num_workers=0", "logger=wandb", "trainer=gpu"]
    job("RUN", ["data=camvid", *places, "model=hrnet_w48", "loss.alpha=0.2", "seed=3"])
    assert run_name(3) == "camvid_hrnet_w48_contextrast loss.alpha=0.2 seed=3"
    assert run_group() == run_setting() == "camvid_hrnet_w48_contextrast"
    assert run_tags() == ["camvid", "hrnet_w48", "contextrast"]


def test_a_job_says_what_differs_from_its_sweep(job):
    overrides = ["data=camvid", "trainer.max_steps=9", "loss.alpha=0.1", "loss.stages=[1,2]", "seed=0"]
    sweep = ["data=camvid", "trainer.max_steps=9"]
    job(RunMode.MULTIRUN, overrides, sweep)
    assert run_name(0) == "loss.alpha=0.1 loss.stages=[1,2] seed=0"
    assert run_group() == "alpha"


def test_what_an_ablation_varies_is_not_on_its_command_line(job):
    job(
        RunMode.MULTIRUN,
        ["loss.alpha=0.1", "seed=0", "ablation=alpha", "data=camvid"],
        ["ablation=alpha", "data=camvid"],
    )
    assert run_name(0) == "loss.alpha=0.1 seed=0"


def test_names_have_the_length_that_w_and_b_takes(job):
    job("RUN", [f"model.key_{number}=value" for number in range(50)])
    assert len(run_name("")) <= 128

"""One thread a process, as tests run side by side; and configurations composed as the commands compose them."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported
os.environ["WANDB_MODE"] = "offline"
# What W&B finds out about the machine and its packages at the start of a run takes longer than such a run.
os.environ |= {"WANDB_X_SAVE_REQUIREMENTS": "false", "WANDB_X_DISABLE_META": "true", "WANDB_X_DISABLE_STATS": "true"}

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

from contextrast.folders import config_directory
from contextrast.runs.composition import register

register()  # tests compose by Hydra itself, too

# A network and images that a core trains in a second.
TINY = (
    "data.dataset.size=[64,64]",
    "data.dataset.lengths.train=8",
    "data.dataset.lengths.val=4",
    "data.dataset.lengths.test=4",
    "data.crop=[64,64]",
    "data.batch_size=2",
    "data.eval_batch_size=2",
    "data.num_workers=0",
    "model.encoder_weights=null",
    "model.decoder_pyramid_channels=16",
    "model.decoder_segmentation_channels=32",
    "trainer.max_steps=2",
    "trainer.precision=32-true",
    "trainer.accelerator=cpu",
    "logger=csv",
)


def choices(group: str) -> list[str]:
    """Names of the files that can be chosen in a group of ``conf/``, not of those that only other files start from."""
    return sorted(path.stem for path in (config_directory() / group).glob("[!_]*.yaml"))


@pytest.fixture
def composed(tmp_path: Path) -> Iterator[Callable[..., DictConfig]]:
    """Composes a command's configuration, with the run folder ``tmp_path / "run"``."""

    def build(name: str, *overrides: str) -> DictConfig:
        run_dir = tmp_path / "run"
        run_dir.mkdir(exist_ok=True)
        with initialize_config_dir(str(config_directory()), version_base="1.3"):
            config = compose(name, [f"paths.run_dir={run_dir}", *overrides], return_hydra_config=True)
        HydraConfig.instance().set_config(config)
        with open_dict(config):
            del config["hydra"]
        return config

    yield build
    GlobalHydra.instance().clear()
    HydraConfig.instance().cfg = None

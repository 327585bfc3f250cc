"""A run begins with the state in which another one ended."""

import lightning.pytorch as pl
import pytest
import torch

from contextrast.errors import CheckpointError
from contextrast.tasks import train
from tests.conftest import TINY

QUIET = ("logger=none", "callbacks.pictures.num_images=0", "loss=pixel_contrast_memory", "optimizer=sgd")


class Begun(pl.Callback):
    """Weights, momenta and rate before the first step."""

    def on_train_start(self, trainer, pl_module):
        self.weights = {key: value.clone() for key, value in pl_module.state_dict().items()}

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == 0:
            optimizer = trainer.optimizers[0]
            self.momenta = [state["momentum_buffer"].clone() for state in optimizer.state.values() if state]
            self.rate = optimizer.param_groups[0]["lr"]


@pytest.fixture
def ended(composed, tmp_path):
    """Folder and content of the checkpoint of a run."""
    train.train(composed("train", *TINY, *QUIET))
    folder = (tmp_path / "run").rename(tmp_path / "ended")
    return folder, torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def begin(composed, folder, *overrides):
    begun = Begun()
    train.train(composed("train", *TINY, *QUIET, f"start_from={folder}", "seed=7", *overrides), [begun])
    return begun


def test_state_is_the_other_runs_and_the_schedule_is_its_own(ended, composed, tmp_path):
    folder, content = ended
    begun = begin(composed, folder, "trainer.max_steps=3", "optimizer.lr=0.05")
    assert begun.weights.keys() == content["state_dict"].keys()
    assert all(torch.equal(value, content["state_dict"][key]) for key, value in begun.weights.items())
    saved = content["optimizer_states"][0]["state"].values()
    assert len(begun.momenta) == len(saved) > 0
    assert all(torch.equal(one, other["momentum_buffer"]) for one, other in zip(begun.momenta, saved, strict=True))
    assert begun.rate == 0.05
    assert torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 3


def test_momenta_of_another_optimiser_are_left_behind(ended, composed):
    begun = begin(composed, ended[0], "optimizer=adamw")
    assert begun.momenta == []


def test_another_loss_is_refused(ended, composed):
    with pytest.raises(CheckpointError, match="another network or loss"):
        begin(composed, ended[0], "loss=ce")


def test_other_classes_are_refused(ended, composed, tmp_path):
    content = ended[1]
    content["hyper_parameters"]["labels"]["classes"][0] = "tarmac"
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match="tarmac"):
        begin(composed, tmp_path / "other.ckpt")

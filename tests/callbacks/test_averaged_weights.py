"""Averaged weights: what they are, that they are what is validated and evaluated, and that a run with them resumes."""

import json

import lightning.pytorch as pl
import pytest
import torch

from contextrast.checkpoints.contents import load_checkpoint
from contextrast.cli import train
from contextrast.tasks.train import train as fit
from tests.conftest import TINY

AVERAGED = [
    *(text for text in TINY if "max_steps" not in text), "callbacks/averaged_weights=ema",
    "callbacks.averaged_weights.decay=0.8", "loss=contextrast_pp", "scheduler=constant", "logger=csv",
    "callbacks.pictures.num_images=0",
]  # fmt: skip


class Weights(pl.Callback):
    """The network's weights and statistics after every step."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen.append({key: value.clone() for key, value in pl_module.network.state_dict().items()})


def last(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def test_the_average_is_validated_and_is_what_a_checkpoint_holds(composed, tmp_path):
    weights = Weights()
    score = fit(composed("train", *AVERAGED, "trainer.max_steps=4", "trainer.val_check_interval=2"), [weights])
    average = weights.seen[0]
    for seen in weights.seen[1:]:
        average = {
            key: 0.8 * value + 0.2 * seen[key] if value.is_floating_point() else value for key, value in average.items()
        }
    held = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt").network().state_dict()
    parameters = {key for key in average if held[key].is_floating_point()}
    for key in parameters:
        torch.testing.assert_close(held[key], average[key])
    assert any(not torch.equal(held[key], weights.seen[-1][key]) for key in parameters)
    assert score == json.loads((tmp_path / "run" / "metrics.json").read_text())["miou"]


@pytest.mark.parametrize("interval", [2, 3], ids=["validated_at_the_end", "not_validated_at_the_end"])
def test_a_run_that_stopped_goes_on_bit_for_bit(tmp_path, monkeypatch, interval):
    def start(*arguments):
        monkeypatch.setattr("sys.argv", ["train", *arguments])
        train.main()

    monkeypatch.chdir(tmp_path)
    command = [*AVERAGED, f"trainer.val_check_interval={interval}"]
    start(*command, "trainer.max_steps=4", "hydra.run.dir=whole")
    start(*command, f"trainer.max_steps={interval}", "hydra.run.dir=stopped")
    (tmp_path / "stopped" / "metrics.json").unlink()
    start("resume=stopped", "trainer.max_steps=4")
    whole, resumed = last(tmp_path / "whole"), last(tmp_path / "stopped")
    for part in ("state_dict", "current_model_state"):
        assert whole[part].keys() == resumed[part].keys()
        for key, value in whole[part].items():
            assert torch.equal(resumed[part][key], value), f"{part}: {key}"
    assert any(not torch.equal(whole["state_dict"][key], value) for key, value in whole["current_model_state"].items())

"""A refused step, run again."""

import math

import pytest
import torch

from contextrast.errors import CheckpointError, NonFiniteLossError
from contextrast.training.assembly import build_datamodule, build_module, build_trainer
from contextrast.training.replay import load_replay
from tests.conftest import TINY


def test_a_refused_step_can_be_run_again(composed, tmp_path):
    config = composed("train", *TINY, "model.decoder_dropout=0.0", "+trainer.enable_progress_bar=false")
    datamodule = build_datamodule(config.data)
    module = build_module(config, datamodule)
    with torch.no_grad():
        next(module.loss.parameters()).fill_(float("nan"))
    trainer = build_trainer(config.trainer, [], [])
    with pytest.raises(NonFiniteLossError, match=r"To run it again: contextrast\.training\.replay\.load_replay"):
        trainer.fit(module, datamodule)
    (path,) = (tmp_path / "run").glob("replay_*.pt")
    again, batches = load_replay(path)
    assert again.training
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in module.state_dict().items()
               if "running" not in key and not value.isnan().any())  # fmt: skip
    assert math.isnan(float(again.loss_terms(batches[0]).total.detach()))
    assert len(batches[0]["name"]) == 2
    for damage in (
        lambda content: content["state_dict"].popitem(),
        lambda content: content["state_dict"].update({"auxiliary.more": torch.zeros(2)}),
        lambda content: content["hyper_parameters"].pop("loss"),
        lambda content: content["hyper_parameters"].update(module=3),
        lambda content: content["hyper_parameters"].update(module={"unknown": 3}),
        lambda content: content["hyper_parameters"].update(labels={"classes": ["road"]}),
        lambda content: content.update(batches=3),
        lambda content: content.update(state_dict=[]),
    ):
        content = torch.load(path, weights_only=True)
        damage(content)
        torch.save(content, tmp_path / "damaged.pt")
        with pytest.raises(CheckpointError, match=r"damaged\.pt"):
            load_replay(tmp_path / "damaged.pt")


def test_another_file_is_refused(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "last.ckpt")
    with pytest.raises(CheckpointError, match=r"last\.ckpt is no replay file"):
        load_replay(tmp_path / "last.ckpt")

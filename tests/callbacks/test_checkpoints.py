"""The last checkpoint is the last, whether the score improved or not."""

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from contextrast.callbacks import LastCheckpoint


class Worse(pl.Callback):
    """Gives every validation a lower score than the one before, and counts the saves."""

    def __init__(self) -> None:
        self.saves: list[int] = []

    def on_validation_epoch_end(self, trainer, pl_module) -> None:
        pl_module.log("score", -float(trainer.global_step))

    def on_save_checkpoint(self, trainer, pl_module, checkpoint) -> None:
        self.saves.append(trainer.global_step)


@pytest.mark.parametrize(("interval", "saves"), [(3, [3, 6]), (4, [4, 6]), (100, [6])])
def test_it_holds_the_last_step(interval, saves, module, data, trainer_for, tmp_path) -> None:
    worse, last = Worse(), LastCheckpoint(tmp_path / "checkpoints" / "last.ckpt")
    trainer = trainer_for([worse, last], val_check_interval=interval)
    trainer.fit(module, data)
    checkpoint = torch.load(last.path, weights_only=True)
    assert worse.saves == saves
    assert checkpoint["global_step"] == 6
    assert "optimizer_states" in checkpoint
    for name, value in module.state_dict().items():
        torch.testing.assert_close(checkpoint["state_dict"][name], value, rtol=0, atol=0)


def test_best_keeps_its_name_beside_it(module, data, trainer_for, tmp_path) -> None:
    best = ModelCheckpoint(
        tmp_path, "best", "score", mode="max", save_on_train_epoch_end=False, enable_version_counter=False
    )
    trainer = trainer_for([Worse(), best, LastCheckpoint(tmp_path / "last.ckpt")], enable_checkpointing=True)
    trainer.fit(module, data)
    steps = {file.name: torch.load(file, weights_only=True)["global_step"] for file in tmp_path.glob("*.ckpt")}
    assert steps == {"best.ckpt": 3, "last.ckpt": 6}


def test_a_run_goes_on_from_it(module, data, trainer_for, tmp_path) -> None:
    last = LastCheckpoint(tmp_path / "last.ckpt")
    trainer_for([last], max_steps=3).fit(module, data)
    trainer = trainer_for([last], max_steps=5)
    trainer.fit(module, data, ckpt_path=last.path, weights_only=True)
    assert torch.load(last.path, weights_only=True)["global_step"] == trainer.global_step == 5

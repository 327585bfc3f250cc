"""The last checkpoint is the last, whether the score improved or not."""

import os
import signal

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from contextrast.callbacks import LastCheckpoint
from contextrast.checkpoints.files import CheckpointFiles
from contextrast.errors import ConfigError
from contextrast.signals import ASKING


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
    assert steps == {"best.ckpt": 3, "last.ckpt": 6, "last-1.ckpt": 3}


def test_a_run_goes_on_from_it(module, data, trainer_for, tmp_path) -> None:
    last = LastCheckpoint(tmp_path / "last.ckpt")
    trainer_for([last], max_steps=3).fit(module, data)
    trainer = trainer_for([last], max_steps=5)
    trainer.fit(module, data, ckpt_path=last.path, weights_only=True)
    assert torch.load(last.path, weights_only=True)["global_step"] == trainer.global_step == 5


@pytest.mark.parametrize(("accumulate", "every", "interval", "saves"), [
    (1, 2, 3, [2, 3, 4, 6]), (2, 1, 3, [1, 2, 3, 4]), (1, 1, 1, [1, 2, 3, 4, 5, 6]), (1, 4, 100, [4, 6]),
])  # fmt: skip
def test_it_saves_every_so_many_steps_and_never_within_one(
    accumulate, every, interval, saves, module, data, trainer_for, tmp_path
) -> None:
    worse = Worse()
    last = LastCheckpoint(tmp_path / "last.ckpt", every_n_steps=every)
    steps = 6 if accumulate == 1 else 4
    options = {"accumulate_grad_batches": accumulate, "val_check_interval": interval, "max_steps": steps}
    trainer_for([worse, last], plugins=[CheckpointFiles()], num_sanity_val_steps=0, **options).fit(module, data)
    assert worse.saves == saves
    assert last.path.read_bytes()[-71:-64] == b"sha256:"


class Signals(pl.Callback):
    """Sends this process a signal within a step, as a scheduler does."""

    def __init__(self, step: int, number: signal.Signals) -> None:
        self.step, self.number = step, number

    def on_before_optimizer_step(self, trainer, pl_module, optimizer) -> None:
        if trainer.global_step == self.step:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 99), (signal.SIGUSR1, 99), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
@pytest.mark.parametrize("step", [1, 2])  # a validation follows the third step
def test_a_signal_saves_what_the_step_made_and_ends_with_its_code(
    step, number, code, module, data, trainer_for, tmp_path
) -> None:
    # As in a shell's foreground, wherever the tests themselves run.
    before = {asking: signal.signal(asking, signal.SIG_DFL) for asking in ASKING}
    last = LastCheckpoint(tmp_path / "run" / "checkpoints" / "last.ckpt", exit_code=99)
    with pytest.raises(SystemExit) as stopped:
        trainer_for([Signals(step, number), last]).fit(module, data)
    for asking, handler in before.items():
        signal.signal(asking, handler)  # a process that ends keeps its own
    assert stopped.value.code == code
    checkpoint = torch.load(last.path, weights_only=True)
    assert checkpoint["global_step"] == step + 1
    assert all(torch.equal(checkpoint["state_dict"][name], value) for name, value in module.state_dict().items())


def test_an_error_within_a_step_saves_nothing(module, data, trainer_for, tmp_path) -> None:
    module.fail_at = 4
    last = LastCheckpoint(tmp_path / "last.ckpt")
    with pytest.raises(RuntimeError, match="fails here"):
        trainer_for([last]).fit(module, data)
    assert torch.load(last.path, weights_only=True)["global_step"] == 3


@pytest.mark.parametrize("wrong", [{"every_n_steps": 0}, {"previous": -1}, {"exit_code": 0}, {"exit_code": 256}])
def test_numbers_that_cannot_work_are_refused(wrong, tmp_path) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))}={next(iter(wrong.values()))}"):
        LastCheckpoint(tmp_path / "last.ckpt", **wrong)

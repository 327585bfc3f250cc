"""Parameter groups, schedules as long as the run, and clipped gradients."""

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision
from torch import nn

from contextrast.errors import ConfigError
from contextrast.tasks import train
from contextrast.training import assembly
from contextrast.training.optimization import parameter_groups
from tests.conftest import TINY


def test_each_parameter_is_in_one_group_with_its_rate_and_decay():
    encoder = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    network = nn.ModuleDict({"encoder": encoder, "head": nn.Conv2d(4, 2, 1)})
    heads = nn.Linear(4, 4, bias=False)
    frozen = nn.Linear(2, 2)
    frozen.requires_grad_(False)
    groups = parameter_groups(
        {"encoder": ([encoder], 0.1), "decoder": ([network, frozen], 1.0), "heads": ([heads], 10.0)}, 0.01, 5e-4
    )
    found = {group["name"]: (group["lr"], group["weight_decay"], len(group["params"])) for group in groups}
    assert found == {
        "encoder": (0.001, 5e-4, 1),
        "encoder/no_decay": (0.001, 0.0, 3),  # the bias, and scale and shift of the norm
        "decoder": (0.01, 5e-4, 1),
        "decoder/no_decay": (0.01, 0.0, 1),
        "heads": (0.1, 5e-4, 1),
    }
    assert all(parameter.ndim > 1 for group in groups if group["weight_decay"] for parameter in group["params"])
    torch.optim.SGD(groups, lr=0.01)  # refuses a parameter that is in two groups


class Rates(pl.Callback):
    """The learning rate of every step."""

    def __init__(self):
        self.seen = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.seen.append(trainer.optimizers[0].param_groups[0]["lr"])


@pytest.mark.parametrize("scheduler", ["poly", "linear"])
@pytest.mark.parametrize(
    "length", [["trainer.max_steps=-1"], ["trainer.max_steps=100"], ["trainer.max_steps=-1", "recipe.steps=9"]]
)
def test_the_schedule_ends_with_the_run_where_epochs_end_it(composed, length, scheduler):
    """8 images in batches of 2, so 4 batches an epoch; two batches make a step."""
    options = ["logger=none", "callbacks.pictures.num_images=0", "trainer.accumulate_grad_batches=2"]
    rates = Rates()
    config = composed("train", *TINY, *options, f"scheduler={scheduler}", "trainer.max_epochs=3", *length)
    train.train(config, [rates])
    power = {"poly": 0.9, "linear": 1.0}[scheduler]
    expected = [config.optimizer.lr * (1 - step / 6) ** power for step in range(6) for _ in range(2)]
    assert rates.seen == pytest.approx(expected)


def test_a_schedule_without_a_length_is_refused(composed):
    config = composed("train", *TINY, "logger=none", "trainer.max_steps=-1")
    with pytest.raises(ConfigError, match=r"scheduler\.total_iters"):
        train.train(config)


class Gradients(pl.Callback):
    """Gradients of every step, as they are when it is taken, and whether the optimiser is fused."""

    def __init__(self):
        self.norms = []
        self.fused = None

    def on_before_zero_grad(self, trainer, pl_module, optimizer):
        gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
        if gradients:
            self.norms.append(float(torch.nn.utils.get_total_norm(gradients)))
        self.fused = optimizer.param_groups[0]["fused"]


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_gradients_are_clipped_in_every_precision(precision, optimizer, composed, monkeypatch):
    if precision == "16-mixed":  # which Lightning gives CPUs another precision for, unless it is handed over
        plugin = MixedPrecision(precision, "cpu", torch.amp.GradScaler("cpu", init_scale=4.0))
        monkeypatch.setattr(assembly, "CheckpointFiles", lambda _: plugin)
    seen = Gradients()
    silent = ["callbacks.pictures.num_images=0", "~callbacks.last_checkpoint", "~callbacks.best_checkpoint"]
    config = composed(
        "train", *TINY, *silent, "logger=none", f"optimizer={optimizer}", "trainer.gradient_clip_val=0.01"
    )
    config.trainer.precision = None if precision == "16-mixed" else precision
    train.train(config, [seen])
    assert seen.norms == pytest.approx([0.01], rel=1e-3)  # of the first step of two
    assert seen.fused == (None if precision == "16-mixed" else True)

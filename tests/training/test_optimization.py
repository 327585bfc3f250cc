"""Parameter groups, schedules as long as the run, and clipped gradients."""

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision
from torch import nn

from contextrast.errors import ConfigError
from contextrast.tasks import train
from contextrast.training import assembly
from contextrast.training.optimization import layers_of, parameter_groups
from contextrast.training.schedules import WarmUpPolynomialLR
from tests.conftest import TINY


def test_each_parameter_is_in_one_group_with_its_rate_and_decay():
    encoder = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    network = nn.ModuleDict({"encoder": encoder, "head": nn.Conv2d(4, 2, 1)})
    heads = nn.Linear(4, 4, bias=False)
    frozen = nn.Linear(2, 2)
    frozen.requires_grad_(False)
    groups = parameter_groups(
        {
            "encoder": (encoder.parameters(), 0.1),
            "decoder": ([*network.parameters(), *frozen.parameters()], 1.0),
            "heads": (heads.parameters(), 10.0),
        },
        0.01,
        5e-4,
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


@pytest.mark.parametrize("name", ["tu-test_vit", "EoMT"])
def test_rates_decay_from_the_last_block_to_the_stem(composed, name):
    if name == "EoMT":
        pytest.importorskip("transformers", reason="the extra huggingface is not installed")
        sizes = ("hidden_size=16", "layers=4", "heads=2", "query_layers=2", "num_queries=8", "train_num_points=16")
        model = ["model=eomt_vit_base", *(f"model.network.{size}" for size in sizes)]
    else:
        model = ["model=vit_small_dinov2_linear", f"model.encoder={name}"]
    own = [override for override in TINY if not override.startswith("model.")]
    config = composed("train", *own, *model, "module.layer_decay=0.5", "module.encoder_lr_ratio=0.1")
    module = assembly.build_module(config, assembly.build_datamodule(config.data))
    rates = {
        id(parameter): group["lr"] for group in module.configure_optimizers()["optimizer"].param_groups
        for parameter in group["params"]
    }  # fmt: skip
    blocks = module.network.network.model.layers if name == "EoMT" else module.network.encoder.model.blocks
    inside = {id(parameter): number for number, block in enumerate(blocks) for parameter in block.parameters()}
    seen = set()
    for key, parameter in module.network.encoder.named_parameters():
        if not parameter.requires_grad:
            continue
        behind = key.partition("model.")[2].startswith("norm") or key.startswith("layernorm")
        above = len(blocks) - 1 - inside.get(id(parameter), len(blocks) - 1 if behind else -1)
        assert rates[id(parameter)] == pytest.approx(config.optimizer.lr * 0.1 * 0.5**above), key
        seen.add(above)
    assert seen == set(range(len(blocks) + 1))
    assert rates[id(next(module.loss.parameters()))] == config.optimizer.lr


def test_an_encoder_without_layers_is_refused():
    with pytest.raises(ConfigError, match=r"module\.layer_decay: this encoder does not tell its layers"):
        layers_of(nn.Conv2d(3, 3, 1), 0.5)
    with pytest.raises(ConfigError, match=r"module\.layer_decay must be a number"):
        layers_of(nn.Conv2d(3, 3, 1), 1.5)


@pytest.mark.parametrize(("warmup", "rising"), [(0.3, 3), (0.0, 0), (1.0, 10)])
def test_a_warm_up_is_a_share_of_the_run(warmup, rising):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule, seen = WarmUpPolynomialLR(optimizer, 10, warmup, power=0.9), []
    for _ in range(10):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    up = [2 * (step + 1) / rising for step in range(rising)]
    assert seen == pytest.approx([*up, *(2 * (1 - step / (10 - rising)) ** 0.9 for step in range(10 - rising))])
    assert optimizer.param_groups[0]["lr"] == 0
    with pytest.raises(ConfigError, match=r"scheduler\.warmup"):
        WarmUpPolynomialLR(optimizer, 10, 1.1)


class Rates(pl.Callback):
    """The learning rate of every step."""

    def __init__(self):
        self.seen = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.seen.append(trainer.optimizers[0].param_groups[0]["lr"])


@pytest.mark.parametrize("scheduler", ["poly", "linear", "warmup_poly"])
@pytest.mark.parametrize(
    "length", [["trainer.max_steps=-1"], ["trainer.max_steps=100"], ["trainer.max_steps=-1", "recipe.steps=9"]]
)
def test_the_schedule_ends_with_the_run_where_epochs_end_it(composed, length, scheduler):
    """8 images in batches of 2, so 4 batches an epoch; two batches make a step."""
    options = ["logger=none", "callbacks.pictures.num_images=0", "trainer.accumulate_grad_batches=2"]
    rates = Rates()
    config = composed("train", *TINY, *options, f"scheduler={scheduler}", "trainer.max_epochs=3", *length)
    train.train(config, [rates])
    power = {"poly": 0.9, "linear": 1.0, "warmup_poly": 1.0}[scheduler]  # a hundredth of six steps is none
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

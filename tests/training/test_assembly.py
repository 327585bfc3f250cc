"""From a composed configuration to a run's objects."""

import re
import shutil

import lightning.pytorch as pl
import pytest
import torch
from omegaconf import OmegaConf

from contextrast.config import instantiate
from contextrast.errors import ConfigError
from contextrast.tasks import train
from contextrast.training.assembly import build_datamodule, build_each, build_module
from tests.conftest import TINY

LOSSES = ("ce", "contextrast", "contextrast_pp", "pixel_contrast", "pixel_contrast_memory", "multiscale")


def test_runs_of_one_seed_start_alike_whatever_the_loss(composed):
    """Weights of the network and the draws that follow (dropout) are those of the baseline."""
    started = []
    for loss in ("ce", "contextrast"):
        config = composed("train", *TINY, f"loss={loss}")
        pl.seed_everything(3, verbose=False)
        module = build_module(config, build_datamodule(config.data))
        started.append((module.network.state_dict(), torch.rand(4)))
    (weights, draws), (other_weights, other_draws) = started
    assert torch.equal(draws, other_draws)
    assert all(torch.equal(value, other_weights[key]) for key, value in weights.items())


class Draws(pl.Callback):
    """What a run drew: the images of every step, and where dropout's generator stands after it."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen.append((batch["image"].clone(), torch.get_rng_state()))


def test_runs_of_one_seed_draw_alike_to_their_end_whatever_the_loss(composed):
    """Images, augmentation and dropout of every loss are those of cross-entropy."""
    drawn = {}
    options = ["logger=none", "callbacks.pictures.num_images=0", "trainer.log_every_n_steps=1"]
    for loss in LOSSES:
        config = composed("train", *TINY, *options, f"loss={loss}", "module.gradient_interval=1")
        draws = Draws()
        train.train(config, [draws])
        drawn[loss] = draws.seen
        shutil.rmtree(config.paths.run_dir)
    for seen in drawn.values():
        assert len(seen) == 2
        for (image, state), (expected, expected_state) in zip(seen, drawn["ce"], strict=True):
            assert torch.equal(image, expected)
            assert torch.equal(state, expected_state)


def trained(config, steps):
    """Losses and weights of some steps of a configuration on one batch, without dropout."""
    pl.seed_everything(3, verbose=False)
    module = build_module(config, build_datamodule(config.data)).train()
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (2, 3, 64, 64), generator=generator, dtype=torch.uint8)
    batch = {"image": image, "mask": (image[:, 0] // 24).long(), "name": ["a", "b"]}
    optimizer = module.configure_optimizers()["optimizer"]
    losses = []
    for _ in range(steps):
        terms = module.loss_terms(batch)
        optimizer.zero_grad()
        terms.total.backward()
        optimizer.step()
        module.update_loss()
        losses.append(float(terms.total.detach()))
    return losses, dict(module.state_dict())


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_fused_optimiser_takes_the_same_steps(composed, optimizer):
    """Ten of them, to 1e-4 relative; the kernels differ in the order of roundings."""
    seen = []
    for fused in ("true", "null"):
        config = composed("train", f"optimizer={optimizer}", f"optimizer.fused={fused}", "optimizer.lr=0.01", *TINY)
        torch.manual_seed(0)
        weight = torch.nn.Parameter(torch.randn(30, 30))
        made = instantiate(config.optimizer)([weight])
        assert made.param_groups[0]["fused"] == {"true": True, "null": None}[fused]
        for _ in range(10):
            weight.grad = torch.sin(3 * weight.detach())
            made.step()
        seen.append(weight.detach())
    torch.testing.assert_close(*seen, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["network", "loss"])
@pytest.mark.parametrize("loss", ["contextrast", "contextrast_pp"])
def test_compiled_training_is_the_same(composed, part, loss):
    """Losses of three steps, to 1e-3 relative in float32; the state dicts have the same keys."""
    options = [*TINY, f"loss={loss}", "optimizer=sgd", "model.encoder=resnet18", "model.decoder_dropout=0.0"]
    losses, weights = trained(composed("train", *options), 3)
    compiled_losses, compiled_weights = trained(composed("train", *options, f"compile.{part}=true"), 3)
    assert compiled_losses == pytest.approx(losses, rel=1e-3)
    assert compiled_weights.keys() == weights.keys()


class States(pl.Callback):
    """What the network was before the first step, and what it is at the end of a run that validated on the way."""

    def on_fit_start(self, trainer, pl_module):
        self.before = {key: value.clone() for key, value in pl_module.network.state_dict().items()}

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.modes = {part.training for part in pl_module.network.encoder.modules()}

    def on_fit_end(self, trainer, pl_module):
        self.after = {key: value.clone() for key, value in pl_module.network.state_dict().items()}


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_encoder_stays_as_it_is(composed, frozen):
    states = States()
    options = ["logger=none", "callbacks.pictures.num_images=0", "trainer.val_check_interval=1"]
    config = composed("train", *TINY, *options, f"module.freeze_encoder={frozen}", "module.gradient_interval=1")
    train.train(config, [states])
    moved = {key.split(".")[1] for key, value in states.before.items() if not torch.equal(value, states.after[key])}
    assert moved == ({"decoder", "segmentation_head"} if frozen else {"encoder", "decoder", "segmentation_head"})
    assert states.modes == ({False} if frozen else {True})


@pytest.mark.parametrize("section", ["callbacks", "logger"])
def test_null_leaves_an_object_out_or_all(composed, section):
    config = composed("train", *TINY)
    whole = [type(one) for one in build_each(config, section)]
    for place, name in enumerate(config[section]):
        left = OmegaConf.merge(config, {section: {name: None}})
        assert [type(one) for one in build_each(left, section)] == whole[:place] + whole[place + 1 :]
    for nothing in (OmegaConf.merge(config, {section: None}), OmegaConf.create({})):
        assert build_each(nothing, section) == []


@pytest.mark.parametrize("override", ["callbacks.pictures=5", "+callbacks.mine={num_images: 3}"])
def test_what_describes_no_object_is_refused(composed, override):
    key = override.lstrip("+").partition("=")[0]
    with pytest.raises(ConfigError, match=rf"{re.escape(key)}=.*null"):
        build_each(composed("train", *TINY, override), key.partition(".")[0])


def test_training_goes_without_what_was_left_out(composed, tmp_path):
    config = composed("train", *TINY, "loss=ce", "logger=csv")
    for name in config.callbacks:
        config.callbacks[name] = None
    config.logger = None
    assert 0 <= train.train(config) <= 1
    assert not {"metrics.csv", "pictures", "metrics.json"} & {path.name for path in (tmp_path / "run").iterdir()}

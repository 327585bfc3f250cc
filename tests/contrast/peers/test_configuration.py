"""The losses as conf/loss composes them."""

import pytest
import torch
from hydra import compose, initialize_config_dir

from contextrast.config import instantiate
from contextrast.contrast.peers import MultiscaleLoss, PixelContrastLoss, PixelMemory
from contextrast.folders import config_directory
from tests.contrast.peers.test_multiscale import batch

SETTINGS = {"temperature": 0.07, "stages": [-1], "start_step": 67}


def composed(name, *overrides):
    settings = [f"loss.{key}={value}" for key, value in SETTINGS.items() if name.startswith("pixel_contrast")]
    with initialize_config_dir(str(config_directory().resolve()), version_base="1.3"):
        config = compose("train", [f"loss={name}", "seed=7", *settings, *overrides])
    return instantiate(config.loss, num_classes=3, in_channels=[6, 5, 4, 3])


@pytest.mark.parametrize("name", ["pixel_contrast", "pixel_contrast_memory"])
def test_pixel_contrast_is_what_its_file_says(name):
    loss = composed(name)
    assert isinstance(loss, PixelContrastLoss)
    contrast = loss.contrast
    assert (contrast.temperature, contrast.base_temperature, loss.start_step) == (0.07, 0.07, 67)
    assert loss.heads.stages == [-1]
    assert (contrast.sampler.max_views, contrast.sampler.max_samples, contrast.sampler.seed) == (100, 1024, 7)
    if name == "pixel_contrast":
        assert contrast.memory is None
    else:
        assert isinstance(contrast.memory, PixelMemory)
        assert contrast.memory.queues.shape == (2, 3, 5000, 256)
        assert (contrast.memory.pixels_a_step, contrast.memory.seed) == (10, 7)


def test_constructors_defaults_are_the_files():
    loss, plain = composed("multiscale"), MultiscaleLoss(3, [6, 5, 4, 3])
    assert loss.alpha == plain.alpha
    assert loss.start_step == plain.start_step == 0
    for name in ("stage_weights", "cross_stages", "cross_weight", "temperature"):
        assert getattr(loss.contrast, name) == getattr(plain.contrast, name)
    for name in ("min_pixels", "max_views", "max_samples"):
        assert getattr(loss.contrast.sampler, name) == getattr(plain.contrast.sampler, name)


@pytest.mark.parametrize("name", ["pixel_contrast", "pixel_contrast_memory", "multiscale"])
def test_a_composed_loss_trains(name):
    small = ["loss.memory.size=20"] if name == "pixel_contrast_memory" else []
    loss = composed(name, "loss.embedding_dim=8", *small)
    terms = loss(*batch())
    terms.total.backward()
    loss.update()
    assert torch.isfinite(terms.total)

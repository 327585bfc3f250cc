"""A trained network as a function of pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch

from contextrast.checkpoints.contents import load_checkpoint
from contextrast.errors import ConfigError, DataError
from contextrast.export import describe
from contextrast.models import InferenceProtocol
from contextrast.predicting import load_predictor, trained_range
from tests.analysis.checkpoints import tiny_module, written
from tests.data.written import wide_png

CPU = torch.device("cpu")


def test_a_checkpoint_predicts_what_its_network_does_whole_and_in_windows(tmp_path):
    path = written(tiny_module(tmp_path), tmp_path / "a.ckpt")
    network = load_checkpoint(path).network()
    image = np.random.default_rng(0).integers(256, size=(64, 96, 3), dtype=np.uint8)
    pixels = (torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255 - network.mean) / network.std
    with torch.no_grad():
        whole = network(pixels)
        halves = torch.cat([network(pixels[..., :48]), network(pixels[..., 48:])], dim=3)
    for protocol, expected in (({}, whole), ({"window": (64, 48), "overlap": 0.0}, halves)):
        found = load_predictor(path, InferenceProtocol(**protocol), CPU)(image)
        assert found.dtype == np.uint8
        assert (found != expected.argmax(1)[0].numpy()).mean() < 0.001
    assert (whole.argmax(1) != halves.argmax(1)).any()


def test_images_are_read_in_the_range_of_the_training(tmp_path):
    values = np.random.default_rng(0).integers(0, 4096, (5, 7, 3)).astype(np.uint16)
    image = wide_png(tmp_path / "x.png", values)
    path = written(tiny_module(tmp_path), tmp_path / "a.ckpt")
    with pytest.raises(DataError, match="16 bits"):
        load_predictor(path, InferenceProtocol(), CPU).read(image)
    trained_on(path, [0, 4095])
    read = load_predictor(path, InferenceProtocol(), CPU).read(image)
    assert np.array_equal(read, np.rint(values / 4095 * 255))
    other = load_predictor(path, InferenceProtocol(), CPU, image_range=[0, 2000]).read(image)
    assert np.array_equal(other, np.rint(values.clip(0, 2000) / 2000 * 255))
    checkpoint = load_checkpoint(path)
    assert trained_range(describe(checkpoint, checkpoint.network(), "bytes")["data"], 3) == (0, 4095)
    with pytest.raises(ConfigError, match="image_range"):
        load_predictor(trained_on(path, "everything"), InferenceProtocol(), CPU)


def trained_on(path: Path, image_range: object) -> Path:
    """Writes another image range into a checkpoint's settings."""
    content = torch.load(path, weights_only=True)
    content["hyper_parameters"]["data"]["dataset"]["image_range"] = image_range
    torch.save(content, path)
    return path

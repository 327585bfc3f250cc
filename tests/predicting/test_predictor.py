"""A trained network as a function of pictures."""

import numpy as np
import torch

from contextrast.checkpoints.contents import load_checkpoint
from contextrast.models import InferenceProtocol
from contextrast.predicting import load_predictor
from tests.analysis.checkpoints import tiny_module, written

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

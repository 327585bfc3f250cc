"""One trained checkpoint, exported once in every format: tracing graphs takes seconds."""

import numpy as np
import pytest
import torch

from contextrast.checkpoints.contents import load_checkpoint
from contextrast.data import Streets
from contextrast.export import Onnx, Safetensors, SmpFolder, TorchExport, describe
from tests.analysis.checkpoints import tiny_module, written


@torch.no_grad()
def several_classes(segmenter):
    """Give running statistics to an untrained network, and centre its logits, so that it predicts several classes."""
    scenes = np.stack([Streets("train", size=(64, 96)).read(index)[0] for index in range(4)])
    pixels = segmenter.normalize(torch.from_numpy(scenes.transpose(0, 3, 1, 2).copy()))
    segmenter.train()
    for _ in range(20):
        segmenter(pixels)
    segmenter.eval()
    segmenter.network.segmentation_head[0].bias -= segmenter(pixels).mean((0, 2, 3))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    module = tiny_module(folder, "loss=ce", "model.encoder=tu-test_resnet")
    several_classes(module.network)
    return written(module, folder / "checkpoints" / "last.ckpt")


@pytest.fixture(scope="session")
def network(checkpoint):
    return load_checkpoint(checkpoint).network()


@pytest.fixture(scope="session")
def exported(checkpoint, network, tmp_path_factory):
    """The folder of the exports, and what each ``write`` returned by the name of its file."""
    read, folder = load_checkpoint(checkpoint), tmp_path_factory.mktemp("exported")
    metadata = {
        form.name: form.write(network, describe(read, network, form.takes), folder / form.name)
        for form in (SmpFolder(), Onnx(), TorchExport(), Safetensors())
    }
    return folder, metadata

"""HRNetV2: its published size, its decoder pixel by pixel, and the branches it takes from timm."""

import numpy as np
import pytest
import timm
import torch

from contextrast.contrast.heads import EmbeddingHeads
from contextrast.models import Segmenter
from contextrast.models.hrnet import ConcatenatingDecoder, HRNetV2
from tests.models.slow import bilinear, conv_norm_relu, convolve


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def hrnet_w48():
    with torch.device("meta"):
        return HRNetV2("tu-hrnet_w48", classes=19)


def test_parameters_are_the_published_ones(hrnet_w48):
    """Contextrast++, Table XVI, for Cityscapes' 19 classes: deployed, and with four embedding heads of D = 256."""
    with torch.device("meta"):
        heads = EmbeddingHeads(hrnet_w48.encoder.out_channels[2:], 256)
    assert round(count(hrnet_w48) / 1e6, 2) == 65.86
    assert round((count(hrnet_w48) + count(heads)) / 1e6, 2) == 66.24


def test_no_layer_of_the_classification_head_exists(hrnet_w48):
    names = {name.split(".")[2] for name, _ in hrnet_w48.named_parameters() if name.startswith("encoder.")}
    stages = {"layer1", "transition1", "stage2", "transition2", "stage3", "transition3", "stage4"}
    assert names == stages | {"conv1", "bn1", "conv2", "bn2"}


def test_stages_are_timms_raw_branches(settings):
    network = Segmenter(architecture="HRNetV2", encoder="tu-hrnet_w18_small", encoder_weights=None, **settings).eval()
    model = timm.create_model("hrnet_w18_small", head="").eval()
    model.load_state_dict(network.encoder.model.state_dict())
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        _, features = network.forward_features(image)
        branches = model.forward_features(image)
    for feature, branch in zip(features, branches, strict=True):
        assert torch.equal(feature, branch)


def test_decoder_against_loops():
    generator = torch.Generator().manual_seed(0)
    sizes = [(3, 16, 12), (5, 8, 6), (2, 4, 3), (3, 2, 1), (4, 1, 1)]  # the image, the stem and three branches
    maps = [torch.randn(2, *size, generator=generator) for size in sizes]
    decoder = ConcatenatingDecoder(9).eval()
    with torch.no_grad():
        for value in decoder.state_dict().values():
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5 if value.is_floating_point() else value)
        result = decoder(maps).numpy()
    for image in range(2):
        branches = [bilinear(branch[image].double().numpy(), 4, 3) for branch in maps[2:]]
        expected = conv_norm_relu(np.concatenate(branches), decoder.mix)
        np.testing.assert_allclose(result[image], expected, rtol=1e-4, atol=1e-5)


def test_logits_against_loops():
    head = HRNetV2("tu-hrnet_w18_small", classes=3).segmentation_head
    decoded = torch.randn(1, 240, 2, 3)
    with torch.no_grad():
        result = head(decoded)[0].numpy()
    expected = bilinear(convolve(decoded[0].double().numpy(), head[0]), 8, 12)
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)

"""Grad-CAM against its formula, written down with autograd."""

import cv2
import numpy as np
import pytest
import torch

from contextrast.analysis.class_activation import class_activations
from contextrast.models import Segmenter


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = Segmenter(
        num_classes=5, mean=[0.5] * 3, std=[0.5] * 3, architecture="FPN", encoder="resnet18", encoder_weights=None,
        decoder_pyramid_channels=8, decoder_segmentation_channels=32, stages=[2, 3, 5],
    )  # fmt: skip
    return network.eval()


def reference(network, image, pixels, train_id):
    """ReLU of the channels weighted by the mean gradient, enlarged bilinearly, cut to the image, scaled."""
    height, width = pixels.shape
    padded = network.pad(network.normalize(image[None]))
    logits, features = network.forward_features(padded)
    score = logits[0, train_id, :height, :width][torch.from_numpy(pixels)].sum()
    for feature, gradient in zip(features, torch.autograd.grad(score, features), strict=True):
        weights = gradient[0].mean((1, 2))
        cam = (weights[:, None, None] * feature[0]).sum(0).relu().detach().numpy()
        inside = cv2.resize(cam, padded.shape[:1:-1])[:height, :width]
        yield inside / inside.max()


@pytest.mark.parametrize("size", [(64, 96), (50, 71)])
def test_activations_follow_the_formula(network, size) -> None:
    generator = torch.Generator().manual_seed(1)
    image = torch.randint(256, (3, *size), generator=generator, dtype=torch.uint8)
    pixels = (torch.rand(size, generator=generator) < 0.3).numpy()
    found = class_activations(network, image, pixels, train_id=3)
    assert len(found) == 3
    for one, expected in zip(found, reference(network, image, pixels, 3), strict=True):
        assert one.shape == size
        assert 0 < expected.mean() < 0.9
        np.testing.assert_allclose(one, expected, atol=1e-4)


def test_nothing_is_left_in_the_network(network) -> None:
    before = len(network._forward_hooks)
    class_activations(network, torch.zeros(3, 64, 64, dtype=torch.uint8), np.ones((64, 64), bool), 0)
    assert all(parameter.grad is None for parameter in network.parameters())
    assert len(network._forward_hooks) == before


def test_a_class_without_a_pixel_has_no_activation(network) -> None:
    image = torch.zeros(3, 64, 64, dtype=torch.uint8)
    assert all(not one.any() for one in class_activations(network, image, np.zeros((64, 64), bool), 0))

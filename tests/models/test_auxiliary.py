"""The auxiliary head, and when there is one."""

import pytest
import torch

from contextrast.errors import ConfigError
from contextrast.models import AuxiliaryHead, Segmenter, build_auxiliary


@pytest.fixture
def network(settings):
    return Segmenter(encoder="resnet18", encoder_weights=None, stages=(2, 5), **settings)


def test_it_segments_from_its_stage(network):
    head = build_auxiliary(network, 4, 5)
    assert head.stage == 4  # not among those the loss sees
    maps = network.forward_training(torch.randn(2, 3, 64, 96)).maps
    assert head(maps).shape == (2, 5, 4, 6)
    kinds = [type(layer).__name__ for layer in head.layers]
    assert kinds == ["Conv2d", "BatchNorm2d", "ReLU", "Dropout2d", "Conv2d"]
    assert sum(p.numel() for p in head.parameters()) == 256 * 256 * 9 + 2 * 256 + 256 * 5 + 5


def test_only_the_stage_it_sees_gets_its_gradient():
    head = AuxiliaryHead(1, 4, 3, channels=8)
    maps = [torch.randn(2, 4, 6, 6, requires_grad=True) for _ in range(3)]
    head(maps).sum().backward()
    assert [m.grad is not None for m in maps] == [False, True, False]


def test_no_stage_is_no_head(network):
    assert build_auxiliary(network, None, 5) is None


@pytest.mark.parametrize("stage", [0, 6])
def test_a_stage_the_encoder_lacks_is_named(network, stage):
    with pytest.raises(ConfigError, match=rf"module\.auxiliary_stage={stage}: .*no stage {stage}.*4 \(256 channels"):
        build_auxiliary(network, stage, 5)


def test_a_network_with_auxiliary_logits_takes_no_second_head(settings):
    ocr = Segmenter(
        architecture="OCRNet", encoder="tu-hrnet_w18_small", encoder_weights=None, decoder_channels=16,
        decoder_key_channels=8, **settings,
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"module\.auxiliary_stage=4.*of its own.*auxiliary_stage=null"):
        build_auxiliary(ocr, 4, 5)

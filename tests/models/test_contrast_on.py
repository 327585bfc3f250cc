"""Decoders' maps and named modules of smp's networks, and of ours."""

import pytest
import torch
from omegaconf import OmegaConf

from contextrast.contrast import ContextrastLoss, FeatureTaps
from contextrast.errors import ConfigError
from contextrast.folders import config_directory
from contextrast.models import Segmenter
from contextrast.models.build import ARCHITECTURES
from tests.models.test_segmenter import ARCHITECTURES as SETTINGS

# Strides of the maps that each decoder is known to make of encoders whose deepest map has stride 32.
DECODERS = {
    "FPN": [4, 8, 16, 32],
    "UPerNet": [4, 8, 16, 32],
    "Segformer": [4, 8, 16, 32],
    "Unet": [4, 8, 16],
    "UnetPlusPlus": [4, 8, 16],
    "MAnet": [4, 8, 16],
    "Linknet": [4, 8, 16],
    "PAN": [4, 8, 16],
    "DeepLabV3Plus": [4, 16],
    "DPT": [2, 4, 8, 16],
    "HRNetV2": [4],
    "OCRNet": [4],
}


def build(architecture, contrast_on, settings):
    own = {"encoder": "resnet18", **SETTINGS[architecture][0]}
    return Segmenter(architecture=architecture, encoder_weights=None, contrast_on=contrast_on, **own, **settings)


@pytest.mark.parametrize("architecture", DECODERS)
def test_a_decoder_s_maps_are_shown_shallowest_first(architecture, settings):
    network = build(architecture, "decoder", settings)
    assert list(network.stage_strides) == DECODERS[architecture]
    side = 2 * network.smallest_side
    seen = network.forward_training(torch.randn(2, 3, side, side))
    claimed = [(2, c, side // s, side // s) for c, s in zip(network.stage_channels, network.stage_strides, strict=True)]
    assert [tuple(one.shape) for one in seen.features] == claimed
    (seen.logits.sum() + sum(one.sum() for one in seen.features)).backward()
    assert all((p.grad is not None) == p.requires_grad for p in network.parameters())


@pytest.mark.parametrize("architecture", sorted(set(ARCHITECTURES) - set(DECODERS)))
def test_decoders_of_one_stride_are_refused_with_modules_to_name(architecture, settings):
    with pytest.raises(ConfigError, match=r"contrast_on=decoder.*contrast_on=\[decoder\."):
        build(architecture, "decoder", settings)


def test_named_modules_of_encoder_and_decoder_mix(settings):
    network = build("FPN", ["encoder.layer1", "decoder.p3"], settings)
    assert network.stage_names == ("encoder.layer1", "decoder.p3")
    assert list(zip(network.stage_channels, network.stage_strides, strict=True)) == [(64, 4), (256, 8)]
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        seen = network.eval().forward_training(image)
        maps = network.encoder(image)
        torch.testing.assert_close(seen.features[0], maps[2])
        decoder = network.network.decoder
        expected = decoder.p3(decoder.p4(decoder.p5(maps[5]), maps[4]), maps[3])
        torch.testing.assert_close(seen.features[1], expected)
        torch.testing.assert_close(seen.logits, network(image))


@pytest.mark.parametrize(
    ("own", "numbers"),
    [
        ({"architecture": "FPN", "encoder": "resnet18"}, [2, 5]),
        ({"architecture": "Segformer", "encoder": "mit_b0"}, [2, 5]),  # its map 1 is empty
        ({"architecture": "DPT", **SETTINGS["DPT"][0]}, [1, 4]),  # its encoder does not hand the image on
    ],
    ids=str,
)
def test_numbers_in_names_are_those_of_stages(own, numbers, settings):
    torch.manual_seed(0)
    named = Segmenter(encoder_weights=None, contrast_on=[f"encoder.{n}" for n in numbers], **own, **settings)
    numbered = Segmenter(named.network, stages=numbers, **settings)
    assert named.stage_names == tuple(f"encoder.{n}" for n in numbers)
    assert named.stage_channels == numbered.stage_channels
    assert named.stage_strides == numbered.stage_strides
    side = 2 * named.smallest_side
    image = torch.randn(1, 3, side, side)
    with torch.no_grad():
        expected = numbered.eval().forward_training(image).features
        torch.testing.assert_close(named.eval().forward_training(image).features, expected, rtol=0, atol=0)
        taps = FeatureTaps(named.network, at=list(named.stage_names), image=image)  # the same names in one's own loop
        named.network(image)
        torch.testing.assert_close(taps.take(), expected, rtol=0, atol=0)


@pytest.mark.parametrize(("name", "there"), [("encoder.6", "0, 1, 2, 3, 4, 5"), ("decoder.p3.1.1", "no module")])
def test_maps_that_are_not_there_are_refused_with_those_that_are(name, there, settings):
    with pytest.raises(ConfigError, match=there):
        build("FPN", [name], settings)


def test_the_rule_for_stage_weights_is_in_the_message():
    with pytest.raises(ConfigError, match=r"4 values for 2 feature maps.*one weight.*null"):
        ContextrastLoss(num_classes=3, in_channels=[64, 256], stage_weights=[0.1, 0.4, 0.7, 1.0])


def test_weights_that_are_not_given_follow_from_the_number_of_maps():
    found = {n: ContextrastLoss(3, [4] * n).contrast.stage_weights for n in (1, 2, 3, 4, 6)}
    for number in (1, 2, 3):  # those of the papers' ablation
        ablation = OmegaConf.load(config_directory() / "ablation" / "stages" / f"deepest_{number}.yaml")
        assert found[number] == tuple(ablation.loss.stage_weights)
    assert found[4] == (0.1, 0.4, 0.7, 1.0)  # the paper's own
    assert found[6] == (0.1, 0.1, 0.1, 0.4, 0.7, 1.0)

"""Networks that arrive as objects: what they may be, and how they train, segment and export."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.segmentation import fcn_resnet50

from contextrast.errors import ConfigError
from contextrast.export import Deployed
from contextrast.models import Segmenter
from contextrast.models.lraspp import LRASPP

BY_NAME = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}


class Pyramid(nn.Module):
    """Maps at strides 2, 4 and 8; logits at stride 4, in the answer that is asked for."""

    def __init__(self, num_classes, wrap=lambda logits: logits):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.second = nn.Sequential(nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True))
        self.third = nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.last = nn.Conv2d(6 + 8, num_classes, 1)
        self.unused = nn.Linear(3, 3)
        self.wrap = wrap

    def forward(self, image):
        fine = self.second(self.first(image))
        coarse = F.interpolate(self.third(fine), size=fine.shape[-2:], mode="nearest")
        return self.wrap(self.last(torch.cat([fine, coarse], 1)))


def segmenter(network=Pyramid, num_classes=5, contrast_on=("second", "third"), **settings):
    torch.manual_seed(0)
    return Segmenter(network, num_classes=num_classes, contrast_on=contrast_on, **BY_NAME, **settings)


@pytest.mark.parametrize(
    "wrap", [lambda x: x, lambda x: {"out": x}, lambda x: {"loss": None, "logits": x}], ids=["tensor", "out", "logits"]
)
@pytest.mark.parametrize("size", [(37, 51), (1, 3), (64, 72)])
def test_logits_are_the_network_s_own_at_the_image_s_size(wrap, size):
    model = segmenter(lambda num_classes: Pyramid(num_classes, wrap)).eval()
    image = torch.randn(2, 3, *size)
    padded = F.pad(image, (0, -size[1] % 8, 0, -size[0] % 8), mode="replicate")
    with torch.no_grad():
        plain = model.network
        fine = plain.second(plain.first(padded))
        coarse = plain.third(fine).repeat_interleave(2, 2).repeat_interleave(2, 3)
        logits = plain.last(torch.cat([fine, coarse], 1))
        expected = F.interpolate(logits, scale_factor=4, mode="bilinear")[..., : size[0], : size[1]]
        torch.testing.assert_close(model(image), expected)


def test_the_maps_are_what_the_named_modules_give_and_pass_gradients_on():
    model = segmenter().train()
    image = torch.randn(2, 3, 32, 48)
    seen = model.forward_training(image)
    assert [tuple(one.shape) for one in seen.features] == [(2, 6, 8, 12), (2, 8, 4, 6)]
    assert (model.stage_names, model.stage_channels, model.stage_strides) == (("second", "third"), (6, 8), (4, 8))
    torch.testing.assert_close(seen.features[1], model.network.third(seen.features[0]))
    (gradient,) = torch.autograd.grad(seen.features[1].sum(), model.network.first.weight, retain_graph=True)
    assert gradient.abs().sum() > 0
    assert not any(p.requires_grad for p in model.network.unused.parameters())  # would stop distributed training
    sum(one.sum() for one in (seen.logits, *seen.features)).backward()
    assert all((p.grad is not None) == p.requires_grad for p in model.parameters())


def test_a_copy_shows_its_own_maps():
    model = segmenter().eval()
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.network.third.weight.zero_()
        other.network.third.bias.fill_(7.0)
        image = torch.randn(1, 3, 16, 16)
        assert (other.forward_features(image)[1][1] == 7).all()
        assert not (model.forward_features(image)[1][1] == 7).any()


def test_a_compiled_training_pass_is_the_same_in_one_graph():
    model = segmenter().eval()
    image = torch.randn(2, 3, 32, 48)
    compiled = torch.compile(model.forward_training, fullgraph=True, backend="aot_eager")
    for _ in range(2):
        expected, found = model.forward_training(image), compiled(image)
        for one, other in zip([expected.logits, *expected.features], [found.logits, *found.features], strict=True):
            torch.testing.assert_close(other, one)


def test_channels_last_maps_stay_so():
    model = segmenter().to(memory_format=torch.channels_last)
    image = torch.randn(2, 3, 32, 48).to(memory_format=torch.channels_last)
    assert all(one.is_contiguous(memory_format=torch.channels_last) for one in model.forward_features(image)[1])


def test_the_deployed_form_computes_the_same():
    model = segmenter().eval()
    batch = torch.randint(0, 256, (2, 3, 37, 51), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(Deployed.of(model)(batch), model(model.normalize(batch)))


def test_torchvision_s_model_brings_auxiliary_logits_and_a_backbone():
    plain = fcn_resnet50(weights=None, weights_backbone=None, num_classes=3, aux_loss=True)
    model = segmenter(plain, 3, ["backbone.layer1", "backbone.layer4"])
    assert model.network is plain
    assert model.encoder is plain.backbone
    assert (model.stage_channels, model.stage_strides) == ((256, 2048), (4, 8))
    assert model.has_auxiliary_logits
    seen = model.eval().forward_training(torch.randn(1, 3, 64, 64))
    assert seen.logits.shape == seen.auxiliary.shape == (1, 3, 64, 64)
    assert all(p.requires_grad for p in plain.aux_classifier.parameters())


def test_a_network_that_asks_for_larger_multiples_than_its_maps_gets_them():
    class Halving(Pyramid):
        def forward(self, image):
            if image.shape[-1] % 32 or image.shape[-2] % 32:
                raise ValueError("sides have to be multiples of 32")
            return super().forward(image)

    model = segmenter(Halving).eval()
    assert model.stride == 32
    assert model(torch.randn(1, 3, 33, 65)).shape == (1, 5, 33, 65)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"contrast_on": "encoder"}, r"no numbered stages.*second \(6 channels, stride 4\)"),
        ({"contrast_on": "decoder"}, r"no decoder.*contrast_on="),
        ({"contrast_on": "third"}, r"\[third\]"),
        ({"contrast_on": ["thrid"]}, r"no module thrid.*third"),
        ({"contrast_on": ["third", "second"]}, r"strides \[8, 4\].*\[second,third\]"),
        ({"contrast_on": ["unused"]}, r"does not run the module 'unused'"),
        ({"encoder": "resnet18"}, r"model\.encoder beside model\.network"),
        ({"decoder_channels": 8}, r"model\.decoder_channels beside model\.network"),
        ({"network": lambda num_classes: Pyramid(7)}, r"7 channels for 5 classes"),
        ({"network": lambda num_classes: Pyramid(5, lambda x: {"masks": x})}, r"mapping of masks.*logits or out"),
        ({"network": lambda num_classes: Pyramid(5, lambda x: x.mean((2, 3)))}, r"tensor \[1, 5\]"),
    ],
)
def test_what_cannot_work_is_refused_with_what_to_do(settings, message):
    with pytest.raises(ConfigError, match=message):
        segmenter(**settings)


def test_other_channels_are_asked_of_the_constructor():
    def build(make, channels, numbers):
        return Segmenter(make, num_classes=3, in_channels=channels, mean=numbers, std=numbers)

    model = build(LRASPP, 5, [0.5] * 5)
    assert model.channels == model.network.model.backbone["0"][0].in_channels == 5
    assert (
        model.network.model.backbone["0"][0].weight.shape == LRASPP(3).model.backbone["0"][0].weight[:, [0] * 5].shape
    )
    assert model.eval()(model.normalize(torch.zeros(1, 5, 64, 64, dtype=torch.uint8))).shape == (1, 3, 64, 64)
    with pytest.raises(ConfigError, match=r"Images have 3 channel\(s\), and LRASPP takes 5"):
        model.normalize(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    with pytest.raises(
        ConfigError, match=r"data\.channels=5: OfThree takes images of three .* no argument in_channels"
    ):
        build(OfThree, 5, [0.5] * 5)
    with pytest.raises(ConfigError, match=r"model\.mean needs 5 number\(s\).*contextrast-check prints"):
        build(LRASPP, 5, [0.5] * 3)


class OfThree(nn.Conv2d):
    def __init__(self, num_classes):
        super().__init__(3, num_classes, 1)


def test_numbers_of_stages_are_refused_where_maps_have_names():
    both = {"num_classes": 3, "mean": [0.5] * 3, "std": [0.5] * 3}
    with pytest.raises(ConfigError, match=r"model\.stages=\[2, 3\]: the maps of LRASPP have names.*backbone\.3,"):
        Segmenter(LRASPP, stages=[2, 3], **both)
    assert Segmenter(LRASPP, contrast_on=["model.backbone.6"], **both).stage_names == ("model.backbone.6",)

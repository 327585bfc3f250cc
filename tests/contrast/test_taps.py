"""Feature maps of networks of every library, against what the libraries themselves say and give."""

import copy
import pickle
import subprocess
import sys

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
import torch.distributed as dist
import torchvision.models as tv
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torchvision.models.feature_extraction import create_feature_extractor

from contextrast import ContextrastLoss, FeatureTaps
from contextrast.errors import ConfigError

IMAGE = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
STAGES = ["layer1", "layer2", "layer3", "layer4"]
CONVNEXT = [f"features.{number}" for number in (1, 3, 5, 7)]
PLAIN = {
    "torchvision resnet18": (lambda: tv.resnet18(weights=None), STAGES),
    "torchvision convnext": (lambda: tv.convnext_tiny(weights=None), CONVNEXT),
    "torchvision fcn": (
        lambda: tv.segmentation.fcn_resnet50(weights=None, weights_backbone=None, num_classes=3),
        [f"backbone.{stage}" for stage in STAGES],
    ),
    "timm resnet18": (lambda: timm.create_model("resnet18"), STAGES),
}


def smp_fpn():
    torch.manual_seed(0)
    return smp.FPN("resnet18", encoder_weights=None, classes=3)


@pytest.mark.parametrize(
    ("architecture", "encoder"),
    [("FPN", "resnet18"), ("Unet", "efficientnet-b0"), ("Segformer", "mit_b0"), ("UPerNet", "tu-convnext_atto")],
)
def test_smps_networks_show_the_last_four_maps_of_their_encoders(architecture, encoder):
    model = getattr(smp, architecture)(encoder, encoder_weights=None, classes=3)
    taps = FeatureTaps(model)
    assert list(taps.channels) == list(model.encoder.out_channels[-4:])
    assert taps.strides == (4, 8, 16, 32)
    with torch.no_grad():
        model.eval()(IMAGE)
        torch.testing.assert_close(taps.take(), list(model.encoder(IMAGE)[-4:]), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "options", "side"),
    [
        ("resnet18", {}, 256),
        ("convnext_atto", {}, 256),
        ("vit_tiny_patch16_224", {}, 224),
        ("swin_tiny_patch4_window7_224", {"feature_cls": "getter"}, 224),
    ],
)
def test_timms_networks_of_features_show_their_own_answer(name, options, side):
    model = timm.create_model(name, features_only=True, **options)
    image = torch.randn(1, 3, side, side)
    taps = FeatureTaps(model, image=image)
    reductions = model.feature_info.reduction()
    deep = [index for index, reduction in enumerate(reductions) if reduction >= 4]
    assert list(taps.channels) == [model.feature_info.channels()[index] for index in deep]
    assert list(taps.strides) == [reductions[index] for index in deep]
    with torch.no_grad():
        answer = model.eval()(image)
    torch.testing.assert_close(taps.take(), [answer[index] for index in deep], rtol=0, atol=0)


@pytest.mark.parametrize("name", PLAIN)
def test_named_modules_give_what_torchvisions_extractor_gives(name):
    make, at = PLAIN[name]
    model = make().eval()
    extractor = create_feature_extractor(model, at)
    taps = FeatureTaps(model, at=at)
    with torch.no_grad():
        model(IMAGE)
        expected = list(extractor(IMAGE).values())
    maps = taps.take()
    torch.testing.assert_close(maps, expected, rtol=0, atol=0)
    assert list(taps.channels) == [one.shape[1] for one in expected]
    assert list(taps.strides) == [IMAGE.shape[-1] // one.shape[-1] for one in expected]


def test_a_network_trains_with_them():
    model = smp_fpn()
    taps = FeatureTaps(model)
    loss = ContextrastLoss(3, taps.channels, embedding_dim=8, base=nn.CrossEntropyLoss(ignore_index=255))
    terms = loss(model(IMAGE), torch.zeros(2, 64, 96, dtype=torch.long), taps.take())
    gradients = torch.autograd.grad(terms.weighted["contrast"], list(model.encoder.layer4.parameters()))
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_looking_leaves_a_network_as_it_was():
    model = smp_fpn()
    model.encoder.bn1.eval()  # frozen, while all others train
    modes = {name: module.training for name, module in model.named_modules()}
    state = copy.deepcopy(model.state_dict())
    drawn = torch.random.get_rng_state()
    taps = FeatureTaps(model)
    assert {name: module.training for name, module in model.named_modules()} == modes
    torch.testing.assert_close(dict(model.state_dict()), dict(state), rtol=0, atol=0)
    assert torch.equal(torch.random.get_rng_state(), drawn)
    assert hooks(model) == 2
    taps.remove()
    assert hooks(model) == 0


def hooks(model):
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def test_every_pass_is_taken_once_and_the_last_one_counts():
    model = smp_fpn().eval()
    taps = FeatureTaps(model)
    with pytest.raises(ConfigError, match=r"take\(\) must follow a forward pass"):
        taps.take()
    with torch.no_grad():
        model(torch.zeros_like(IMAGE))
        model(IMAGE)
        torch.testing.assert_close(taps.take(), list(model.encoder(IMAGE)[-4:]))
        taps.take()  # of the encoder alone, just called
    with pytest.raises(ConfigError, match="taken once"):
        taps.take()
    model(IMAGE)
    taps.remove()
    with pytest.raises(ConfigError, match="removed"):
        taps.take()


class Fickle(nn.Module):
    """Runs its second layer when asked to."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.deep = nn.Conv2d(3, 4, 4, 4), nn.Conv2d(4, 5, 2, 2), True

    def forward(self, image):
        return self.second(self.first(image)) if self.deep else self.first(image)


def test_a_pass_that_does_not_run_a_module_is_refused_and_not_filled_from_the_one_before():
    model = Fickle()
    taps = FeatureTaps(model, at=["first", "second"])
    model(IMAGE)
    model.deep = False
    model(IMAGE)
    with pytest.raises(ConfigError, match="that runs second"):
        taps.take()
    with pytest.raises(ConfigError, match="at has second"):
        FeatureTaps(model, at=["first", "second"])


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_copies_of_network_and_taps_go_together(duplicate):
    model = Fickle()
    taps = FeatureTaps(model, at=["first", "second"])
    model(IMAGE)  # what is held now has a gradient
    other_model, other = duplicate((model, taps))
    assert other.channels == (4, 5)
    with pytest.raises(ConfigError, match="forward pass"):
        other.take()
    other_model(torch.zeros_like(IMAGE))
    torch.testing.assert_close(taps.take()[0], model.first(IMAGE))
    torch.testing.assert_close(other.take()[0], other_model.first(torch.zeros_like(IMAGE)))


def test_a_copy_of_the_network_alone_leaves_the_taps_with_the_original():
    model = Fickle()
    taps = FeatureTaps(model, at=["first"])
    average = copy.deepcopy(model)
    model(IMAGE)
    average(torch.zeros_like(IMAGE))
    torch.testing.assert_close(taps.take()[0], model.first(IMAGE))


class Several(nn.Module):
    """An encoder that hands the image on before its maps, and a layer on one of them."""

    def __init__(self):
        super().__init__()
        self.encoder, self.last = Maps(), nn.Conv2d(4, 5, 2, 2)

    def forward(self, image):
        return self.last(self.encoder(image)[1])


class Maps(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 4, 4)

    def forward(self, image):
        return [image, self.first(image)]


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize(
    "make",
    [lambda: (Fickle(), ["first", "second"]), lambda: (Several(), ["encoder.1", "last"]), lambda: (smp_fpn(), None)],
)
def test_a_compiled_network_shows_the_same(backend, make):
    torch.compiler.reset()
    model, at = make()
    model.eval()
    compiled = torch.compile(model, backend=backend, fullgraph=True)
    taps = FeatureTaps(compiled, at)
    for factor in (1, 2, 3):
        with torch.compiler.set_stance("default" if factor == 1 else "fail_on_recompile"):
            answer = compiled(factor * IMAGE)
        maps = taps.take()
        torch.testing.assert_close(answer, model(factor * IMAGE))
        torch.testing.assert_close(maps, taps.take())
        gradient = torch.autograd.grad(sum(one.sum() for one in maps), next(model.parameters()))
        assert gradient[0].abs().sum() > 0


def test_taps_made_after_a_compiled_pass_say_so():
    torch.compiler.reset()
    model = Fickle()
    compiled = torch.compile(model, backend="eager")
    compiled(IMAGE)
    taps = FeatureTaps(compiled, at=["first"])
    compiled(IMAGE)
    with pytest.raises(ConfigError, match="compiled model"):
        taps.take()


def test_a_network_inside_ddp_shows_the_same(tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        model = Fickle()
        wrapped = DistributedDataParallel(model)
        taps = FeatureTaps(wrapped, at=["first", "second"])
        wrapped(IMAGE)
        torch.testing.assert_close(taps.take()[0], model.first(IMAGE))
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize(
    ("make", "options", "words"),
    [
        (lambda: tv.resnet18(weights=None), {}, r"at must name modules.*layer1 \(64 channels, stride 4\).*layer4"),
        (lambda: tv.resnet18(weights=None), {"at": ["layr4"]}, "no module layr4.*layer4"),
        (lambda: tv.resnet18(weights=None), {"at": "layer4"}, "at must be a list"),
        (lambda: tv.resnet18(weights=None), {"at": ["layer4", "layer1"]}, r"\[32, 4\].*\[layer1,layer4\]"),
        (lambda: tv.resnet18(weights=None), {"at": ["fc"]}, "at: fc.*no feature map"),
        (lambda: nn.DataParallel(Fickle()), {"at": ["first"]}, "DataParallel"),
        (Fickle, {"at": ["first"], "image": torch.zeros(1, 1, 64, 64)}, r"image must be.*\[1, 1, 64, 64\]"),
        (lambda: timm.create_model("vit_tiny_patch16_224", features_only=True), {}, r"image must be.*224"),
        (  # its maps have their channels last
            lambda: timm.create_model("swin_tiny_patch4_window7_224", features_only=True),
            {"image": torch.zeros(1, 3, 224, 224)},
            r"several feature maps \[B, C, H, W\]",
        ),
    ],
)
def test_what_cannot_be_taken_is_refused_and_leaves_no_hooks(make, options, words):
    model = make()
    with pytest.raises(ConfigError, match=words) as caught:
        FeatureTaps(model, **options)
    assert "\n" not in str(caught.value)
    assert hooks(model) == 0


def test_the_import_stays_light():
    heavy = ("kornia", "lightning", "segmentation_models_pytorch", "hydra", "timm", "torchvision", "torch._dynamo")
    command = f"import sys, contextrast; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

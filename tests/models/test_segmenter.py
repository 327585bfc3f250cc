"""Any architecture: any size, stages, stock weights, errors."""

from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import torch

from contextrast.config import instantiate
from contextrast.errors import ConfigError, WeightsError
from contextrast.models import Segmenter
from contextrast.models import build as building

CONF = Path(__file__).parents[2] / "conf" / "model"
VIT = {
    "encoder": "tu-vit_tiny_patch16_224",
    "dynamic_img_size": True,
    "decoder_intermediate_channels": (8, 8, 8, 8),
    "decoder_fusion_channels": 8,
}
# Per architecture: its settings over the smallest encoder, and the (channels, stride) of its stages.
BRANCHES = [(16, 4), (32, 8), (64, 16), (128, 32)]
RESNET = [(64, 4), (128, 8), (256, 16), (512, 32)]
ARCHITECTURES = {
    **dict.fromkeys(["Unet", "UnetPlusPlus", "MAnet", "Linknet", "FPN", "UPerNet", "Segformer"], ({}, RESNET)),
    "PSPNet": ({"stages": (2, 3)}, RESNET[:2]),
    "DeepLabV3": ({}, [(64, 4), (128, 8), (256, 8), (512, 8)]),
    "DeepLabV3Plus": ({}, [(64, 4), (128, 8), (256, 16), (512, 16)]),
    "PAN": ({}, [(64, 4), (128, 8), (256, 16), (512, 16)]),
    "HRNetV2": ({"encoder": "tu-hrnet_w18_small"}, BRANCHES),
    "OCRNet": ({"encoder": "tu-hrnet_w18_small", "decoder_channels": 32, "decoder_key_channels": 16}, BRANCHES),
    "DPT": ({"stages": (1, 2, 3, 4), **VIT}, [(192, 16)] * 4),
    "LinearHead": (
        {"stages": (1, 2, 3, 4), "encoder": VIT["encoder"], "dynamic_img_size": True},
        [(192, 16)] * 4,
    ),
}


@pytest.fixture(scope="module")
def networks():
    built = {}

    def build(architecture, **settings):
        if architecture not in built:
            own = {"encoder": "resnet18", **ARCHITECTURES[architecture][0], **settings}
            built[architecture] = Segmenter(architecture=architecture, encoder_weights=None, **own).eval()
        return built[architecture]

    return build


def test_every_architecture_is_tested():
    assert {cls.__name__ for cls in smp.MODEL_ARCHITECTURES_MAPPING.values()} < set(ARCHITECTURES)
    assert set(building.ARCHITECTURES) == set(ARCHITECTURES)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
class TestEveryArchitecture:
    @pytest.mark.parametrize("size", [(37, 51), (1, 3), (64, 70)])
    def test_takes_any_size(self, architecture, size, networks, settings):
        network = networks(architecture, **settings)
        with torch.no_grad():
            logits = network(torch.randn(1, 3, *size))
        assert logits.shape == (1, 5, *size)
        assert logits.isfinite().all()

    def test_pads_by_repeating_the_border_and_crops(self, architecture, networks, settings):
        network = networks(architecture, **settings)
        image = torch.randn(1, 3, 37, 51)
        # An independent way to the padded image: clamped indices.
        _, right, _, bottom = network.padding(37, 51)
        rows = torch.arange(37 + bottom).clamp(max=36)
        columns = torch.arange(51 + right).clamp(max=50)
        with torch.no_grad():
            expected = network.network(image[:, :, rows][..., columns])[..., :37, :51]
            torch.testing.assert_close(network(image), expected, rtol=0, atol=0)

    def test_coarse_logits_are_the_logits_a_few_rows_at_a_time(self, architecture, networks, settings):
        network, image = networks(architecture, **settings), torch.randn(2, 3, 70, 101)
        with torch.no_grad():
            expected, coarse = network(image), network.coarse(image)
            pieces = [coarse.rows(slice(first, min(first + 16, 70))) for first in range(0, 70, 16)]
        torch.testing.assert_close(torch.cat(pieces, 2), expected, rtol=1e-4, atol=1e-5)
        # Decoders that go to the image's size, and a head that interpolates by itself.
        fine = architecture in {"Unet", "UnetPlusPlus", "MAnet", "Linknet", "DPT"}
        smallest_stride = 1 if fine else 2
        assert coarse.values.shape[2] <= -(-coarse.height // smallest_stride)

    def test_stages_have_the_channels_and_strides_they_claim(self, architecture, networks, settings):
        network = networks(architecture, **settings)
        height, width = 2 * network.smallest_side, 3 * network.smallest_side
        with torch.no_grad():
            _, features = network.forward_features(torch.randn(1, 3, height, width))
        claimed = list(zip(network.stage_channels, network.stage_strides, strict=True))
        assert claimed == ARCHITECTURES[architecture][1]
        assert [tuple(f.shape) for f in features] == [(1, c, height // s, width // s) for c, s in claimed]

    def test_one_pass_with_stages_is_the_plain_pass(self, architecture, networks, settings):
        network = networks(architecture, **settings)
        image = torch.randn(1, 3, 2 * network.smallest_side, network.smallest_side)
        with torch.no_grad():
            logits, features = network.forward_features(image)
            torch.testing.assert_close(logits, network(image), rtol=0, atol=0)
            encoded = network.encoder(image)
        # The decoder must not have written into what the loss sees.
        maps = [image, *encoded[0]] if isinstance(encoded, tuple) else encoded
        for stage, feature in zip(network.stages, features, strict=True):
            torch.testing.assert_close(feature, maps[stage], rtol=0, atol=0)

    def test_the_deployed_network_is_the_stock_one(self, architecture, networks, settings):
        network = networks(architecture, **settings)
        options = {k: v for k, v in ARCHITECTURES[architecture][0].items() if k not in ("stages", "encoder")}
        stock = building.ARCHITECTURES[architecture](
            encoder_name=ARCHITECTURES[architecture][0].get("encoder", "resnet18"),
            encoder_weights=None,
            classes=5,
            **options,
        ).eval()
        stock.load_state_dict(network.network.state_dict(), strict=True)
        image = torch.randn(1, 3, 2 * network.smallest_side, network.smallest_side)
        with torch.no_grad():
            torch.testing.assert_close(stock(image), network(image), rtol=0, atol=0)

    def test_every_trainable_parameter_gets_a_gradient(self, architecture, networks, settings):
        network = networks(architecture, **settings)
        logits, features = network.forward_features(torch.randn(1, 3, network.smallest_side, network.smallest_side))
        (logits.sum() + sum(f.sum() for f in features)).backward()
        without = {name for name, p in network.named_parameters() if p.grad is None}
        assert without == {name for name, p in network.named_parameters() if not p.requires_grad}
        network.zero_grad(set_to_none=True)

    def test_training_on_a_batch_of_one_fails_where_it_is_predicted_to(self, architecture, networks, settings):
        network = networks(architecture, **settings)
        image = torch.randn(1, 3, 2 * network.smallest_side, 2 * network.smallest_side)
        state = {name: value.clone() for name, value in network.state_dict().items()}
        network.train()
        if network.single_pixel_norms:
            with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
                network.forward_features(image)
            with pytest.raises(ConfigError, match=r"batch_size to 2"):
                network.check_batch_size(1)
        else:
            network.forward_features(image)
            network.check_batch_size(1)
        network.check_batch_size(2)
        network.load_state_dict(state)
        network.eval()


def test_norms_over_single_pixels_are_found_in_the_architectures_that_pool(networks, settings):
    found = {a for a in ARCHITECTURES if networks(a, **settings).single_pixel_norms}
    assert found == {"DeepLabV3", "DeepLabV3Plus", "PAN", "UPerNet"}


def test_a_crop_of_one_deep_pixel_needs_more_than_one_image(networks, settings):
    network = networks("FPN", **settings)
    network.check_batch_size(1, (33, 32))
    with pytest.raises(ConfigError, match="crop of 32x32"):
        network.check_batch_size(1, (32, 32))


def test_sizes_off_the_grid_are_refused_in_training(networks, settings):
    network = networks("FPN", **settings)
    with pytest.raises(ConfigError, match=r"37x51.*multiples of 32.*64x64"):
        network.forward_features(torch.zeros(1, 3, 37, 51))
    network.forward_features(network.pad(torch.zeros(1, 3, 37, 51)))


def test_normalize_is_the_textbook_formula(networks, settings):
    network = networks("FPN", **settings)
    image = torch.randint(0, 256, (2, 3, 4, 5), dtype=torch.uint8).to(memory_format=torch.channels_last)
    normal = network.normalize(image)
    for channel in range(3):
        expected = (image[:, channel].double() / 255 - settings["mean"][channel]) / settings["std"][channel]
        torch.testing.assert_close(normal[:, channel].double(), expected, rtol=1e-5, atol=1e-6)
    assert normal.dtype == torch.float32
    assert normal.is_contiguous(memory_format=torch.channels_last)


def test_mean_and_std_are_no_part_of_the_state(networks, settings):
    state = networks("FPN", **settings).state_dict()
    assert all(name.startswith("network.") for name in state)


def test_channels_last_reaches_the_logits(settings):
    network = Segmenter(encoder="resnet18", encoder_weights=None, **settings).to(memory_format=torch.channels_last)
    image = torch.randn(2, 3, 33, 40).to(memory_format=torch.channels_last)
    assert network.pad(image).is_contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        torch.testing.assert_close(
            network.eval()(image), network.to(memory_format=torch.contiguous_format)(image), rtol=1e-3, atol=1e-3
        )


def test_building_leaves_modes_and_random_state_alone(settings):
    threads = torch.get_num_threads()
    torch.manual_seed(3)
    network = Segmenter(encoder="resnet18", encoder_weights=None, **settings)
    after = torch.rand(1)
    torch.manual_seed(3)
    smp.FPN(encoder_name="resnet18", encoder_weights=None, classes=5)
    assert torch.equal(after, torch.rand(1))
    assert all(module.training for module in network.modules())
    assert torch.get_num_threads() == threads
    assert all(p.grad is None for p in network.parameters())


def test_unused_layers_of_the_default_encoder_do_not_train(settings):
    network = Segmenter(encoder_weights=None, **settings)
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    assert frozen == {f"network.encoder.{name}" for name in ("conv_head.weight", "bn2.weight", "bn2.bias")}


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"architecture": "UPernett"}, ConfigError, r"model\.architecture=UPernett.*UPerNet"),
        ({"encoder": "resnet19"}, ConfigError, r"model\.encoder=resnet19.*resnet18"),
        ({"encoder": "tu-resnet19"}, ConfigError, r"model\.encoder=tu-resnet19.*tu-resnet18"),
        ({"encoder": "q"}, ConfigError, r"Some that exist"),
        ({"stages": [2, 6]}, ConfigError, r"no stage 6.*5 \(512 channels, stride 32\)"),
        ({"stages": [0]}, ConfigError, r"no stage 0"),
        ({"stages": [4], "architecture": "PSPNet"}, ConfigError, r"no stage 4.*3 \(128 channels, stride 8\)"),
        ({"stages": [1], "encoder": "mit_b0"}, ConfigError, r"no stage 1\. It has: 2 \(32 channels, stride 4\)"),
        ({"decoder_pyramid_chanels": 8}, ConfigError, r"decoder_pyramid_chanels.*decoder_pyramid_channels"),
        ({"encoder": "tu-resnet18", "drop_ratee": 0.1}, ConfigError, r"drop_ratee"),
        ({"activation": "softmax"}, ConfigError, r"model\.activation cannot be set"),
        ({"encoder_depth": 4}, ConfigError, r"32x32 images with 64x64 logits\. Multiply model\.upsampling by 0\.5"),
        ({"mean": (0.5, 0.5)}, ConfigError, r"model\.mean needs 3"),
        ({"std": (0.5, 0.5, 0.0)}, ConfigError, r"model\.std needs 3"),
        ({"encoder": "tu-vit_tiny_patch16_224", "architecture": "DPT"}, ConfigError, r"dynamic_img_size"),
        ({"encoder_weights": "lite0"}, WeightsError, r"timm-tf_efficientnet_lite0.*do not fit"),
        ({"encoder_weights": "nowhere.pth"}, WeightsError, r"No weight file at .*nowhere\.pth"),
    ],
)
def test_wrong_settings_are_named_with_what_would_be_right(wrong, error, message, settings):
    arguments = {"encoder": "resnet18", "encoder_weights": None, **settings, **wrong}
    with pytest.raises(error, match=message):
        Segmenter(**arguments)


def test_the_hubs_weights_are_asked_for_only_by_imagenet(settings, monkeypatch):
    asked = []

    def offline(repo_id, filename, **_):
        asked.append(repo_id)
        raise OSError("no connection")

    monkeypatch.setattr(smp.encoders, "hf_hub_download", offline)
    for weights in (None, "lite0"):
        Segmenter(encoder_weights=weights, **settings)
    assert not asked
    with pytest.raises(WeightsError, match="could not be had"):
        Segmenter(encoder_weights="imagenet", **settings)
    assert asked == ["smp-hub/timm-tf_efficientnet_lite0.imagenet"]


def test_a_compiled_graph_has_no_breaks(networks, settings):
    network = networks("Linknet", **settings)
    image = torch.randn(1, 3, 64, 64)
    compiled = torch.compile(network.forward_features, fullgraph=True, backend="eager")
    with torch.no_grad():
        torch.testing.assert_close(compiled(image)[0], network(image))


class TestConfiguration:
    def test_the_default_builds_with_weights(self, composed):
        network = instantiate(composed("train").model, num_classes=11)
        assert network.stage_channels == (24, 40, 112, 320)
        mean, std = network.mean.flatten() * 255, network.std.flatten() * 255
        torch.testing.assert_close(mean, torch.full((3,), 127.0), rtol=0, atol=0.01)
        torch.testing.assert_close(std, torch.full((3,), 128.0), rtol=0, atol=0.01)

    def test_the_free_form_takes_any_pair(self, composed):
        pair = ["model.architecture=Unet", "model.encoder=mobilenet_v2", "+model.decoder_channels=[32,16,8,8,4]"]
        network = instantiate(composed("train", "model=smp", *pair).model, num_classes=3).eval()
        assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 3, 32, 32)

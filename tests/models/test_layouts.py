"""Local files of every encoder in conf/model, in the layouts of the code bases that publish weights for it."""

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
import torchvision
from torchvision.models.swin_transformer import SwinTransformer

from contextrast.errors import WeightsError
from contextrast.models import load_encoder_weights
from tests.models.test_weights import randomised, same

HRNET = {"name": "tu-hrnet_w18_small", "feature_location": ""}
SWIN = {"embed_dim": 24, "depths": [2, 2, 2, 2], "num_heads": [1, 2, 4, 8]}


def encoder(name, **options):
    return smp.encoders.get_encoder(name, weights=None, **options).eval()


def maps_agree(ours, theirs, tolerance=0.0):
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=tolerance, atol=tolerance)


@torch.no_grad()
def outputs(layers, image, at):
    """Outputs of a sequence of layers at some of their indices."""
    found = []
    for index, layer in enumerate(layers):
        image = layer(image)
        if index in at:
            found.append(image)
    return found


class TestOfficialHRNet:
    """Checkpoints of HRNet-Image-Classification; timm keeps their names, so its classifier makes one."""

    @pytest.fixture
    def checkpoint(self):
        model = randomised(timm.create_model("hrnet_w18_small"))
        state = {name: value for name, value in model.state_dict().items() if "num_batches_tracked" not in name}
        # What its source names, level by level.
        assert set(state) >= {
            "conv1.weight", "bn2.running_var", "layer1.0.downsample.1.weight", "transition1.0.0.weight",
            "transition1.1.0.0.weight", "transition3.3.0.1.bias", "stage2.0.branches.1.0.conv2.weight",
            "stage2.0.fuse_layers.0.1.0.weight", "stage4.0.fuse_layers.3.0.0.1.weight",
            "incre_modules.0.0.downsample.0.weight", "downsamp_modules.2.1.weight", "final_layer.0.weight",
            "classifier.bias",
        }  # fmt: skip
        return state

    def test_all_but_the_classification_head_is_the_files(self, tmp_path, checkpoint):
        torch.save(checkpoint, tmp_path / "hrnet.pth")
        target = encoder(**HRNET)
        load_encoder_weights(target, tmp_path / "hrnet.pth")
        ours = {name.removeprefix("model."): value for name, value in target.state_dict().items()}
        head = ("incre_modules.", "downsamp_modules.", "final_layer.", "classifier.")
        for name, value in checkpoint.items():
            assert name.startswith(head) or torch.equal(ours[name], value), name

    def test_anything_else_that_is_left_over_or_missing_is_an_error(self, tmp_path, checkpoint):
        del checkpoint["stage4.0.branches.0.0.conv1.weight"]
        checkpoint["last_layer.0.weight"] = torch.zeros(2)
        torch.save(checkpoint, tmp_path / "other.pth")
        with pytest.raises(WeightsError) as caught:
            load_encoder_weights(encoder(**HRNET), tmp_path / "other.pth")
        message = str(caught.value)
        assert "2 entries do not match" in message
        assert "missing in the file: model.stage4.0.branches.0.0.conv1.weight" in message
        assert "not in the encoder: last_layer.0.weight" in message


class TestSwin:
    @pytest.fixture
    def target(self):
        return encoder("tu-swin_tiny_patch4_window7_224", strict_img_size=False, **SWIN)

    def test_timm(self, tmp_path, target):
        model = randomised(timm.create_model("swin_tiny_patch4_window7_224", **SWIN)).eval()
        torch.save(model.state_dict(), tmp_path / "timm.pth")
        load_encoder_weights(target, tmp_path / "timm.pth")
        image = torch.randn(1, 3, 224, 224)
        with torch.no_grad():
            maps_agree(target(image)[2:], model.forward_intermediates(image, intermediates_only=True))

    def test_torchvision(self, tmp_path, target):
        torch.manual_seed(0)
        model = SwinTransformer([4, 4], 24, [2, 2, 2, 2], [1, 2, 4, 8], [7, 7]).eval()
        torch.save(model.state_dict(), tmp_path / "torchvision.pth")
        load_encoder_weights(target, tmp_path / "torchvision.pth")
        image = torch.randn(1, 3, 224, 224)
        theirs = [x.permute(0, 3, 1, 2) for x in outputs(model.features, image, (1, 3, 5, 7))]
        with torch.no_grad():
            maps_agree(target(image)[2:], theirs, tolerance=1e-4)

    def test_the_authors(self, tmp_path, target):
        """They merge patches at the end of a stage, timm at the beginning of the next, and save derived buffers."""
        source = randomised(encoder("tu-swin_tiny_patch4_window7_224", strict_img_size=False, **SWIN))
        state = {}
        for name, value in source.state_dict().items():
            name = name.removeprefix("model.").replace("layers_", "layers.")
            if "downsample" in name:
                stage = int(name.split(".")[1])
                name = name.replace(f"layers.{stage}", f"layers.{stage - 1}")
            state[name] = value
        state["layers.0.blocks.1.attn_mask"] = torch.zeros(64, 49, 49)
        state["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(49, 49, dtype=torch.long)
        state |= {"norm.weight": torch.zeros(192), "head.weight": torch.zeros(10, 192)}
        torch.save({"model": state}, tmp_path / "authors.pth")
        load_encoder_weights(target, tmp_path / "authors.pth")
        assert same(source, target)


class TestTorchvision:
    @pytest.mark.parametrize("output_stride", [8, 32])
    def test_resnet(self, tmp_path, output_stride):
        model = randomised(torchvision.models.resnet18())
        torch.save(model.state_dict(), tmp_path / "resnet.pth")
        target = encoder("resnet18", output_stride=output_stride)
        load_encoder_weights(target, tmp_path / "resnet.pth")
        ours, theirs = target.state_dict(), model.state_dict()
        assert set(theirs) - set(ours) == {"fc.weight", "fc.bias"}
        assert all(torch.equal(value, theirs[name]) for name, value in ours.items())

    @pytest.mark.parametrize(("name", "last"), [("mobilenet_v2", 18), ("tu-mobilenetv2_100", 17)])
    def test_mobilenet_v2(self, tmp_path, name, last):
        torch.manual_seed(0)
        model = torchvision.models.mobilenet_v2().eval()
        torch.save(model.state_dict(), tmp_path / "mobilenet.pth")
        target = encoder(name)
        load_encoder_weights(target, tmp_path / "mobilenet.pth")
        image = torch.randn(1, 3, 64, 64)
        with torch.no_grad():
            maps_agree(target(image)[1:], outputs(model.features, image, (1, 3, 6, 13, last)), tolerance=1e-5)


def test_timms_mobilenet_v2(tmp_path):
    model = randomised(timm.create_model("mobilenetv2_100")).eval()
    torch.save(model.state_dict(), tmp_path / "timm.pth")
    target = encoder("tu-mobilenetv2_100", output_stride=8)
    load_encoder_weights(target, tmp_path / "timm.pth")
    ours = {name.removeprefix("model."): value for name, value in target.state_dict().items()}
    assert ours
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in ours.items())


def test_segformers_own_file(tmp_path):
    source, target = randomised(encoder("mit_b0")), encoder("mit_b0")
    head = {"head.weight": torch.zeros(1000, 256), "head.bias": torch.zeros(1000)}
    torch.save(source.state_dict() | head, tmp_path / "mit_b0.pth")
    load_encoder_weights(target, tmp_path / "mit_b0.pth")
    assert same(source, target)

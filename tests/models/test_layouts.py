"""Local files of every encoder in conf/model, in the layouts of the code bases that publish weights for it."""

import re
from typing import ClassVar

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
import torchvision
from torchvision.models.swin_transformer import SwinTransformer

from contextrast.errors import WeightsError
from contextrast.models import load_encoder_weights
from contextrast.models.layouts import to_timm
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


class TestTransformers:
    """Folders and files of transformers, of version 5 and of those before, whose names most published files have."""

    SWIN_OF_4: ClassVar = {  # names of version 5, and what they were called
        ".attention.q_proj.": ".attention.self.query.", ".attention.k_proj.": ".attention.self.key.",
        ".attention.v_proj.": ".attention.self.value.", ".attention.o_proj.": ".attention.output.dense.",
        ".attention.relative_position_bias.": ".attention.self.", ".mlp.fc1.": ".intermediate.dense.",
        ".mlp.fc2.": ".output.dense.",
    }  # fmt: skip

    @pytest.fixture
    def transformers(self):
        return pytest.importorskip("transformers", reason="the extra huggingface is not installed")

    @pytest.fixture
    def swin(self, transformers):
        config = transformers.SwinConfig(embed_dim=24, depths=[2, 2, 2, 2], num_heads=[1, 2, 4, 8], num_labels=3)
        return randomised(transformers.SwinForImageClassification(config)).eval()

    @pytest.mark.parametrize("version", [4, 5])
    def test_swin_fills_timms_which_then_computes_the_same(self, tmp_path, swin, version):
        state = swin.state_dict()
        if version == 4:
            for now, then in self.SWIN_OF_4.items():
                state = {name.replace(now, then): value for name, value in state.items()}
        torch.save(state, tmp_path / "pytorch_model.bin")
        target = encoder("tu-swin_tiny_patch4_window7_224", strict_img_size=False, **SWIN)
        load_encoder_weights(target, tmp_path)  # the folder
        image = torch.randn(1, 3, 224, 224)
        with torch.no_grad():
            hidden = swin.swin(image, output_hidden_states=True).reshaped_hidden_states[-1]
            ours = torch.nn.functional.layer_norm(target(image)[-1].permute(0, 2, 3, 1), (192,))
            theirs = torch.nn.functional.layer_norm(hidden.permute(0, 2, 3, 1), (192,))
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)

    def test_swin_of_timm_fills_mask2formers_backbone(self, tmp_path, transformers):
        from contextrast.models.hugging_face import Mask2Former  # noqa: PLC0415  (of an extra)

        source = randomised(timm.create_model("swin_tiny_patch4_window7_224", **SWIN)).eval()
        torch.save(source.state_dict(), tmp_path / "swin.pth")
        network = Mask2Former(
            3, embed_dim=24, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8), hidden_dim=32, pixel_decoder_layers=1,
            decoder_layers=2,
        ).eval()  # fmt: skip
        load_encoder_weights(network.backbone, tmp_path / "swin.pth")
        image = torch.randn(1, 3, 224, 224)
        with torch.no_grad():
            theirs = source.forward_intermediates(image, intermediates_only=True)
            ours = network.backbone(image).feature_maps
        for mine, other in zip(ours, theirs, strict=True):  # its norms of the maps are new
            channels = (mine.shape[1],)
            other = torch.nn.functional.layer_norm(other.permute(0, 2, 3, 1), channels).permute(0, 3, 1, 2)
            torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-3)

    def test_segformer_fills_smps_encoder(self, tmp_path, transformers):
        source = randomised(transformers.SegformerForSemanticSegmentation(transformers.SegformerConfig())).eval()
        source.save_pretrained(tmp_path)
        target = encoder("mit_b0")
        load_encoder_weights(target, tmp_path)
        image = torch.randn(1, 3, 64, 64)
        with torch.no_grad():
            theirs = source.segformer(image, output_hidden_states=True).hidden_states
        maps_agree(target(image)[2:], [one for one in theirs if one.ndim == 4][-4:], 1e-3)


class TestConvNeXtAuthors:
    def test_their_names_become_those_that_timm_makes_of_them(self, tmp_path):
        model = randomised(timm.create_model("convnext_atto", depths=[1, 1, 2, 1], dims=[8, 16, 24, 32]))
        rules = [
            (r"stages\.(\d)\.downsample\.", r"downsample_layers.\1."), (r"stem\.", "downsample_layers.0."),
            (r"\.blocks\.", "."), ("conv_dw", "dwconv"), (r"mlp\.fc(\d)", r"pwconv\1"), (r"head\.norm", "norm"),
            (r"head\.fc", "head"),
        ]  # fmt: skip
        state = model.state_dict()
        for pattern, theirs in rules:
            state = {re.sub(pattern, theirs, name): value for name, value in state.items()}
        assert "stages.2.1.pwconv1.weight" in state
        expected = timm.models.convnext.checkpoint_filter_fn(dict(state), model)
        assert {name for name in expected if name.startswith("stages")} <= set(to_timm(state))
        torch.save({"model": state}, tmp_path / "convnext.pth")
        target = encoder("tu-convnext_atto", depths=[1, 1, 2, 1], dims=[8, 16, 24, 32])
        load_encoder_weights(target, tmp_path / "convnext.pth")
        image = torch.randn(1, 3, 64, 64)
        with torch.no_grad():
            maps_agree(target(image)[-4:], model.eval().forward_intermediates(image, intermediates_only=True))


class TestMMSegmentation:
    def test_swin_s_patch_merging_is_reordered(self):
        """Its unfolding, as mmsegmentation merges patches, against timm's with the converted entries."""
        merging = randomised(timm.models.swin_transformer.PatchMerging(6)).eval()
        theirs = {
            "layers.1.downsample.norm.weight": torch.rand(24), "layers.1.downsample.norm.bias": torch.rand(24),
            "layers.1.downsample.reduction.weight": torch.rand(12, 24),
        }  # fmt: skip
        image = torch.randn(1, 8, 8, 6)
        unfolded = torch.nn.functional.unfold(image.permute(0, 3, 1, 2), 2, stride=2).transpose(1, 2)
        norm, bias, reduction = theirs.values()
        expected = torch.nn.functional.layer_norm(unfolded, (24,), norm, bias) @ reduction.T
        state = {
            "stages.0.blocks.0.attn.w_msa.qkv.weight": torch.rand(3, 1),
            **{name.replace("layers.1", "stages.0"): value for name, value in theirs.items()},
        }
        converted = to_timm(state)
        merging.load_state_dict({name.rpartition("downsample.")[2]: converted[name] for name in theirs})
        torch.testing.assert_close(merging(image).flatten(1, 2), expected)

    def test_swin_and_segformer_have_the_names_that_encoders_have(self):
        swin = {
            f"stages.1.blocks.0.{name}.weight"
            for name in ("attn.w_msa.proj", "ffn.layers.0.0", "ffn.layers.1", "norm1")
        }
        state = dict.fromkeys(
            {"stages.0.blocks.0.attn.w_msa.qkv.weight", "patch_embed.projection.weight", *swin}, torch.rand(3)
        )
        ours = set(encoder("tu-swin_tiny_patch4_window7_224", **SWIN).state_dict())
        assert {f"model.{name}".replace("layers.", "layers_") for name in to_timm(state)} <= ours
        block = {"norm1", "attn.sr", "attn.norm", "attn.attn.out_proj", "ffn.layers.0", "ffn.layers.1", "ffn.layers.4"}
        state = {f"layers.0.1.0.{name}.weight": torch.rand(3) for name in block} | {
            "layers.0.0.projection.weight": torch.rand(3), "layers.3.0.norm.bias": torch.rand(3),
            "layers.0.2.bias": torch.rand(3), "layers.0.1.0.attn.attn.in_proj_weight": torch.arange(6.0).view(6, 1),
        }  # fmt: skip
        found = to_timm(state)
        assert set(found) <= set(encoder("mit_b0").state_dict())
        assert found["block1.0.attn.kv.weight"].flatten().tolist() == [2, 3, 4, 5]


SMALL_VIT = {"embed_dim": 32, "depth": 4, "num_heads": 2}


class TestDINO:
    """Files of plain vision transformers, in the names of their authors, for other patches and images."""

    def test_a_file_of_another_patch_is_resampled_as_timm_does(self, tmp_path):
        source = randomised(timm.create_model("vit_small_patch14_dinov2", img_size=56, **SMALL_VIT))
        state = source.state_dict() | {"mask_token": torch.zeros(1, 32)}  # as the authors' files have
        torch.save(state, tmp_path / "dinov2.pth")
        network = smp.encoders.timm_vit.TimmViTEncoder(
            "vit_small_patch14_dinov2", pretrained=False, patch_size=16, img_size=96, dynamic_img_size=True,
            embed_dim=32, num_heads=2, output_indices=[0, 1, 2, 3],
        )  # fmt: skip
        with pytest.raises(WeightsError, match="does not fit"):  # it has twelve blocks
            load_encoder_weights(network, tmp_path / "dinov2.pth")
        target = timm.create_model(
            "vit_small_patch14_dinov2", patch_size=16, img_size=96, dynamic_img_size=True, **SMALL_VIT
        )
        expected = timm.models.vision_transformer.checkpoint_filter_fn(dict(state), target)
        wrapped = torch.nn.Module()
        wrapped.model = target
        load_encoder_weights(wrapped, tmp_path / "dinov2.pth")
        assert target.patch_embed.proj.weight.shape[-1] == 16
        for name, value in target.state_dict().items():
            torch.testing.assert_close(value, expected[name], rtol=0, atol=0)

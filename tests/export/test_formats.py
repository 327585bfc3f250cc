"""Every format gives back what the network computes, at any size, with what describes it."""

import json

import onnx
import onnxruntime
import pytest
import segmentation_models_pytorch as smp
import torch
from safetensors import safe_open

from contextrast.checkpoints.contents import load_checkpoint
from contextrast.data import Streets
from contextrast.errors import ConfigError
from contextrast.export import Onnx, Safetensors, SmpFolder, TorchExport, describe, verify
from contextrast.models import InferenceProtocol, Segmenter
from contextrast.predicting import Results, load_predictor, write_predictions

SMALL = {"decoder_pyramid_channels": 16, "decoder_segmentation_channels": 32}
# One image, several, smaller than a stride, a single pixel.
SIZES = [(1, 33, 47), (3, 64, 32), (1, 100, 31), (1, 1, 1)]


def segmenter(classes=3, **settings):
    torch.manual_seed(0)
    network = Segmenter(
        num_classes=classes, mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.4], encoder_weights=None, **settings
    )
    for buffer in network.buffers():  # running statistics that are not those of a new network
        if buffer.dtype == torch.float32 and buffer.ndim == 1:
            buffer.uniform_(0.5, 1.5)
    return network.to(memory_format=torch.channels_last).eval()


def described(network, **settings):
    return {
        "model": {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4], **settings},
        "classes": ["sky", "road", "pole"],
        "input": {
            "mean": [0.4, 0.5, 0.6],
            "std": [0.2, 0.3, 0.4],
            "stride": network.stride,
            "smallest_side": network.smallest_side,
        },
    }


def images(batch, height, width):
    return torch.randint(0, 256, (batch, 3, height, width), dtype=torch.uint8)


@torch.no_grad()
def assert_equal_at_every_size(predict, network):
    for size in SIZES:
        batch = images(*size)
        torch.testing.assert_close(predict(batch), network(network.normalize(batch)), rtol=1e-4, atol=1e-4)


def test_stock_smp_loads_the_folder(network, exported):
    folder, written = exported
    stock = smp.from_pretrained(str(folder / "smp")).eval()
    batch = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(stock(batch), network(batch), rtol=1e-4, atol=1e-4)
    assert json.loads((folder / "smp" / "metadata.json").read_text()) == written["smp"]
    assert not (folder / "smp" / "README.md").exists()
    assert_equal_at_every_size(SmpFolder.read(folder / "smp"), network)


def test_safetensors_hold_the_plain_network_and_its_description(network, exported):
    path = exported[0] / "model.safetensors"
    with safe_open(path, framework="pt") as file:
        assert json.loads(file.metadata()["classes"]) == list(Streets.labels.classes)
        assert set(file.keys()) == set(network.network.state_dict())
    assert_equal_at_every_size(Safetensors.read(path), network)


def test_training_starts_from_exported_weights(network, exported):
    again = segmenter(encoder="tu-test_resnet", weights=exported[0] / "model.safetensors", classes=11, **SMALL)
    for name, value in network.network.state_dict().items():
        if not name.endswith(("running_mean", "running_var")):  # which the helper draws anew
            torch.testing.assert_close(again.network.state_dict()[name], value)


def test_torch_export_takes_every_size(network, exported):
    folder, written = exported
    assert written["model.pt2"]["input"]["smallest_image"] == 1
    kept = {"metadata.json": ""}
    torch.export.load(folder / "model.pt2", extra_files=kept)
    assert json.loads(kept["metadata.json"]) == TorchExport.metadata(folder / "model.pt2") == written["model.pt2"]
    assert_equal_at_every_size(TorchExport.read(folder / "model.pt2"), network)


def test_onnx_runs_at_every_size(network, exported):
    folder, written = exported
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    (taken,) = session.get_inputs()
    assert (taken.name, taken.type) == ("image", "tensor(uint8)")
    assert [isinstance(side, str) for side in taken.shape] == [True, False, True, True]
    found = session.get_modelmeta().custom_metadata_map
    assert {key: json.loads(text) for key, text in found.items()} == written["model.onnx"]
    assert_equal_at_every_size(Onnx.read(folder / "model.onnx"), network)


@pytest.mark.parametrize("form", [TorchExport(argmax=True), Onnx(opset=20, argmax=True)], ids=["torch_export", "onnx"])
def test_the_argmax_can_be_inside(network, checkpoint, tmp_path, form):
    path = tmp_path / form.name
    metadata = form.write(network, describe(load_checkpoint(checkpoint), network, form.takes), path)
    assert metadata["output"].startswith("labels uint8")
    read = form.read(path)
    for size in SIZES:
        batch = images(*size)
        with torch.no_grad():
            expected = network(network.normalize(batch)).argmax(1)
        found = read(batch)
        assert (found.dtype, found.shape) == (torch.uint8, expected.shape)
        assert (found != expected).float().mean() < 1e-3
    assert verify(read, network, [], 1e-4)["largest_difference"] < 1e-4
    with pytest.raises(ConfigError, match="differs from the network"):
        verify(lambda batch: (read(batch) + 1) % 11, network, [], 1e-4)
    with pytest.raises(ConfigError, match="differs from the network"):
        verify(lambda batch: read(batch) * 0 + 11, network, [], 1e-4)
    if isinstance(form, Onnx):
        assert onnx.load(path).opset_import[0].version == 20
        assert onnxruntime.InferenceSession(path).get_outputs()[0].name == "labels"
    scene = Streets("test", size=(70, 90)).read(0)[0]
    labels = [load_predictor(one, InferenceProtocol(), torch.device("cpu"), True)(scene) for one in (checkpoint, path)]
    assert (labels[0] != labels[1]).mean() < 1e-3
    predictor = load_predictor(path, InferenceProtocol(), torch.device("cpu"), trusted=True)
    with pytest.raises(ConfigError, match="confidence"):
        write_predictions(predictor, [], Results(tmp_path, predictor.labels, ["mask", "confidence"]))


@pytest.mark.slow
@pytest.mark.parametrize("form", [TorchExport(), Onnx()], ids=["torch_export", "onnx"])
def test_hrnet_becomes_a_graph(tmp_path, form):
    network = segmenter(architecture="HRNetV2", encoder="tu-hrnet_w18_small")
    form.write(network, described(network), tmp_path / form.name)
    assert_equal_at_every_size(form.read(tmp_path / form.name), network)


@pytest.mark.slow
@pytest.mark.parametrize("form", [TorchExport(), Onnx()], ids=["torch_export", "onnx"])
def test_segformer_becomes_a_graph_for_images_beyond_its_stride(tmp_path, form):
    network = segmenter(architecture="Segformer", encoder="mit_b0")
    smallest = form.write(network, described(network), tmp_path / form.name)["input"]["smallest_image"]
    assert smallest == network.stride + 1
    verify(form.read(tmp_path / form.name), network, [], 1e-4, smallest)


def test_what_smp_does_not_have_is_refused_with_alternatives(tmp_path):
    network = segmenter(architecture="HRNetV2", encoder="tu-hrnet_w18_small")
    with pytest.raises(ConfigError, match=r"HRNetV2 is no architecture of smp.*format=onnx.*format=safetensors"):
        SmpFolder().write(network, described(network), tmp_path / "smp")
    assert not list(tmp_path.iterdir())
    settings = {"architecture": "HRNetV2", "encoder": "tu-hrnet_w18_small"}
    Safetensors().write(network, described(network, **settings), tmp_path / "model.safetensors")
    assert_equal_at_every_size(Safetensors().read(tmp_path / "model.safetensors"), network)


def test_a_missing_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"format=onnx needs the library onnxruntime.*contextrast\[export\]"):
        Onnx()


def test_an_old_opset_is_refused():
    with pytest.raises(ConfigError, match=r"format\.opset=11 is too old"):
        Onnx(opset=11)


def test_an_export_that_computes_something_else_is_refused(network):
    with pytest.raises(ConfigError, match="differs from the network"):
        verify(lambda batch: network(network.normalize(batch)) + 0.01, network, [], 1e-4)
    with pytest.raises(ConfigError, match="differs from the network by nan"):
        verify(lambda batch: network(network.normalize(batch)) * torch.nan, network, [], 1e-4)
    with pytest.raises(ConfigError, match="answers"):
        verify(lambda batch: network(network.normalize(batch))[..., 1:], network, [], 1e-4)

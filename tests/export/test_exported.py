"""Exports in the place of a checkpoint: the classes predicted are the checkpoint's, and strangers' files do nothing."""

import json
import struct
import zipfile

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from contextrast.data import Streets
from contextrast.errors import CheckpointError, ConfigError, DataError, WeightsError
from contextrast.export import Exported, load_export
from contextrast.export.metadata import as_text
from contextrast.models import InferenceProtocol
from contextrast.predicting import load_predictor
from contextrast.tasks.evaluate import evaluate
from contextrast.tasks.predict import predict
from tests.test_hostile_files import Creates

CPU = torch.device("cpu")
WHOLE = InferenceProtocol()


@pytest.fixture
def pictures(tmp_path):
    (tmp_path / "in").mkdir()
    for index, size in enumerate([(70, 90), (41, 33)]):
        Image.fromarray(Streets("test", size=size).read(index)[0]).save(tmp_path / "in" / f"{index}.png")
    return tmp_path / "in"


def masks(folder):
    return {path.name: np.asarray(Image.open(path)) for path in sorted((folder / "masks").iterdir())}


def predicted(composed, checkpoint, pictures, folder, *overrides):
    settings = [f"checkpoint={checkpoint}", f"input={pictures}", "device=cpu", "overlay_alpha=null", "window=[64,64]"]
    predict(composed("predict", *settings, *overrides, f"paths.run_dir={folder}"))
    return masks(folder)


@pytest.mark.parametrize("name_of_file", ["smp", "model.onnx", "model.pt2", "model.safetensors"])
def test_predictions_are_the_checkpoints(composed, checkpoint, exported, pictures, tmp_path, name_of_file):
    expected = predicted(composed, checkpoint, pictures, tmp_path / "expected")
    assert len(np.unique(expected["0.png"])) > 2
    network = exported[0] / name_of_file
    found = predicted(composed, network, pictures, tmp_path / "found", "trusted=true")
    assert found.keys() == expected.keys()
    for name, mask in found.items():
        assert (mask != expected[name]).mean() < 0.001  # of pixels between two classes
    assert load_predictor(network, WHOLE, CPU, trusted=True).labels == load_predictor(checkpoint, WHOLE, CPU).labels


def test_scaled_and_mirrored_images_are_those_of_the_checkpoint(composed, checkpoint, exported, pictures, tmp_path):
    views = ("scales=[0.75,1.25]", "flip=true", "window=null")
    expected = predicted(composed, checkpoint, pictures, tmp_path / "expected", *views)
    found = predicted(composed, exported[0] / "model.safetensors", pictures, tmp_path / "found", *views)
    for name, mask in found.items():
        assert (mask != expected[name]).mean() < 0.001


@pytest.mark.parametrize("name_of_file", ["smp", "model.onnx", "model.pt2", "model.safetensors"])
def test_an_evaluation_gives_the_checkpoints_numbers(composed, checkpoint, exported, tmp_path, name_of_file):
    numbers = []
    for path in (checkpoint, exported[0] / name_of_file):
        folder = tmp_path / f"of_{path.name}"
        settings = ["trainer.accelerator=cpu", "protocols.multi_scale={scales:[0.75,1.25],flip:true}", "trusted=true"]
        evaluate(composed("evaluate", f"checkpoint={path}", *settings, f"paths.run_dir={folder}"))
        numbers.append(json.loads((folder / "metrics.json").read_text()))
    of_checkpoint, of_export = numbers
    assert of_export["step"] == of_checkpoint["step"] == 3
    assert 0.01 < of_checkpoint["single_scale"]["miou"] < 0.9
    graph = name_of_file in ("model.onnx", "model.pt2")
    for protocol, share in (("single_scale", 1e-3), ("multi_scale", 2e-2 if graph else 1e-3)):  # graphs take bytes
        first, second = (np.array(one[protocol]["confusion"]) for one in numbers)
        assert first.sum() == second.sum() > 0
        assert np.abs(first - second).sum() <= share * first.sum()


def test_an_evaluation_of_an_export_looks_at_no_maps_of_its_inside(composed, exported):
    settings = ["trainer.accelerator=cpu", "metrics=[features]", f"checkpoint={exported[0] / 'model.safetensors'}"]
    with pytest.raises(ConfigError, match=r"metrics\.features"):
        evaluate(composed("evaluate", *settings))


def test_an_export_names_its_data_and_no_folder_of_this_machine(exported):
    for metadata in exported[1].values():
        assert metadata["data"]["dataset"]["_target_"] == "contextrast.data.Streets"
        assert "root" not in metadata["data"]
        assert metadata["values"] == list(range(11))


def test_an_image_below_what_a_graph_takes_is_named():
    network = Exported(Streets.labels, lambda image: image.float(), 3, smallest_image=33)
    assert network(torch.zeros(1, 3, 33, 40)).shape == (1, 3, 33, 40)
    with pytest.raises(DataError, match=r"32x40 .*smaller than this graph takes: 33"):
        network(torch.zeros(1, 3, 32, 40))


def test_pixels_between_bytes_are_rounded_and_never_wrap():
    network = Exported(Streets.labels, lambda image: image, 3)
    values = torch.tensor([-3.0, 0.4, 0.6, 254.6, 260.0]).view(1, 1, 1, 5)
    assert network(values).flatten().tolist() == [0, 0, 1, 255, 255]


# What a stranger's file cannot do.


def test_a_pt2_file_is_only_read_when_trusted(tmp_path):
    """The file is really malicious: torch evaluates the sizes of its graph."""
    mark, path = tmp_path / "executed", tmp_path / "model.pt2"

    class Twice(torch.nn.Module):
        def forward(self, image):
            return image * 2

    shapes = {"image": {0: torch.export.Dim("batch")}}
    program = torch.export.export(Twice(), (torch.zeros(3, 4),), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "harmless.pt2")
    attack = f'__import__("pathlib").Path({str(mark)!r}).touch()'
    with zipfile.ZipFile(tmp_path / "harmless.pt2") as harmless, zipfile.ZipFile(path, "w") as hostile:
        for name in harmless.namelist():
            content = harmless.read(name)
            if name.endswith("models/model.json"):
                content = json.dumps(_with_expression(json.loads(content), attack)).encode()
            hostile.writestr(name.replace("harmless/", "model/"), content)
    with pytest.raises(CheckpointError, match=r"model\.pt2 was not opened: .*trusted=true"):
        load_export(path, CPU)
    assert not mark.exists()
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_export(path, CPU, trusted=True)  # its metadata is missing, which shows before the graph is read
    assert not mark.exists()
    with pytest.raises(Exception):  # noqa: B017, PT011  (whatever torch makes of the rest)
        torch.export.load(path)
    assert mark.exists()


def _with_expression(content, attack):
    if isinstance(content, dict):
        return {key: attack if key == "expr_str" else _with_expression(value, attack) for key, value in content.items()}
    return [_with_expression(value, attack) for value in content] if isinstance(content, list) else content


@pytest.mark.parametrize("path", ["../secret", "secret"])
def test_an_onnx_file_reads_no_other_file(tmp_path, monkeypatch, path):
    folder = tmp_path / "network"
    folder.mkdir()
    for secret in (tmp_path / "secret", folder / "secret"):
        secret.write_bytes(struct.pack("<4f", 1, 2, 3, 4))
    weight = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[4], data_location=1)
    weight.external_data.add(key="location", value=path)
    image = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, ["batch", 3, "height", "width"])
    logits = onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, [4])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["w"], ["logits"])], "g", [image], [logits], [weight]
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    metadata = {"dataset": "d", "classes": ["a"] * 4, "palette": [[0, 0, 0]] * 4, "input": {}}
    onnx.helper.set_model_props(model, as_text(metadata))
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    monkeypatch.chdir(tmp_path / "..")
    with pytest.raises(CheckpointError, match=r"model\.onnx cannot be read"):
        load_export(folder / "model.onnx", CPU)


@pytest.mark.parametrize(
    "settings",
    [
        {"encoder_weights": "imagenet"},
        {"weights": "/elsewhere/weights.pth"},
        {"encoder": "tu-hf-hub:stranger/network"},
        {"encoder": "tu-local-dir:/elsewhere"},
        {"checkpoint_path": "/elsewhere/evil.pth"},
        {"pretrained_cfg": {"url": "https://stranger.example/evil.pth"}},
    ],
)
def test_weights_in_a_strangers_settings_are_not_sent_for(exported, tmp_path, settings):
    source, path = exported[0] / "model.safetensors", tmp_path / "model.safetensors"
    with safe_open(source, framework="pt") as file:
        metadata = file.metadata()
    metadata["model"] = json.dumps(json.loads(metadata["model"]) | settings)
    save_file(load_file(source), path, metadata)
    with pytest.raises(WeightsError, match=rf"model\.safetensors was refused: with {next(iter(settings))}="):
        load_export(path, CPU)


@pytest.mark.parametrize("settings", [{"encoder_weights": "imagenet"}, {"encoder_name": "tu-hf_hub:stranger/network"}])
def test_an_smp_folder_sends_for_nothing(exported, tmp_path, settings):
    folder = tmp_path / "smp"
    folder.mkdir()
    for file in (exported[0] / "smp").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | settings))
    with pytest.raises(WeightsError, match=r"smp was refused: with encoder"):
        load_export(folder, CPU)


def test_an_smp_folder_with_a_pickle_for_weights_executes_nothing(exported, tmp_path):
    folder, mark = tmp_path / "smp", tmp_path / "executed"
    folder.mkdir()
    for name in ("config.json", "metadata.json"):
        (folder / name).write_bytes((exported[0] / "smp" / name).read_bytes())
    torch.save({"weight": Creates(mark)}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_export(folder, CPU)
    assert not mark.exists()


@pytest.mark.parametrize("name", ["model.onnx", "model.safetensors", "model.pt2"])
def test_a_damaged_or_missing_export_is_named(tmp_path, name):
    with pytest.raises(CheckpointError, match="does not exist"):
        load_export(tmp_path / name, CPU, trusted=True)
    (tmp_path / name).write_bytes(b"not a network")
    with pytest.raises(CheckpointError, match=rf"{name} cannot be read .*contextrast-export"):
        load_export(tmp_path / name, CPU, trusted=True)


def test_weights_that_others_wrote_are_no_export(tmp_path):
    save_file({"w": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="was not written by contextrast-export"):
        load_export(tmp_path / "other.safetensors", CPU)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="was not written by contextrast-export"):
        load_export(tmp_path / "empty", CPU)

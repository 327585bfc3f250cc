"""What is written for each image, against the network's own answers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from contextrast.data import Streets
from contextrast.data.labels import LabelTable
from contextrast.errors import ConfigError, DataError
from contextrast.models import InferenceProtocol
from contextrast.predicting import Predictor, Results
from contextrast.tasks.predict import predict
from tests.analysis.checkpoints import tiny_module, written
from tests.predicting.painted import image_for, painting

LABELS = LabelTable("three", ("a", "b", "c"), ((250, 0, 0), (0, 250, 0), (0, 0, 250)), values=(3, 5, 9))
IDS = (np.arange(30 * 20).reshape(30, 20) // 7 % 3).astype(np.uint8)


def test_confidence_and_probabilities_are_those_of_the_network(tmp_path):
    torch.manual_seed(0)
    network = torch.nn.Conv2d(3, 3, 3, padding=1).requires_grad_(False)
    network.normalize = lambda image: image / 255
    image = np.random.default_rng(0).integers(0, 256, (40, 33, 3), dtype=np.uint8)
    predictor = Predictor(network, LABELS, InferenceProtocol(window=(16, 16)), torch.device("cpu"))
    Results(tmp_path, LABELS, ["confidence", "probabilities"]).write(predictor, image, Path("x/a.png"))
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
    expected = predictor.protocol(network, pixels)[0].numpy()
    found = np.load(tmp_path / "probabilities" / "x" / "a.npy")
    assert (found.dtype, found.shape) == (np.float16, (3, 40, 33))
    np.testing.assert_allclose(found, expected, atol=1e-3)
    grey = Image.open(tmp_path / "confidence" / "x" / "a.png")
    assert grey.mode == "L"
    assert np.abs(np.asarray(grey) - 255 * expected.max(0)).max() <= 0.5 + 1e-3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["confidence", "probabilities"]


@pytest.mark.parametrize(("values", "expected"), [("train_ids", (0, 1, 2)), ("dataset", (3, 5, 9))])
def test_masks_have_their_classes_colours_whatever_their_values(tmp_path, values, expected):
    Results(tmp_path, LABELS, ["mask"], values).write(painting(IDS, LABELS), image_for(IDS), Path("a.png"))
    mask = Image.open(tmp_path / "masks" / "a.png")
    assert mask.mode == "P"
    assert np.array_equal(np.asarray(mask), np.array(expected)[IDS])
    assert np.array_equal(np.asarray(mask.convert("RGB")), LABELS.colorize(IDS))


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"outputs": "mask"}, "outputs=mask"), ({"outputs": ["masks"]}, "masks"), ({"outputs": []}, "outputs"),
     ({"outputs": [None]}, "outputs"), ({"values": "ids"}, "values=ids")],
)  # fmt: skip
def test_outputs_that_there_are_not(tmp_path, settings, words):
    with pytest.raises(ConfigError, match=words):
        Results(tmp_path, LABELS, **settings)


@pytest.fixture
def predicted(composed, tmp_path):
    """Predicts ``tmp_path / "in"`` with a network as it begins."""
    checkpoint = written(tiny_module(tmp_path), tmp_path / "a.ckpt")
    (tmp_path / "in").mkdir()

    def run(*overrides):
        settings = [f"checkpoint={checkpoint}", f"input={tmp_path / 'in'}", "device=cpu", *overrides]
        predict(composed("predict", *settings))

    return run


def test_images_that_cannot_be_read_keep_none_of_the_others_from_it(predicted, tmp_path):
    scene = Image.fromarray(Streets("test", size=(32, 48)).read(0)[0])
    for name in ("a.png", "c.png", "e.png"):
        scene.save(tmp_path / "in" / name)
    (tmp_path / "in" / "b.png").write_bytes((tmp_path / "in" / "a.png").read_bytes()[:900])
    (tmp_path / "in" / "d.jpg").write_bytes(b"none")
    with pytest.raises(DataError) as raised:
        predicted()
    first, *others = str(raised.value).splitlines()
    assert first.startswith("2 of 5")
    assert [Path(line.split(" cannot be decoded")[0]).name for line in others] == ["b.png", "d.jpg"]
    for kind in ("masks", "overlays"):
        assert {path.name for path in (tmp_path / "run" / kind).iterdir()} == {"a.png", "c.png", "e.png"}


def test_images_above_the_limit_are_taken_when_that_is_said(predicted, tmp_path, monkeypatch):
    scene = Streets("test", size=(64, 96)).read(0)[0]
    Image.fromarray(scene).save(tmp_path / "in" / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(DataError, match="max_megapixels=N"):
        predicted()
    predicted("max_megapixels=0.01")
    assert Image.MAX_IMAGE_PIXELS == 1000
    monkeypatch.undo()
    assert Image.open(tmp_path / "run" / "masks" / "a.png").size == (96, 64)


@pytest.mark.parametrize(
    "override",
    ["overlay_alpha=2", "overlay_alpha=x", "max_megapixels=-1", "max_megapixels=x", "window=128", "window=[64,a]",
     "window=[0,5]", "window=[64.5,64]", "scales=1.5", "scales=null", "scales=[0]", "flip=3", "batch_size=0",
     "batch_size=null", "batch_size=1.5", "overlap=2", "overlap=x"],
)  # fmt: skip
def test_settings_out_of_their_ranges_are_named(predicted, tmp_path, override):
    Image.new("RGB", (90, 90)).save(tmp_path / "in" / "a.png")
    others = [] if override.startswith(("window", "scales", "flip")) else ["window=[32,32]"]
    with pytest.raises(ConfigError, match=override.partition("=")[0].rpartition("_")[2]):
        predicted(*others, override)


@pytest.mark.parametrize("place", ["in", "in/results", "in/deeper/runs/1"])
def test_a_second_prediction_leaves_out_what_the_first_one_wrote(predicted, tmp_path, caplog, place):
    scene = Image.fromarray(Streets("test", size=(32, 48)).read(0)[0])
    (tmp_path / "in" / "deeper").mkdir()
    for name in ("a.png", "deeper/b.png"):
        scene.save(tmp_path / "in" / name)
    outputs = "outputs=[mask,overlay,confidence,probabilities]"
    predicted(f"paths.run_dir={tmp_path / place}", outputs)
    assert "this command writes" not in caplog.text
    predicted(f"paths.run_dir={tmp_path / 'second'}", outputs)
    masks = {path.relative_to(tmp_path / "second" / "masks") for path in (tmp_path / "second" / "masks").rglob("*.png")}
    assert masks == {Path("a.png"), Path("deeper/b.png")}
    assert "this command writes" in caplog.text

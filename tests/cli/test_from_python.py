"""Training and prediction from Python: the same door as the commands'."""

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import contextrast
from contextrast.checkpoints.contents import load_checkpoint
from contextrast.errors import ConfigError

TINY = {
    "data": "streets", "data__dataset__size": [64, 64], "data__dataset__lengths": {"train": 4, "val": 2},
    "data__crop": (64, 64), "data__batch_size": 2, "data__num_workers": 0,
    "model__encoder_weights": None, "model__decoder_pyramid_channels": 16,
    "model__decoder_segmentation_channels": 32, "loss": "contextrast", "loss__base": "lovasz", "recipe__steps": 1,
    "recipe__val_interval": 1, "trainer": "cpu", "logger": "csv", "callbacks__pictures__num_images": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return contextrast.train(**TINY, run_dir=tmp_path_factory.mktemp("python") / "a run")


def test_a_run_from_python_is_one_of_the_command(run):
    overrides = yaml.safe_load((run.folder / "overrides.yaml").read_text())
    assert "loss/base=lovasz" in overrides
    assert run.settings["loss"]["base"]["weights"] == {"cross_entropy": 1.0, "lovasz": 1.0}
    assert run.settings["data"]["crop"] == [64, 64]
    assert run.metrics["miou"] == pytest.approx(run.miou)
    assert run.metrics["step"] == 1


def test_its_network_predicts_what_its_checkpoint_predicts(run):
    trained = run.load(device="cpu")
    assert trained.classes[0] == "Sky"
    assert len(trained.colors) == len(trained.classes) == 11
    picture = np.random.default_rng(0).integers(0, 256, (48, 80, 3), dtype=np.uint8)
    network = load_checkpoint(run.folder / "checkpoints" / "last.ckpt").network()
    pixels = torch.from_numpy(picture.transpose(2, 0, 1)[None].copy())
    with torch.inference_mode():
        expected = network.eval()(network.normalize(pixels)).argmax(1)[0].numpy()
    for image in (picture, Image.fromarray(picture)):
        np.testing.assert_array_equal(trained.predict(image), expected)


@pytest.mark.parametrize("picture", [np.zeros((4, 4)), np.zeros((4, 4, 3)), np.zeros((3, 4, 4), np.uint8)])
def test_what_is_no_picture_is_refused(run, picture):
    with pytest.raises(ConfigError, match="image must be uint8"):
        run.load(device="cpu").predict(picture)


def test_values_that_no_command_line_has_are_refused():
    with pytest.raises(ConfigError, match="data__root"):
        contextrast.train(data__root=object())
    with pytest.raises(ConfigError, match="run_dir"):
        contextrast.train(resume="latest")

"""``contextrast-analyze`` from checkpoints to figures, and what it refuses."""

import json
import re
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from contextrast.cli import analyze
from contextrast.data import Streets
from contextrast.errors import DataError
from tests.analysis.checkpoints import tiny_module, written

SMALL = ("--points", "33", "--device", "cpu", "--output", "out")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """An untrained network of each loss: paths by its name."""
    folder = tmp_path_factory.mktemp("runs")
    modules = {"contextrast": tiny_module(folder, "loss.embedding_dim=8"), "ce": tiny_module(folder, "loss=ce")}
    return {name: written(one, folder / name / "checkpoints" / "last.ckpt") for name, one in modules.items()}


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs the command, into ``out``; returns its exit code and what it printed."""

    def call(*arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.argv", ["contextrast-analyze", *SMALL, *map(str, arguments)])
        try:
            analyze.main()
            code = 0
        except SystemExit as stopped:
            code = stopped.code
        return code, capsys.readouterr()

    return call


def numbers(tmp_path):
    return json.loads((tmp_path / "out" / "analysis.json").read_text())


def test_all_figures_of_one_checkpoint(run, checkpoints, tmp_path):
    code, printed = run(checkpoints["contextrast"], "--pictures", "2")
    assert code == 0, printed.err
    files = ["analysis.json", "error_distance.png", "feature_maps_last.png", "grad_cam_last.png", "tsne.png"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == files
    for name in files[1:]:
        with Image.open(tmp_path / "out" / name) as picture:
            assert np.asarray(picture.convert("L")).std() > 10
    found = numbers(tmp_path)
    assert (found["space"], found["split"], found["images"]) == ("embeddings", "val", 4)
    assert found["checkpoints"]["last"]["step"] == 3
    assert "ContextrastLoss" in found["checkpoints"]["last"]["loss"]
    curves = found["figures"]["error_distance"]["curves"]["last"]
    assert list(curves) == ["stage2", "stage3", "stage4", "stage5"]
    for stage, stride in zip(curves.values(), (4, 8, 16, 32), strict=True):
        assert stage["stride"] == stride
        total = sum(stage["pixels"]) + stage["correct_pixels"] + stage["errors_without_boundary"]
        assert 0 < total <= 4 * (64 // stride) ** 2
        for cosine, pixels in zip(stage["cosine"], stage["pixels"], strict=True):
            assert (cosine is None) == (pixels == 0)
            assert cosine is None or -1 <= cosine <= 1
    plane = found["figures"]["tsne"]["last"]["stage2"]
    assert len(plane["x"]) == len(plane["y"]) == len(plane["class"]) <= 33
    assert np.bincount(plane["class"]).max() <= 3
    assert all(
        sum(shares) <= 1.0001 for shares in found["figures"]["feature_maps"]["explained_variance"]["last"].values()
    )
    assert len(found["figures"]["grad_cam"]["images"]) == 2
    assert set(found["figures"]["grad_cam"]["classes"]) <= set(Streets.labels.classes)


def test_losses_are_compared_in_the_space_that_all_have(run, checkpoints, tmp_path):
    code, printed = run(*checkpoints.values(), "--figures", "error_distance", "--images", "2")
    assert code == 0, printed.err
    found = numbers(tmp_path)
    assert (found["space"], found["images"]) == ("features", 2)
    assert list(found["figures"]["error_distance"]["curves"]) == ["contextrast", "ce"]
    assert list(found["figures"]) == ["error_distance"]


def test_images_that_cannot_be_read_are_named_at_the_end(run, checkpoints, tmp_path, monkeypatch):
    read = Streets.read

    def damaged(self, index):
        if index == 1:
            raise DataError("streets val #1 is truncated")
        return read(self, index)

    monkeypatch.setattr(Streets, "read", damaged)
    code, printed = run(checkpoints["ce"], "--figures", "error_distance")
    assert code == 1
    assert "1 of 4 image(s)" in printed.err
    assert "streets val #1 is truncated" in printed.err
    assert numbers(tmp_path)["images"] == 3


def test_features_can_be_asked_for(run, checkpoints, tmp_path):
    code, _ = run(checkpoints["contextrast"], "--space", "features", "--figures", "error_distance", "--names", "mine")
    assert code == 0
    assert numbers(tmp_path)["space"] == "features"
    assert list(numbers(tmp_path)["checkpoints"]) == ["mine"]


def test_grad_cam_of_a_class_is_drawn_in_images_that_hold_it(run, checkpoints, tmp_path):
    code, _ = run(checkpoints["ce"], "--class", "Car", "--figures", "grad_cam", "--pictures", "9")
    assert code == 0
    found = numbers(tmp_path)["figures"]["grad_cam"]
    scenes = Streets("val", size=(64, 64), lengths={"val": 4})
    car = scenes.labels.classes.index("Car")
    assert found["images"] == [scenes.name(n) for n in range(4) if (scenes[n]["mask"] == car).any()]
    assert set(found["classes"]) == {"Car"}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--figures", "tnse"], 2, ["tnse", "tsne"]),
        (["--split", "vall"], 1, ["--split vall", "val"]),
        (["--images", "0"], 1, ["--images 0"]),
        (["--points", "21"], 1, ["--points 21 has to be at least 22"]),
        (["--class", "Cra"], 1, ["--class Cra", "Car"]),
        (["--names", "a", "b"], 1, ["1 checkpoint(s)", "--names"]),
        (["--space", "embeddings"], 1, ["has no embedding heads", "--space features"]),
        (["--data-root", "/no/such/folder"], 1, ["/no/such/folder"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_mistakes_are_said_before_anything_is_written(run, checkpoints, tmp_path, arguments, code, words):
    found, printed = run(checkpoints["ce"], *arguments)
    assert found == code
    assert "Traceback" not in printed.err
    for word in words:
        assert word in printed.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("content", "word"), [(None, "is no file"), ("weights", "contextrast-train")])
def test_checkpoints_that_cannot_be_used(run, tmp_path, content, word):
    if content is not None:
        torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "a.ckpt")
    code, printed = run("a.ckpt")
    assert code == 1
    assert word in printed.err


def altered(path, tmp_path, change):
    content = torch.load(path, weights_only=True)
    change(content["hyper_parameters"])
    torch.save(content, tmp_path / "other.ckpt")
    return tmp_path / "other.ckpt"


def test_the_folder_of_the_data_has_to_be_there(run, checkpoints, tmp_path):
    def camvid(settings):
        settings["data"] |= {"root": None, "dataset": {"_target_": "contextrast.data.CamVid", "_partial_": True}}

    code, printed = run(altered(checkpoints["ce"], tmp_path, camvid))
    assert code == 1
    assert "data.root" in printed.err
    assert "--data-root PATH" in printed.err


def test_networks_of_other_classes_are_not_compared(run, checkpoints, tmp_path):
    def other(settings):
        settings["labels"]["classes"][0] = "Heaven"

    code, printed = run(checkpoints["ce"], altered(checkpoints["ce"], tmp_path, other))
    assert code == 1
    assert "same classes" in printed.err


def test_networks_of_other_stages_are_not_compared(run, checkpoints, tmp_path):
    def fewer(settings):
        settings["model"]["stages"] = [3, 4]

    code, printed = run(checkpoints["ce"], altered(checkpoints["ce"], tmp_path, fewer))
    assert code == 1
    assert "ce/checkpoints/last: stage2 (stride 4), stage3" in printed.err
    assert "/other: stage3 (stride 8), stage4 (stride 16)\n" in printed.err


def test_losses_that_embed_different_maps_are_compared_by_features(run, checkpoints, tmp_path):
    peer = written(tiny_module(tmp_path, "loss=pixel_contrast"), tmp_path / "peer.ckpt")
    code, printed = run(checkpoints["contextrast"], peer)
    assert code == 1
    assert "embedding1 (stride 4)\nLosses that embed different maps" in printed.err
    assert "--space features" in printed.err


def test_one_checkpoint_given_twice(run, checkpoints):
    code, printed = run(checkpoints["ce"], checkpoints["ce"])
    assert code == 1
    assert "different names" in printed.err


@pytest.mark.parametrize("name", ["analysis.json", "tsne.png", "grad_cam_mine.png"])
def test_another_analysis_is_left_alone(run, checkpoints, tmp_path, name):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("old")
    code, printed = run(checkpoints["ce"])
    assert code == 1
    assert "already holds an analysis" in printed.err
    assert [(path.name, path.read_text()) for path in (tmp_path / "out").iterdir()] == [(name, "old")]


@pytest.mark.parametrize(("figure", "module"), [("tsne", "sklearn"), ("grad_cam", "pytorch_grad_cam")])
def test_the_extra_is_named_where_it_is_missing(run, checkpoints, monkeypatch, tmp_path, figure, module):
    monkeypatch.setitem(sys.modules, module, None)  # as python marks what cannot be imported
    code, printed = run(checkpoints["ce"], "--figures", "error_distance", figure)
    assert code == 1
    assert "contextrast[analysis]" in printed.err
    assert {"scikit-learn", "grad-cam"} <= set(re.findall(r"'([\w-]+)>=", printed.err))
    assert module in printed.err
    assert not (tmp_path / "out").exists()

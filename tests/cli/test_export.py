"""``contextrast-export``: what it leaves in the run folder, and when it leaves nothing."""

import json

import pytest
from PIL import Image

from contextrast.checkpoints.contents import load_checkpoint
from contextrast.data import Streets
from contextrast.errors import ConfigError
from contextrast.export import Safetensors
from contextrast.export.metadata import licence, scores
from contextrast.tasks.export import export
from tests.analysis.checkpoints import tiny_module, written


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    (folder / "metrics.json").write_text(json.dumps({"split": "val", "step": 3, "miou": 0.5, "iou": {"Road": 0.75}}))
    (folder / "environment.json").write_text(json.dumps({"git": {"commit": "abc"}, "versions": {"torch": "9"}}))
    return written(tiny_module(folder, "loss=ce"), folder / "checkpoints" / "last.ckpt")


def test_an_export_is_verified_and_described(composed, checkpoint, tmp_path):
    Image.fromarray(Streets("test", size=(70, 90)).read(0)[0]).save(tmp_path / "scene.png")
    export(composed("export", f"checkpoint={checkpoint}", "format=smp", f"images={tmp_path / 'scene.png'}"))
    run = tmp_path / "run"
    assert {path.name for path in run.iterdir()} == {"smp", "metadata.json", "README.md"}
    metadata = json.loads((run / "metadata.json").read_text())
    assert metadata["classes"] == list(Streets.labels.classes)
    assert metadata["palette"] == [list(color) for color in Streets.labels.palette]
    assert metadata["input"]["stride"] == 32
    assert metadata["metrics"] == {"split": "val", "step": 3, "miou": 0.5, "iou": {"Road": 0.75}}
    assert metadata["checkpoint"]["git"] == {"commit": "abc"}
    assert metadata["verified"]["largest_difference"] < 1e-4
    assert metadata["verified"]["shapes"][-2:] == [[1, 3, 70, 90], [1, 3, 600, 512]]  # what was given, and a photograph
    assert metadata["verified"]["pictures"] == 2
    assert metadata["training"]["loss"]["_target_"] == "contextrast.contrast.CrossEntropyLoss"
    assert metadata["training"]["data"]["crop"] == [64, 64]
    assert "Apache-2.0" in metadata["licence"]
    card = (run / "README.md").read_text()
    assert "mIoU 50.00 % on val at step 3" in card
    assert "smp.from_pretrained" in card
    assert "for 3 steps of 2 images, crops of [64, 64] pixels, seed 0, code of commit abc" in card
    assert str(checkpoint.parent) not in card + (run / "metadata.json").read_text()
    with pytest.raises(ConfigError, match=r"exists\. Nothing was changed"):
        export(composed("export", f"checkpoint={checkpoint}", "format=smp"))


def test_an_export_that_differs_leaves_nothing(composed, checkpoint, tmp_path, monkeypatch):
    write = Safetensors.write

    def damaged(self, network, metadata, path):
        swapped = {**metadata, "model": {**metadata["model"], "mean": [0.0, 0.0, 0.0]}}
        return write(self, network, swapped, path)

    monkeypatch.setattr(Safetensors, "write", damaged)
    with pytest.raises(ConfigError, match="differs from the network"):
        export(composed("export", f"checkpoint={checkpoint}", "format=safetensors"))
    assert not list((tmp_path / "run").iterdir())


def test_scores_are_those_of_the_weights():
    metrics = {"split": "val", "step": 9, "miou": 0.5, "confusion": [[1]], "best": {"step": 6, "miou": 0.6}}
    assert scores(metrics, 9) == {"split": "val", "step": 9, "miou": 0.5}
    assert scores(metrics, 6) == {"split": "val", "step": 6, "miou": 0.6}
    assert scores(metrics, 3) is None
    assert scores({}, 0) is None


def test_licences_are_those_of_conf_model(checkpoint):
    assert "Apache-2.0" in licence(load_checkpoint(checkpoint).config["model"])
    assert licence({"architecture": "segformer", "encoder": "mit_b0"}).startswith("NON-COMMERCIAL")
    assert licence({"architecture": "Unet", "encoder": "mit_b5"}).startswith("NON-COMMERCIAL")
    assert licence({"architecture": "Unet", "encoder": "resnet18"}).startswith("not recorded for Unet over resnet18")

"""Choosing measures: what an evaluation writes, shows and logs, and what it refuses before the first batch."""

import csv
import json

import pytest
import torch
from hydra import compose, initialize_config_dir

from contextrast.data import Streets
from contextrast.errors import ConfigError
from contextrast.folders import config_directory
from contextrast.metrics import BandMeanIoU
from contextrast.metrics.counts import iou_from_counts
from contextrast.runs.image_counts import read_image_counts
from contextrast.tasks.evaluate import evaluate, numbers, show_scores
from contextrast.training.assembly import build_datamodule, build_module
from tests.conftest import TINY
from tests.evaluation.runs import batch, measured

HEAD_MID_TAIL = {"head": [0, 1, 2, 3], "mid": [4, 5, 6, 7], "tail": [8, 9, 10]}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A network as it begins, in a file as training writes it."""
    path = tmp_path_factory.mktemp("checkpoint") / "a.ckpt"
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        config = compose("train", [*TINY, "logger=none", f"paths.run_dir={path.parent}"])
    module = build_module(config, build_datamodule(config.data))
    content = {"state_dict": module.state_dict(), "hyper_parameters": dict(module.hparams), "global_step": 0}
    torch.save(content, path)
    return f"checkpoint={path}"


@pytest.fixture
def evaluated(composed, checkpoint, tmp_path, capsys):
    """Runs an evaluation; returns its ``metrics.json`` and what it printed."""

    def run(*overrides):
        evaluate(composed("evaluate", checkpoint, "trainer.accelerator=cpu", *overrides))
        return json.loads((tmp_path / "run" / "metrics.json").read_text()), capsys.readouterr().out

    return run


def test_cheap_measures_are_on_by_default(evaluated, tmp_path):
    metrics, printed = evaluated("protocols.multi_scale.scales=[0.5]")
    for protocol in ("single_scale", "multi_scale"):
        found = metrics[protocol]
        assert set(found) >= {"miou", "pixel_accuracy", "mean_accuracy", "iou", "accuracy", "confusion"}
        assert 0 <= found["b_miou"]["b_miou_3"] <= 1
        assert set(found["b_miou"]["per_class"]["b_iou_3"]) == set(Streets.labels.classes)
        assert "distance" in found["b_miou"]["convention"]
        assert ("head_mid_tail" in found) == (Streets.labels.groups is not None)
        images = read_image_counts(tmp_path / "run" / f"images_{protocol}.npz")
        assert len(set(images.names)) == 4
        assert images.confusion(images.whole)[:, :-1].tolist() == found["confusion"]
        band = iou_from_counts(torch.from_numpy(images.confusion(images.band))).nanmean().item()
        assert band == pytest.approx(found["b_miou"]["b_miou_3"])
    assert "b_iou_3 %" in printed


def test_measures_are_chosen_and_logged_under_the_protocols_name(evaluated, tmp_path):
    (tmp_path / "check.json").write_text(json.dumps({"groups": HEAD_MID_TAIL}))
    metrics, printed = evaluated(
        "metrics=[head_mid_tail,boundary_iou,object_scale,features]",
        f"metrics.head_mid_tail.histogram={tmp_path / 'check.json'}", "metrics.boundary_iou.ratio=0.1", "logger=csv",
        "metrics.features.pixels_per_class=5", "protocols.multi_scale={scales:[1.0],flip:true}",
    )  # fmt: skip
    assert set(metrics["single_scale"]) - set(metrics["multi_scale"]) == {"features"}, "features do not depend on it"
    assert "b_miou" not in metrics["single_scale"]
    assert metrics["single_scale"]["head_mid_tail"]["classes"]["tail"] == list(Streets.labels.classes[8:])
    assert metrics["single_scale"]["object_scale"]["convention"].startswith("partition")
    assert "partition: objects are" in printed
    assert "stage5" in printed
    with (tmp_path / "run" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    logged = {name: float(value) for row in rows for name, value in row.items() if value}
    for protocol in ("single_scale", "multi_scale"):
        assert logged[f"val/{protocol}/miou"] == pytest.approx(metrics[protocol]["miou"])
        assert logged[f"val/{protocol}/boundary_iou"] == pytest.approx(
            metrics[protocol]["boundary_iou"]["boundary_iou"]
        )
    assert "val/single_scale/alignment/stage2" in logged
    assert "val/single_scale/boundary_iou/Sky" in logged


def test_plain_miou_alone(evaluated):
    metrics, _ = evaluated("metrics=[miou]", "protocols.multi_scale=null")
    assert set(metrics["single_scale"]) == {"miou", "pixel_accuracy", "mean_accuracy", "iou", "accuracy", "confusion"}


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["metrics=[iiou]"], "19 classes of Cityscapes"),
        (["metrics=[b_miou]", "metrics.b_miou.thresholds=[0]"], r"metrics\.b_miou\.thresholds"),
        (["metrics=[b_miou]", "+metrics.b_miou.treshold=3"], "treshold"),
        (["metrics=[features]", "+model.stages=[]"], r"model\.stages"),
        (["metrics=[head_mid_tail]", "metrics.head_mid_tail.histogram=nowhere.json"], "nowhere.json"),
        (["split=train"], "split=train"),
    ],
)
def test_measures_that_cannot_be_had_are_refused(evaluated, tmp_path, overrides, words):
    with pytest.raises(ConfigError, match=words):
        evaluated(*overrides)
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_misspelt_settings_of_a_protocol_are_refused_before_the_first_batch(evaluated):
    with pytest.raises(ConfigError, match="flp"):
        evaluated("+protocols.multi_scale.flp=true")


def test_a_split_without_labels_is_shown_without_scores(capsys):
    """As a benchmark's test split, whose labels are withheld."""
    module, predictions = measured([batch(0, torch.full((2, 40, 50), 255))], {"b_miou": BandMeanIoU(19)})
    assert len(predictions) == 1
    found = json.loads(json.dumps(numbers(module), allow_nan=False))
    assert found["miou"] is None
    assert found["b_miou"]["b_miou_3"] is None
    show_scores(module, "test")
    assert "│ mean          │     – │          – │" in capsys.readouterr().out

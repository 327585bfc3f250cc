"""Choosing measures: what an evaluation writes, shows and logs, and what it refuses before the first batch."""

import csv
import json

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from torch.utils.data import DataLoader
from torchmetrics import MetricCollection

from contextrast.cli.evaluate import evaluate, numbers, request_instances, show
from contextrast.config import config_directory
from contextrast.data import LabelTable, Streets
from contextrast.errors import ConfigError, DataError
from contextrast.metrics import BandMeanIoU, CityscapesInstanceIoU, FeatureGeometry
from contextrast.metrics.counts import iou_from_counts
from contextrast.models import Segmenter
from contextrast.runs.image_counts import read_image_counts
from contextrast.training.assembly import build_datamodule, build_module
from contextrast.training.module import SegmentationModule
from tests.conftest import TINY

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


def test_instances_are_asked_for_before_the_first_batch():
    class Plain:
        pass

    class WithInstances:
        asked = ()

        def instances(self, index):
            self.asked = (*self.asked, index)
            return np.zeros((4, 4), np.uint16)

    class Missing:
        def instances(self, index):
            raise DataError("x_instanceIds.png does not exist")

    iiou = {"iiou": CityscapesInstanceIoU()}
    with pytest.raises(ConfigError, match="iiou needs instance maps, which Plain does not have"):
        request_instances(iiou, Plain())
    with pytest.raises(DataError, match="x_instanceIds"):
        request_instances(iiou, Missing())
    dataset = WithInstances()
    request_instances({"b_miou": BandMeanIoU(19)}, dataset)
    assert dataset.asked == ()
    request_instances(iiou, dataset)
    assert dataset.asked == (0,)
    assert dataset.with_instances


class Predictions(pl.Callback):
    """Keeps what callbacks are given."""

    def __init__(self):
        self.seen = []

    def on_test_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        self.seen.append(outputs["prediction"])


def measured(batches, **measures):
    """Tests a network of 19 classes on hand-made batches; returns the module and the predictions that callbacks got."""
    torch.manual_seed(0)
    network = Segmenter(
        num_classes=19, mean=[0.5] * 3, std=[0.5] * 3, architecture="FPN", encoder="resnet18", encoder_weights=None,
        decoder_pyramid_channels=8, decoder_segmentation_channels=32,
    )  # fmt: skip
    module = SegmentationModule(network.eval(), None, LabelTable.load("cityscapes"))
    module.measures = MetricCollection(measures, compute_groups=False)
    predictions = Predictions()
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False, callbacks=[predictions]
    )
    trainer.test(module, DataLoader(batches, batch_size=None), verbose=False)
    return module, predictions.seen


def batch(number, mask, **more):
    generator = torch.Generator().manual_seed(number)
    image = torch.randint(256, (2, 3, 40, 50), generator=generator, dtype=torch.uint8)
    return {"image": image, "mask": mask, "name": [f"{number}a", f"{number}b"], **more}


def test_measures_see_instances_features_and_the_predictions_that_callbacks_get():
    generator = torch.Generator().manual_seed(0)
    masks = [torch.randint(11, 19, (2, 40, 50), generator=generator) for _ in range(2)]
    batches = [
        batch(number, mask, instances=torch.randint(24, 34, mask.shape, generator=generator).int() * 1000)
        for number, mask in enumerate(masks)
    ]
    features = FeatureGeometry(19, [f"stage{n}" for n in (2, 3, 4, 5)], (64, 128, 256, 512), pixels_per_class=5)
    module, predictions = measured(batches, iiou=CityscapesInstanceIoU(), features=features)
    assert [(p.shape, p.dtype) for p in predictions] == [((2, 40, 50), torch.int64)] * 2
    right = sum(int((p == m).sum()) for p, m in zip(predictions, masks, strict=True))
    assert int(module.last_scores.confusion.trace()) == right
    expected = CityscapesInstanceIoU()
    for prediction, one in zip(predictions, batches, strict=True):
        expected.update(prediction, one["instances"])
    assert module.last_reports["iiou"].scores == expected.report(module.labels.classes).scores
    assert module.last_reports["features"].groups["stage2"]["classes"] == 8
    assert int(features.keys_2.min()) == torch.iinfo(torch.int64).max, "reset for the next test"


def test_a_split_without_labels_is_shown_without_scores(capsys):
    """As a benchmark's test split, whose labels are withheld."""
    module, predictions = measured([batch(0, torch.full((2, 40, 50), 255))], b_miou=BandMeanIoU(19))
    assert len(predictions) == 1
    found = json.loads(json.dumps(numbers(module), allow_nan=False))
    assert found["miou"] is None
    assert found["b_miou"]["b_miou_3"] is None
    show(module, "test")
    assert "│ mean          │     – │          – │" in capsys.readouterr().out

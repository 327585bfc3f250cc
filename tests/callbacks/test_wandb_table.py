"""The table of predictions and the artifacts in W&B's offline record."""

import json

import numpy as np
import pytest
import torch

from contextrast.callbacks.wandb_table import PredictionsTable
from contextrast.errors import ConfigError
from contextrast.runs.loggers import RunWandb, finish_loggers
from tests.callbacks.conftest import BlocksData, Module, make_trainer
from tests.reporting.wandb_record import read_records, records_in, sign_out


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        sign_out(patch, tmp_path_factory.mktemp("home"))
        (folder / "config.yaml").write_text("seed: 0")
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints" / "last.ckpt").write_bytes(b"weights")
        logger = RunWandb(
            folder, artifacts=["config", "last", "best"], table_images=3, job_type="train", settings={"console": "off"}
        )
        module = Module()
        make_trainer(folder, [PredictionsTable(logger)], [logger]).fit(module, BlocksData())
        finish_loggers([logger], failed=False)
    return folder, module


def test_a_row_an_image_with_its_numbers(folder):
    run_dir, module = folder
    (record,) = records_in(run_dir)
    content = json.loads(record.file(record.history["predictions/path"][-1]).read_text())
    rows = [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]
    assert len(rows) == 3
    for row in rows:
        index = int(row["name"].removeprefix("block_"))
        sample = BlocksData().dataset("val")[index]
        with torch.no_grad():
            guess = module.eval().predict(sample["image"][None])[0].argmax(0).numpy()
        target = sample["mask"].numpy()
        known = target != 255
        values = {}
        for label in range(4):
            truth, seen = (target == label) & known, (guess == label) & known
            if (truth | seen).any():
                values[label] = (truth & seen).sum() / (truth | seen).sum()
        assert row["mIoU"] == pytest.approx(np.mean(list(values.values())))
        assert row["worst IoU"] == pytest.approx(min(values.values()))
        assert row["worst class"] == ("sky", "road", "pole", "never seen")[min(values, key=values.get)]


def test_settings_and_checkpoint_are_kept_and_what_is_missing_is_not(folder):
    (file,) = folder[0].glob("wandb/offline-run-*/*.wandb")
    records = [r.request.log_artifact.artifact for r in read_records(file) if r.request.HasField("log_artifact")]
    records += [r.artifact for r in read_records(file) if r.WhichOneof("record_type") == "artifact"]
    kept = {
        artifact.name.rpartition("-")[0]: (artifact.type, [entry.path for entry in artifact.manifest.contents])
        for artifact in records
    }
    assert kept["config"] == ("config", ["config.yaml"])
    assert kept["last"] == ("model", ["last.ckpt"])
    assert "best" not in kept
    pictures = [path for kind, paths in kept.values() if kind == "run_table" for path in paths if path.endswith(".jpg")]
    assert len(pictures) == 3 * 4, "the pictures of the table lie in an artifact of its own"


def test_an_unknown_artifact_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="config, last, best"):
        RunWandb(tmp_path, artifacts=["weights"])

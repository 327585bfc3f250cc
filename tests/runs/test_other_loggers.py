"""TensorBoard and MLflow beside the CSV file: all three have the same values at the same steps."""

import csv
import math

import pytest

from contextrast.tasks.train import train
from tests.conftest import TINY

accumulator = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator", reason="the extra loggers is not installed"
)
pytest.importorskip("mlflow", reason="the extra loggers is not installed")


@pytest.fixture
def folder(composed, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    overrides = ["logger=[csv,tensorboard,mlflow]", f"paths.runs={tmp_path}", "logger.mlflow.run_name=tiny"]
    train(composed("train", *TINY, *overrides, "callbacks.pictures.num_images=0", "trainer.log_every_n_steps=1"))
    return tmp_path


def test_all_have_the_values_of_the_csv_file(folder):
    with (folder / "run" / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["train/loss"]]
    written = {int(row["step"]): float(row["train/loss"]) for row in rows}
    assert len(written) == 2
    events = accumulator.EventAccumulator(str(folder / "run" / "tensorboard"))
    events.Reload()
    assert {event.step: event.value for event in events.Scalars("train/loss")} == pytest.approx(written)
    (kept,) = folder.glob("mlflow/*/*/metrics/train/loss")
    of_mlflow = {int(step): float(value) for _, value, step in map(str.split, kept.read_text().splitlines())}
    assert of_mlflow == pytest.approx(written)
    assert all(math.isfinite(value) for value in written.values())

"""Early stopping: a run that does not get better ends, and its record says where."""

import json

from contextrast.tasks.train import train
from tests.conftest import TINY


def test_a_run_whose_score_does_not_rise_stops(composed, tmp_path):
    settings = [text for text in TINY if "max_steps" not in text]
    settings += ["logger=csv", "callbacks.pictures.num_images=0", "optimizer.lr=0.0", "trainer.max_steps=8"]
    stopping = ["callbacks/early_stopping=miou", "callbacks.early_stopping.patience=2"]
    train(composed("train", *settings, "trainer.val_check_interval=1", *stopping))
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["step"] == 3, "the first score and two that are no better"
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()

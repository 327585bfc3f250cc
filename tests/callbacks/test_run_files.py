"""environment.json before, metrics.json after."""

import json

import pytest
import torch

from contextrast.callbacks import RunFiles
from contextrast.callbacks.costs import peak_memory


def test_a_complete_run_leaves_both_files(module, data, trainer_for, tmp_path) -> None:
    trainer = trainer_for([RunFiles(tmp_path)])
    trainer.fit(module, data)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["split"] == "val"
    assert metrics["step"] == 6
    assert metrics["train_seconds"] > 0
    assert metrics["step_seconds"] > 0
    assert metrics["miou"] == pytest.approx(trainer.callback_metrics["val/miou"].item(), rel=1e-6)
    assert metrics["best"]["step"] in (3, 6)
    assert metrics["best"]["miou"] >= metrics["miou"]
    assert metrics["iou"]["never seen"] is None
    assert sum(map(sum, metrics["confusion"])) == 8 * 23 * 30, "all pixels of eight images but the ignored row"
    assert "torch" in json.loads((tmp_path / "environment.json").read_text())["versions"]


def test_a_run_says_what_it_cost(module, data, trainer_for, tmp_path) -> None:
    module.auxiliary = torch.nn.Conv2d(4, 4, 1)  # exists in training only, as the loss does
    trainer_for([RunFiles(tmp_path)], max_steps=12, val_check_interval=2).fit(module, data)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    deployed = (3 * 4 + 4) + 2 * 4 + (4 * 4 + 4)
    assert metrics["parameters"] == {"deployed": deployed, "training_only": (4 * 8 + 8) + (4 * 4 + 4)}
    assert 0 < metrics["step_seconds"] < metrics["train_seconds"]
    assert 0 < metrics["waiting_share"] < 1
    assert 2**26 < metrics["peak_memory_bytes"] <= peak_memory(torch.device("cpu"))


def test_a_resumed_run_counts_its_first_part(module, data, trainer_for, tmp_path, monkeypatch) -> None:
    first = RunFiles(tmp_path / "first")
    trainer_for([first]).fit(module, data)
    state = first.state_dict()
    state["best"] = {"step": 1, "miou": 0.99}
    state["train_seconds"] += 1000
    resumed = RunFiles(tmp_path / "resumed")
    resumed.load_state_dict(state)
    trainer_for([resumed]).fit(module, data)
    metrics = json.loads((tmp_path / "resumed" / "metrics.json").read_text())
    assert metrics["best"] == {"step": 1, "miou": 0.99}
    assert 1000 < metrics["train_seconds"] < 1600


def test_a_failed_run_has_no_metrics(module, data, trainer_for, tmp_path) -> None:
    module.fail_at = 4
    with pytest.raises(RuntimeError, match="fails here"):
        trainer_for([RunFiles(tmp_path)]).fit(module, data)
    assert (tmp_path / "environment.json").is_file()
    assert not (tmp_path / "metrics.json").exists()


def test_a_run_whose_last_step_was_not_validated_is_complete_after_a_validation(
    module, data, trainer_for, tmp_path
) -> None:
    trainer = trainer_for([RunFiles(tmp_path)], val_check_interval=4)
    trainer.fit(module, data)
    assert not (tmp_path / "metrics.json").exists()
    trainer.validate(module, data, verbose=False)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["step"] == 6
    assert metrics["train_seconds"] > 0

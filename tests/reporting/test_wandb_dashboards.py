"""The workspace and the report as definitions that W&B's own package reads back."""

import json
import runpy
import sys

import pytest

pytest.importorskip("wandb_workspaces", reason="the extra `dashboards` is not installed")

from wandb_workspaces.reports.v2 import internal as report_models
from wandb_workspaces.workspaces import internal as workspace_models

from contextrast.data.labels import LabelTable
from contextrast.reporting import wandb_dashboards as dashboards
from tests.reporting.wandb_record import sign_out

CLASSES = LabelTable.load("camvid").classes


@pytest.fixture
def written(tmp_path, monkeypatch, request):
    """What the script writes without an account."""
    sign_out(monkeypatch, tmp_path)
    path = tmp_path / "dashboards.json"
    monkeypatch.setattr(sys, "argv", ["wandb_workspace.py", "--offline", str(path)])
    runpy.run_path(str(request.config.rootpath / "scripts" / "wandb_workspace.py"), run_name="__main__")
    return json.loads(path.read_text())


def test_the_definition_is_valid_and_complete(written):
    view = workspace_models.View.model_validate(written["workspace"])
    names = [section.name for section in view.spec.section.panel_bank_config.sections]
    assert {"Scores", "Losses", "Contrast", "Pictures", "Differences"} <= set(names)
    report = report_models.ReportViewspec.model_validate(written["report"])
    assert report.project.name == "contextrast"
    text = json.dumps(written)
    for name in ("train/pixel_anchor", "train/anchor_anchor", "pictures/predictions", "predictions", "Ablation"):
        assert name in text
    for name in CLASSES:
        assert text.count(f"val/iou/{name}") >= 2


def test_without_an_account_it_says_what_to_do(tmp_path, monkeypatch, request):
    sign_out(monkeypatch, tmp_path)
    monkeypatch.setattr(sys, "argv", ["wandb_workspace.py", "--entity", "somebody"])
    with pytest.raises(SystemExit, match=r"wandb login.*--offline FILE"):
        runpy.run_path(str(request.config.rootpath / "scripts" / "wandb_workspace.py"), run_name="__main__")


def test_every_chart_is_of_something_that_is_logged():
    panels = dashboards.loss_panels()
    assert [panel.title for panel in panels][:2] == ["train/loss", "train/cross_entropy"]

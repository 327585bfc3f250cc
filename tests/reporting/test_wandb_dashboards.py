"""The workspace and the report: built of W&B's own objects from what a run logged."""

import runpy
import sys

import pytest

pytest.importorskip("wandb_workspaces", reason="the extra `dashboards` is not installed")

import wandb_workspaces.reports.v2 as wr

from contextrast.errors import DataError
from contextrast.reporting import wandb_dashboards as dashboards
from tests.reporting.wandb_record import sign_out

NAMES = [
    "contrast/negatives/stage4", "contrast/negatives/stage5", "contrast_per_class/negatives/stage5/car",
    "contrast_per_class/negatives/stage5/road", "gradients/ratio/stage5", "lr/encoder", "train/cross_entropy",
    "train/my_own_term", "val/iou/car", "val/iou/road", "val/miou",
]  # fmt: skip


@pytest.fixture
def runs(tmp_path):
    """Two run folders, whose losses have different terms."""
    for number, names in enumerate((["step", "epoch", *NAMES[:7]], ["step", *NAMES[6:]])):
        folder = tmp_path / f"run{number}"
        folder.mkdir()
        (folder / "metrics.csv").write_text(",".join(names) + "\n")
    return [tmp_path / "run0", tmp_path / "run1"]


def curves(panel):
    return list(panel.metrics if isinstance(panel, wr.BarPlot) else panel.y)


def test_every_curve_that_was_logged_is_in_one_chart(runs):
    assert dashboards.logged(runs) == NAMES
    sections = dashboards.charts(NAMES)
    assert list(sections) == ["contrast", "contrast_per_class", "gradients", "lr", "train", "val"]
    shown = [str(getattr(name, "name", name)) for panels in sections.values() for p in panels for name in curves(p)]
    assert sorted(shown) == NAMES


def test_stages_are_lines_of_one_chart_and_classes_bars():
    sections = dashboards.charts(NAMES)
    (negatives,) = sections["contrast"]
    assert isinstance(negatives, wr.LinePlot)
    assert len(negatives.y) == 2
    bars = [panel.title for panels in sections.values() for panel in panels if isinstance(panel, wr.BarPlot)]
    assert bars == ["contrast_per_class/negatives/stage5", "val/iou"]
    assert [panel.title for panel in sections["train"]] == ["train/cross_entropy", "train/my_own_term"]


def test_workspace_and_report_show_them():
    sections = dashboards.charts(NAMES)
    view = dashboards.workspace("somebody", "contextrast", sections)
    assert [section.name for section in view.sections] == [*sections, "Pictures", "Differences"]
    assert [len(section.panels) for section in view.sections][: len(sections)] == [*map(len, sections.values())]
    grids = [block for block in dashboards.report("somebody", "contextrast", sections).blocks
             if isinstance(block, wr.PanelGrid)]  # fmt: skip
    assert len(grids) == len(sections) + 2


def test_a_folder_without_curves_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"metrics\.csv.*logger=default"):
        dashboards.logged([tmp_path])


def test_without_an_account_it_says_what_to_do(runs, tmp_path, monkeypatch, request):
    sign_out(monkeypatch, tmp_path)
    monkeypatch.setattr(sys, "argv", ["wandb_workspace.py", str(runs[0]), "--entity", "somebody"])
    with pytest.raises(SystemExit, match="wandb login"):
        runpy.run_path(str(request.config.rootpath / "scripts" / "wandb_workspace.py"), run_name="__main__")

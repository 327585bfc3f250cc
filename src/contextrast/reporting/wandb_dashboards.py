"""A workspace and a report of W&B, with the official workspaces package, an extra. It imports wandb."""

from collections.abc import Sequence
from typing import Any, Final

import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws

STEP: Final = "trainer/global_step"
LOSSES: Final = ("loss", "cross_entropy", "lovasz", "dice", "tversky", "pixel_anchor", "anchor_anchor", "auxiliary")
"""What training logs below ``train/``; a chart of what a loss does not have stays empty."""
DIAGNOSTICS: Final = ("positive_cosine", "negative_cosine", "error_share", "negatives", "classes_present")


def workspace(entity: str, project: str, classes: Sequence[str]) -> ws.Workspace:
    """A saved view of a project: scores, loss curves, what tells that the method works, pictures, costs.

    Args:
        entity: User or team; empty for a definition that belongs to nobody yet.
        project: Project of the runs.
        classes: Class names, for the bars of IoU.
    """
    sections = [
        ws.Section(name="Scores", panels=score_panels(classes), is_open=True),
        ws.Section(name="Losses", panels=loss_panels(), is_open=True),
        ws.Section(name="Contrast", panels=[_lines(f"contrast/{name}", regex=True) for name in DIAGNOSTICS]),
        ws.Section(name="Pictures", panels=picture_panels(), is_open=True),
        ws.Section(name="Differences", panels=[wr.RunComparer(diff_only="split")]),
    ]
    settings = ws.WorkspaceSettings(x_axis=STEP, smoothing_type="none")
    return ws.Workspace(entity=entity, project=project, name="Contextrast", sections=sections, settings=settings)


def report(entity: str, project: str, classes: Sequence[str], *, online: bool) -> wr.Report:
    """A document over a project's runs: curves by loss, bars by class, the ablation as a table, pictures.

    Args:
        entity: User or team.
        project: Project of the runs.
        classes: Class names.
        online: Bind the runs to the project, which asks W&B's server for its number; else they are the report's.
    """
    place = {"entity": entity, "project": project} if online else {}
    settings = wr.Runset(name="Settings, mean over seeds", groupby=["Tags"], **place)
    sweeps = wr.Runset(name="Sweeps and their jobs", groupby=["Group", "Name"], **place)
    return wr.Report(
        project=project,
        entity=entity,
        title="Contextrast",
        description="Losses compared on the same data, networks and seeds.",
        blocks=[
            wr.H1("Losses"),
            wr.P("Runs are grouped by their tags: dataset, network, loss. Lines are means over seeds."),
            wr.PanelGrid(runsets=[settings], panels=loss_panels()),
            wr.H1("Classes"),
            wr.PanelGrid(runsets=[settings], panels=score_panels(classes)),
            wr.H1("Ablation"),
            wr.P("A row a sweep; open it for its jobs, which are named by what differs."),
            wr.PanelGrid(runsets=[sweeps], panels=[_bars("mIoU", ["val/miou"]), wr.RunComparer(diff_only="split")]),
            wr.H1("Pictures"),
            wr.PanelGrid(runsets=[settings], panels=picture_panels()),
        ],
    )


def score_panels(classes: Sequence[str]) -> list[Any]:
    """MIoU over the steps, and the last IoU of every class."""
    return [_lines("val/miou"), _bars("IoU of each class", [f"val/iou/{name}" for name in classes])]


def loss_panels() -> list[Any]:
    """A chart for each loss term."""
    return [_lines(f"train/{name}") for name in LOSSES]


def picture_panels() -> list[Any]:
    """The pictures of the last validation, and the table of predictions, which can be sorted by its columns."""
    browser = wr.MediaBrowser(media_keys=["pictures/predictions", "pictures/error_boundary"], num_columns=4)
    return [browser, wr.WeavePanelSummaryTable(table_name="predictions")]


def definition(view: ws.Workspace, document: wr.Report) -> dict[str, Any]:
    """What W&B's server would be sent, as plain containers."""
    models = {"workspace": view._to_model(), "report": document._to_model()}
    return {name: model.model_dump(mode="json", by_alias=True, exclude_none=True) for name, model in models.items()}


def _lines(name: str, regex: bool = False) -> wr.LinePlot:
    """A curve of one value a run; ``regex`` takes all values whose names start with it."""
    if regex:
        return wr.LinePlot(title=name, x=STEP, metric_regex=f"^{name}.*")
    return wr.LinePlot(title=name, x=STEP, y=[name], ignore_outliers=False)


def _bars(title: str, names: list[str]) -> wr.BarPlot:
    return wr.BarPlot(title=title, metrics=names, orientation="h")

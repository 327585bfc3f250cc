"""A workspace and a report of W&B, with the official workspaces package, an extra. It imports wandb.

What is charted are the curves that runs have logged, by the names in their ``metrics.csv``.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws

from contextrast.errors import DataError
from contextrast.reporting.wandb_media import PICTURES, TABLE

STEP: Final = "trainer/global_step"
Panels = list[Any]


def logged(runs: Iterable[Path]) -> list[str]:
    """Names of all curves of some runs, sorted.

    Args:
        runs: Run folders; runs of different losses have different curves.

    Raises:
        DataError: If a folder has no curves.
    """
    names: set[str] = set()
    for run in runs:
        path = run / "metrics.csv"
        if not path.is_file():
            raise DataError(f"{path} is missing: name a run folder that was trained with logger=default or csv.")
        with path.open(newline="", encoding="utf-8") as file:
            names.update(next(csv.reader(file), ()))
    return sorted(name for name in names if "/" in name)


def charts(names: Sequence[str]) -> dict[str, Panels]:
    """A chart for each curve, in sections by the first part of the names, such as ``train`` and ``val``.

    Names that differ in their last part alone share one: bars where these are the classes of ``val/iou``, else lines,
    such as one for each stage.

    Args:
        names: Of the curves, such as ``train/loss``, ``val/iou/Car`` and ``gradients/ratio/stage5``.
    """
    grouped: dict[str, list[str]] = {}
    for name in names:
        shared = name.rpartition("/")[0]
        grouped.setdefault(shared if "/" in shared else name, []).append(name)
    classes = {name.rpartition("/")[2] for name in grouped.get("val/iou", ())}
    sections: dict[str, Panels] = {}
    for title, curves in grouped.items():
        if len(curves) > 1 and {name.rpartition("/")[2] for name in curves} <= classes:
            chart: Any = wr.BarPlot(title=title, metrics=curves, orientation="h")
        else:
            chart = wr.LinePlot(title=title, x=STEP, y=curves, ignore_outliers=False)
        sections.setdefault(title.partition("/")[0], []).append(chart)
    return sections


def workspace(entity: str, project: str, sections: Mapping[str, Panels]) -> ws.Workspace:
    """A saved view of a project: all charts, the pictures, and what differs between the runs.

    Args:
        entity: User or team.
        project: Project of the runs.
        sections: See `charts`.
    """
    shown = [ws.Section(name=name, panels=panels, is_open=True) for name, panels in sections.items()]
    shown.append(ws.Section(name="Pictures", panels=pictures(), is_open=True))
    shown.append(ws.Section(name="Differences", panels=[wr.RunComparer(diff_only="split")]))
    settings = ws.WorkspaceSettings(x_axis=STEP, smoothing_type="none")
    return ws.Workspace(entity=entity, project=project, name="Contextrast", sections=shown, settings=settings)


def report(entity: str, project: str, sections: Mapping[str, Panels]) -> wr.Report:
    """A document over a project's runs: the charts by setting, the ablation as a table, pictures.

    Args:
        entity: User or team.
        project: Project of the runs.
        sections: See `charts`.
    """
    place = {"entity": entity, "project": project}
    settings = wr.Runset(name="Settings, mean over seeds", groupby=["Tags"], **place)
    sweeps = wr.Runset(name="Sweeps and their jobs", groupby=["Group", "Name"], **place)
    blocks: Panels = [wr.P("Runs are grouped by their tags: dataset, network, loss. Lines are means over seeds.")]
    for name, panels in sections.items():
        blocks += [wr.H1(name), wr.PanelGrid(runsets=[settings], panels=panels)]
    compared = [wr.BarPlot(title="mIoU", metrics=["val/miou"], orientation="h"), wr.RunComparer(diff_only="split")]
    blocks += [
        wr.H1("Ablation"),
        wr.P("One row per sweep; open it for its jobs, which are named by what differs."),
        wr.PanelGrid(runsets=[sweeps], panels=compared),
        wr.H1("Pictures"),
        wr.PanelGrid(runsets=[settings], panels=pictures()),
    ]
    about = "Losses compared on the same data, networks and seeds."
    return wr.Report(project=project, entity=entity, title="Contextrast", description=about, blocks=blocks)


def pictures() -> Panels:
    """The pictures of the last validation, and the table of predictions, which can be sorted by its columns."""
    return [wr.MediaBrowser(media_keys=list(PICTURES), num_columns=4), wr.WeavePanelSummaryTable(table_name=TABLE)]

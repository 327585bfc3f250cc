"""One function per figure: has it computed, writes its file or files, and returns the numbers behind it."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import numpy as np
from PIL import Image
from torch import Tensor

from contextrast.analysis.class_activation import class_activations
from contextrast.analysis.network import Analysis
from contextrast.analysis.projections import in_the_plane, principal_colors
from contextrast.data import LabelTable, SegmentationDataset
from contextrast.data.dataset import Sample
from contextrast.metrics.error_distance import ErrorCurve
from contextrast.reporting import analysis_figures as drawn
from contextrast.reporting import figures
from contextrast.reporting.tables import without_nan
from contextrast.terminal import progress

COMPONENTS_LEGEND: Final = [
    ("principal component 1 of the stage's features", (255, 0, 0)),
    ("component 2", (0, 255, 0)),
    ("component 3", (0, 0, 255)),
]
"""Names and colours in pictures of `principal_colors`, for `contact_sheet`."""


class Pictured(NamedTuple):
    """An image to draw.

    Attributes:
        sample: The image with its labels.
        picture: As it is shown, RGB ``[H, W, 3]``.
        train_id: The class that Grad-CAM is about.
    """

    sample: Sample
    picture: figures.Picture
    train_id: int

    @classmethod
    def of(cls, dataset: SegmentationDataset, sample: Sample, train_id: int) -> Self:
        """A sample of a dataset."""
        return cls(sample, dataset.shown(sample["image"].permute(1, 2, 0).numpy()), train_id)


@dataclass(frozen=True)
class Study:
    """What a set of figures is about.

    Attributes:
        analyses: The networks, all over the same images and with the same grids.
        labels: Their classes.
        subject: The images, for headings: ``streets val, 100 images``.
        space: ``features`` or ``embeddings``.
        pictured: Images that are drawn themselves.
        folder: Where the files go.
    """

    analyses: Sequence[Analysis]
    labels: LabelTable
    subject: str
    space: str
    pictured: Sequence[Pictured]
    folder: Path

    @property
    def titles(self) -> list[str]:
        """A heading for each grid."""
        return [f"{grid.name} (stride {grid.stride})" for grid in self.analyses[0].grids]

    def pairs(self, what: str) -> Iterator[tuple[Analysis, Pictured]]:
        """Every network with every pictured image, under a progress bar."""
        pairs = [(analysis, pictured) for analysis in self.analyses for pictured in self.pictured]
        return progress(pairs, what)

    def save_sheet(self, figure: str, analysis: Analysis, sheet: figures.Picture) -> None:
        """Write a sheet of pictures of one network."""
        Image.fromarray(sheet).save(self.folder / f"{figure}_{file_name(analysis.name)}.png", optimize=True)


def file_name(name: str) -> str:
    """A network's name as part of a file name."""
    return re.sub(r"[^\w.-]+", "_", name)


def error_distance(study: Study) -> dict[str, Any]:
    """Cosines of error pixels to their class's anchor by the distance to the error boundary: ``error_distance.png``."""
    curves = {analysis.name: analysis.curves() for analysis in study.analyses}
    title = f"Error pixels and the anchor of their true class: {study.space}, {study.subject}"
    drawn.error_distance_figure(curves, study.titles, title).savefig(study.folder / "error_distance.png")
    centred = "minus the mean of the class means" if study.space == "features" else "of unit length"
    return {
        "definition": f"mean cosine of misclassified pixels' {study.space} ({centred}) to the mean of their true class "
        "over these images, by the distance d to the nearest edge pixel of their error region (pixels of one class "
        "that are predicted as another), in pixels of the stage's grid: entry k has k <= d < k + 1, the last entry "
        "all above",
        "fewest_pixels_drawn": drawn.FEWEST_PIXELS,
        "curves": {
            analysis.name: {
                grid.name: {"stride": grid.stride, **_curve_to_dict(curve)}
                for grid, curve in zip(analysis.grids, curves[analysis.name], strict=True)
            }
            for analysis in study.analyses
        },
    }


def tsne(study: Study) -> dict[str, Any]:
    """Pixels of each grid in the plane, in the colours of their classes: ``tsne.png``."""
    points: dict[str, list[Any]] = {analysis.name: [] for analysis in study.analyses}
    numbers: dict[str, dict[str, Any]] = {analysis.name: {} for analysis in study.analyses}
    sampled = [
        (analysis, grid, *sample)
        for analysis in study.analyses
        for grid, sample in zip(analysis.grids, analysis.points(), strict=True)
    ]
    for analysis, grid, rows, classes in progress(sampled, "t-SNE"):
        plane, ids = in_the_plane(rows, analysis.seed), classes.numpy()
        points[analysis.name].append((plane.places, ids))
        x, y = plane.places.astype(np.double).round(2).T
        numbers[analysis.name][grid.name] = {
            "perplexity": plane.perplexity,
            "kl_divergence": plane.divergence,
            "x": x.tolist(),
            "y": y.tolist(),
            "class": ids.tolist(),
        }
    most = study.analyses[0].pixels_per_class
    title = f"t-SNE of {study.space}, up to {most} pixels of each class: {study.subject}"
    drawn.plane_figure(points, study.titles, study.labels, title).savefig(study.folder / "tsne.png")
    return numbers


def feature_maps(study: Study) -> dict[str, Any]:
    """The stages' first three principal components as colours: ``feature_maps_<network>.png``."""
    maps: dict[str, list[list[Tensor]]] = {analysis.name: [] for analysis in study.analyses}
    for analysis, pictured in study.pairs("Feature maps"):
        maps[analysis.name].append(analysis.features(pictured.sample["image"]))
    explained: dict[str, dict[str, list[float]]] = {}
    for analysis in study.analyses:
        network, columns = analysis.network, [[pictured.picture for pictured in study.pictured]]
        explained[analysis.name] = {}
        for name, stride, of_stage in zip(
            network.stage_names, network.stage_strides, zip(*maps[analysis.name], strict=True), strict=True
        ):
            pictures, shares = principal_colors(of_stage, analysis.seed)
            columns.append([_enlarged(one, stride, image) for one, image in zip(pictures, columns[0], strict=True)])
            explained[analysis.name][name] = shares
        titles = ["image", *network.stage_names]
        sheet = figures.contact_sheet(list(zip(*columns, strict=True)), titles, COMPONENTS_LEGEND)
        study.save_sheet("feature_maps", analysis, sheet)
    return {"images": [one.sample["name"] for one in study.pictured], "explained_variance": explained}


def grad_cam(study: Study) -> dict[str, Any]:
    """Where the stages speak for a class: ``grad_cam_<network>.png``."""
    rows: dict[str, list[list[figures.Picture]]] = {analysis.name: [] for analysis in study.analyses}
    for analysis, (sample, image, train_id) in study.pairs("Grad-CAM"):
        own = sample["mask"].numpy() == train_id
        marked = figures.overlay(figures.greyed(image), np.where(own, train_id, 255), study.labels, alpha=0.8)
        maps = class_activations(analysis.network, sample["image"], own, train_id)
        rows[analysis.name].append([marked, *(drawn.heated(image, one) for one in maps)])
    ids = sorted({one.train_id for one in study.pictured})
    legend = [(study.labels.classes[train_id], study.labels.palette[train_id]) for train_id in ids]
    for analysis in study.analyses:
        titles = ["the class in the labels", *(f"{name}: Grad-CAM" for name in analysis.network.stage_names)]
        sheet = figures.contact_sheet(rows[analysis.name], titles, [*legend, *drawn.heat_legend()])
        study.save_sheet("grad_cam", analysis, sheet)
    return {
        "images": [one.sample["name"] for one in study.pictured],
        "classes": [study.labels.classes[one.train_id] for one in study.pictured],
    }


FIGURES: Final[dict[str, Callable[[Study], dict[str, Any]]]] = {
    "error_distance": error_distance,
    "tsne": tsne,
    "feature_maps": feature_maps,
    "grad_cam": grad_cam,
}


def _curve_to_dict(curve: ErrorCurve) -> dict[str, Any]:
    return {
        "distance": list(range(len(curve.pixels))),
        "cosine": without_nan(curve.cosine.tolist()),
        "pixels": curve.pixels.tolist(),
        "correct_cosine": without_nan(curve.correct_cosine.item()),
        "correct_pixels": int(curve.correct_pixels),
        "errors_without_boundary": int(curve.boundless),
    }


def _enlarged(picture: figures.Picture, stride: int, image: figures.Picture) -> figures.Picture:
    """A stage's picture at the size of the image, without its padding."""
    return picture.repeat(stride, 0).repeat(stride, 1)[: image.shape[0], : image.shape[1]]

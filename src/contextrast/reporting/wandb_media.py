"""Tables, charts and pictures in W&B's own types. Import this module only where a W&B run exists: it imports wandb."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import wandb
from numpy.typing import NDArray

from contextrast.data.labels import IGNORE_INDEX, LabelTable
from contextrast.metrics import Scores
from contextrast.reporting.figures import Ids, Picture, overlay
from contextrast.reporting.picture_files import ids_within, within, write_photo
from contextrast.reporting.tables import scores_to_dict, without_nan

PICTURES: Final = ("pictures/predictions", "pictures/error_boundary")
TABLE: Final = "predictions"
"""What the pictures of a validation and the table at a training's end are logged as."""

PREDICTION_COLUMNS: Final = [
    "name", "image", "ground truth", "prediction", "error boundary",
    "mIoU", "pixel accuracy", "worst IoU", "worst class",
]  # fmt: skip
"""Columns of the table of predictions."""

_SIDE: Final = 1024  # pixels of a picture's longer side; the record of a run with 2048 would grow by megabytes


def per_class(scores: Scores, classes: Sequence[str]) -> wandb.Table:
    """Per-class IoU and accuracy, as fractions; a class that is absent has no value.

    Args:
        scores: Scores of a split.
        classes: Class names in the order of their train ids.

    Returns:
        A table with the columns class, IoU and accuracy.
    """
    values = scores_to_dict(scores, classes)
    rows = [[name, values["iou"][name], values["accuracy"][name]] for name in classes]
    return wandb.Table(columns=["class", "IoU", "accuracy"], data=rows)


def confusion_chart(confusion: NDArray[np.integer[Any]], classes: Sequence[str], title: str) -> Any:
    """W&B's interactive confusion matrix, from counts.

    ``wandb.plot.confusion_matrix`` takes one label and prediction a sample, which would be all pixels of a split.

    Args:
        confusion: Pixels of class ``row`` predicted as class ``column``, ``[N, N]``.
        classes: N class names.
        title: Heading of the chart.

    Returns:
        A chart that can be logged.
    """
    columns = ["Actual", "Predicted", "nPredictions"]
    rows = [
        [actual, predicted, int(confusion[row, column])]
        for row, actual in enumerate(classes)
        for column, predicted in enumerate(classes)
    ]
    return wandb.plot_table(
        vega_spec_name="wandb/confusion_matrix/v1",
        data_table=wandb.Table(columns=columns, data=rows),
        fields={name: name for name in columns},
        string_fields={"title": title},
    )


def photo(picture: Picture, folder: Path, **options: Any) -> wandb.Image:
    """A picture that is logged as a small file.

    Args:
        picture: RGB ``[H, W, 3]``; larger ones are scaled down.
        folder: Where the file lies until it is logged, which copies it.
        **options: Of ``wandb.Image``.
    """
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".jpg", delete=False) as file:
        write_photo(Path(file.name), within(picture, _SIDE))
    return wandb.Image(file.name, **options)


def segmentation(
    image: Picture, target: Ids, prediction: Ids, labels: LabelTable, caption: str, folder: Path
) -> wandb.Image:
    """An image whose prediction and ground truth can be switched on as layers.

    Args:
        image: RGB picture ``[H, W, 3]``.
        target: Ground truth ``[H, W]``.
        prediction: Predicted train ids ``[H, W]``.
        labels: Names of the classes.
        caption: Text below the image.
        folder: As `photo` takes it.

    Returns:
        An image that can be logged.
    """
    names = {**dict(enumerate(labels.classes)), IGNORE_INDEX: "ignored"}
    maps = {"prediction": prediction, "ground truth": target}
    masks = {key: {"mask_data": ids_within(ids, _SIDE), "class_labels": names} for key, ids in maps.items()}
    return photo(image, folder, masks=masks, caption=caption)


def predictions(rows: Sequence[Mapping[str, Any]], labels: LabelTable, folder: Path) -> wandb.Table:
    """A table of images that can be sorted by how well each went.

    Args:
        rows: For each image ``name``; ``image``, ``boundary``, RGB ``[H, W, 3]``; ``target`` and ``prediction``,
            train ids ``[H, W]``; ``miou``, ``pixel_accuracy`` and ``worst_iou`` in 0..1; ``worst``, a class or None.
        labels: Classes and their colours.
        folder: As `photo` takes it.

    Returns:
        A table; a number that does not exist, as in an image without labels, is left empty.
    """
    table = wandb.Table(columns=PREDICTION_COLUMNS)
    for row in rows:
        pictures = [
            row["image"],
            overlay(row["image"], row["target"], labels, alpha=0.7),
            overlay(row["image"], row["prediction"], labels, alpha=0.7),
            row["boundary"],
        ]
        numbers = without_nan([row[key] for key in ("miou", "pixel_accuracy", "worst_iou")])
        worst = None if row["worst"] is None else labels.classes[row["worst"]]
        table.add_data(row["name"], *(photo(picture, folder) for picture in pictures), *numbers, worst)
    return table

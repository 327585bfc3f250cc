"""What a run leaves in W&B's offline record, and that a run without W&B never imports it."""

import json

import numpy as np
import pytest
from PIL import Image

from contextrast.callbacks import MetricTables, PredictionPictures
from contextrast.runs.loggers import RunWandb, finish_loggers
from tests.callbacks.conftest import LABELS, BlocksData, Module, make_trainer
from tests.reporting.wandb_record import Record, records_in, sign_out


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        sign_out(patch, tmp_path_factory.mktemp("home"))
        logger = RunWandb(folder, settings={"console": "off"})
        callbacks = [PredictionPictures(folder / "pictures", 2), MetricTables(folder / "pictures")]
        make_trainer(folder, callbacks, [logger]).fit(Module(), BlocksData())
        finish_loggers([logger], failed=False)
    (found,) = records_in(folder)
    return found


def table(record: Record, name: str) -> list[list]:
    """The rows of the last table of that name."""
    return json.loads(record.file(record.history[f"{name}/path"][-1]).read_text())["data"]


def test_losses_and_scores_are_recorded(record: Record) -> None:
    assert len(record.history["train/loss"]) == 3
    assert len(record.history["val/miou"]) == 2
    assert record.exit_code == 0


def test_the_per_class_table_fits_the_scores(record: Record) -> None:
    rows = table(record, "val/per_class")
    assert [row[0] for row in rows] == list(LABELS.classes)
    assert rows[-1][1:] == [None, None], "a class that does not occur has no value"
    present = [row[1] for row in rows[:-1]]
    assert np.mean(present) == pytest.approx(record.history["val/miou"][-1])


def test_the_confusion_matrix_counts_every_labelled_pixel(record: Record) -> None:
    rows = table(record, "val/confusion_matrix_table")
    assert len(rows) == 4 * 4
    assert sum(count for *_, count in rows) == 8 * 23 * 30
    panel = record.config["_wandb/visualize/val/confusion_matrix"]["panel_config"]
    assert panel["panelDefId"] == "wandb/confusion_matrix/v1"


def test_pictures_have_masks_and_class_names(record: Record, data: BlocksData) -> None:
    assert record.history["pictures/predictions/count"] == [2, 2]
    assert record.history["pictures/predictions/captions"][-1] == ["block_2", "block_6"]
    masks = record.history["pictures/predictions/all_masks"][-1][0]
    assert set(masks) == {"prediction", "ground truth"}
    drawn = np.asarray(Image.open(record.file(masks["ground truth"]["path"])))
    assert np.array_equal(drawn, data.dataset("val").read(2)[1])
    for kind in masks:
        labels = record.config["_wandb"]["mask/class_labels"][f"pictures/predictions_wandb_delimeter_{kind}"]["value"]
        assert labels == {"0": "sky", "1": "road", "2": "pole", "3": "never seen", "255": "ignored"}


def test_error_boundaries_are_recorded(record: Record) -> None:
    assert record.history["pictures/error_boundary/count"] == [2, 2]
    for name in record.history["pictures/error_boundary/filenames"][-1]:
        assert record.file(name).is_file()

"""Scores as a table and as plain containers."""

import io
import json
import math

import pytest
import torch
from rich.console import Console

from contextrast.metrics import Report, scores_from_counts
from contextrast.reporting.tables import group_table, per_class_table, percent, report_to_dict, scores_to_dict

CLASSES = ("road", "pole", "never seen")


@pytest.fixture
def scores():
    """Road: IoU 6/9, accuracy 6/7. Pole: IoU 2/5, accuracy 2/4, of which one pixel was predicted as no class."""
    confusion = torch.tensor([[6, 1, 0], [1, 2, 0], [0, 0, 0]])
    return scores_from_counts(confusion, torch.tensor([0, 1, 0]))


def printed(table) -> list[list[str]]:
    """The cells of every row of the printed table."""
    file = io.StringIO()
    Console(file=file, width=100).print(table)
    lines = [line for line in file.getvalue().splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


def test_the_table_shows_percent_and_a_dash_for_absent_classes(scores) -> None:
    assert printed(per_class_table(scores, CLASSES, "val")) == [
        ["road", "75.00", "85.71", "63.64"],
        ["pole", "40.00", "50.00", "36.36"],
        ["never seen", "–", "–", "0.00"],
        ["mean", "57.50", "67.86", ""],
        ["all pixels", "", "72.73", ""],
    ]


REPORT = Report(
    convention="all of it",
    scores={"b_miou_3": 0.5},
    per_class={"b_iou_3": [0.25, 0.75, math.nan]},
    groups={"tiny": {"mIoU": 0.125, "classes": 2}, "large": {"mIoU": math.nan, "classes": 0}},
    details={"iou_tiny": {"road": 0.125, "pole": math.nan}},
)


def test_further_measures_become_columns_with_their_mean(scores) -> None:
    rows = printed(per_class_table(scores, CLASSES, reports=[REPORT, Report("none", {})]))
    assert [row[4:] for row in rows] == [["25.00"], ["75.00"], ["–"], ["50.00"], [""]]


def test_groups_show_percent_counts_and_plain_numbers() -> None:
    assert printed(group_table(REPORT, "scale")) == [["tiny", "12.50", "2"], ["large", "–", "0"]]
    plain = Report("distances", {}, groups={"stage2": {"A": 0.34487, "U": math.nan, "l": 3}}, fractions=False)
    assert printed(group_table(plain)) == [["stage2", "0.3449", "–", "3"]]


def test_a_report_is_json_with_its_convention_and_null_for_nan() -> None:
    content = json.loads(json.dumps(report_to_dict(REPORT, CLASSES), allow_nan=False))
    assert content == {
        "convention": "all of it",
        "b_miou_3": 0.5,
        "per_class": {"b_iou_3": {"road": 0.25, "pole": 0.75, "never seen": None}},
        "groups": {"tiny": {"mIoU": 0.125, "classes": 2}, "large": {"mIoU": None, "classes": 0}},
        "iou_tiny": {"road": 0.125, "pole": None},
    }


def test_a_split_without_labels_shows_dashes() -> None:
    nothing = scores_from_counts(torch.zeros(3, 3, dtype=torch.long), torch.zeros(3, dtype=torch.long))
    assert {cell for row in printed(per_class_table(nothing, CLASSES)) for cell in row[1:]} == {"–", ""}
    assert scores_to_dict(nothing, CLASSES)["pixel_accuracy"] is None


@pytest.mark.parametrize(("value", "text"), [(0.0, "0.00"), (1.0, "100.00"), (0.61249, "61.25"), (math.nan, "–")])
def test_percent(value, text) -> None:
    assert percent(value) == text


def test_the_dictionary_is_json_with_null_for_absent_classes(scores) -> None:
    content = json.loads(json.dumps(scores_to_dict(scores, CLASSES), allow_nan=False))
    assert content["iou"] == {"road": 0.75, "pole": 0.4, "never seen": None}
    assert content["accuracy"] == {"road": pytest.approx(6 / 7), "pole": 0.5, "never seen": None}
    assert content["miou"] == pytest.approx(0.575)
    assert content["mean_accuracy"] == pytest.approx((6 / 7 + 0.5) / 2)
    assert content["pixel_accuracy"] == pytest.approx(8 / 11)
    assert content["confusion"] == [[6, 1, 0], [1, 2, 0], [0, 0, 0]]


def test_names_that_do_not_fit_are_refused(scores) -> None:
    with pytest.raises(ValueError, match="2 class names for scores of 3 classes"):
        per_class_table(scores, CLASSES[:2])
    with pytest.raises(ValueError, match="2 class names for scores of 3 classes"):
        scores_to_dict(scores, CLASSES[:2])

"""mIoU of head, mid and tail classes."""

import json
import math

import pytest
import torch

from contextrast.data import LabelTable
from contextrast.errors import ConfigError
from contextrast.metrics import HeadMidTail, HeadMidTailWhereKnown, Subject

GROUPS = {"head": (2, 0), "mid": (1,), "tail": (3,)}


def test_groups_are_means_of_their_classes_that_occur() -> None:
    """IoUs: class 0: 2/4, 1: 1/3, 2: absent, 3: 0 (one false positive)."""
    target = torch.tensor([[[0, 0, 0, 1, 1, 255]]])
    prediction = torch.tensor([[[0, 0, 1, 1, 0, 2]]])
    target, prediction = torch.cat([target] * 2, 1), torch.cat([prediction] * 2, 1)
    prediction[0, 1, 0] = 3
    measure = HeadMidTail(4, GROUPS)
    measure.update(prediction, target)
    report = measure.report(["road", "car", "sky", "pole"])
    assert report.scores["miou_head"] == pytest.approx(3 / 8)  # class 0: 3 hits, 3 missed, 2 false
    assert report.scores["miou_mid"] == pytest.approx(2 / 6)  # class 1: 2 hits, 2 missed, 2 false
    assert report.scores["miou_tail"] == 0
    assert report.details["classes"] == {"head": ["sky", "road"], "mid": ["car"], "tail": ["pole"]}


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("cityscapes", (7, 6, 6)), ("camvid", (4, 4, 3)), ("pascal_context", (20, 20, 19)),
     ("coco_stuff10k", (57, 57, 57)), ("ade20k", (50, 50, 50))],
)  # fmt: skip
def test_the_groups_of_every_dataset_are_taken(name, sizes) -> None:
    labels = LabelTable.load(name)
    measure = HeadMidTail(labels.num_classes, labels.groups)
    assert tuple(len(ids) for ids in measure.groups.values()) == sizes


def test_counted_groups_win_over_published_ones(tmp_path) -> None:
    path = tmp_path / "check.json"
    path.write_text(json.dumps({"classes": ["a", "b", "c"], "groups": {"head": [2], "mid": [0], "tail": [1]}}))
    assert HeadMidTail(3, {"head": [0], "mid": [1], "tail": [2]}, path).groups["head"] == (2,)


@pytest.mark.parametrize(
    ("content", "word"),
    [(None, "No such file"), ("{", "Expecting property"), ('{"groups": null}', "AttributeError"),
     ('{"groups": {"head": [0], "mid": [1], "tail": []}}', "0..2 once")],
)  # fmt: skip
def test_files_without_the_groups_of_these_classes(tmp_path, content, word) -> None:
    path = tmp_path / "check.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=word) as refused:
        HeadMidTail(3, None, path)
    assert str(path) in str(refused.value)


def test_unknown_frequencies_are_an_error_unless_the_measure_may_be_left_out() -> None:
    with pytest.raises(ConfigError, match="contextrast-check"):
        HeadMidTail(3)
    assert HeadMidTailWhereKnown.of(Subject(3)) is None
    assert isinstance(HeadMidTailWhereKnown.of(Subject(4, GROUPS)), HeadMidTail)
    with pytest.raises(ConfigError, match="frequencies"):
        HeadMidTail.of(Subject(3))


def test_a_group_without_a_class_that_occurs_is_nan() -> None:
    measure = HeadMidTail(4, GROUPS)
    measure.update(torch.tensor([[[0]]]), torch.tensor([[[0]]]))
    scores = measure.report("abcd").scores
    assert scores["miou_head"] == 1
    assert math.isnan(scores["miou_tail"])

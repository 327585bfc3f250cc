"""Names of folders: what any file system takes, read at a glance, and never the same for different overrides."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contextrast.runs.names import former_name, job_name, path_name, present

PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]*")
TEXTS = st.text(st.characters(exclude_characters="\0"), max_size=200)
TYPED = st.from_regex(r"[a-z]{1,3}([./_][a-z]{1,3}){0,2}=[0-9a-z._,~+=\[\]/ -]{0,8}", fullmatch=True)


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        (["loss=ce", "seed=0"], "loss-ce__seed-0"),
        (["loss=contextrast", "loss.negatives.error_map=others"], "loss-contextrast__loss.negatives.error_map-others"),
        (["loss/negatives=all"], "loss~negatives-all"),
        (["loss=ce,contextrast", "seed=0,1"], "loss-ce+contextrast__seed-0+1"),
        (["optimizer.lr=1e-3"], "optimizer.lr-1e-3"),
        ([], "defaults"),
    ],
)
def test_names_are_read_as_what_they_stand_for(overrides, name):
    assert path_name(overrides) == name


@pytest.mark.parametrize(
    ("override", "begins"),
    [
        ("data.root=/data/camvid", "data.root-camvid__"),
        ("loss.stage_weights=[0,0,0,1]", "loss.stage_weights-0+0+0+1__"),
        ("~callbacks.progress", "callbacks.progress__"),
        ("logger.wandb.name='a = b'", "logger.wandb.name-ab__"),
    ],
)
def test_what_a_name_cannot_hold_stays_readable(override, begins):
    assert path_name([override]).startswith(begins)


@example(["\ud800"])  # a byte that is no text, as Python hands it on
@example([".."])
@example(["=", "", "__"])
@given(st.lists(st.one_of(TEXTS, TYPED), max_size=6))
def test_any_overrides_make_a_name(overrides):
    name = path_name(overrides)
    assert PLAIN.fullmatch(name), name
    assert len(name) < 120


@given(st.lists(TYPED, max_size=3), st.lists(TYPED, max_size=3))
@example(["a=1", "b=2"], ["a=1__b-2"])
@example(["a-b=c"], ["a=b-c"])
@example(["a=[1,2]"], ["a=1,2"])
@example(["a=x/b"], ["a=y/b"])
@example(["a/b=c"], ["a.b=c"])
@example(["a=1 "], ["a=1"])
@example([], ["defaults"])
@example(["a=" + "x" * 300 + "1"], ["a=" + "x" * 300 + "2"])
def test_different_overrides_have_different_names(first, second):
    assert (path_name(first) == path_name(second)) == (first == second)


def test_a_job_is_called_the_same_in_whatever_order_it_is_typed():
    assert (
        job_name(["seed=0", "loss=ce"]) == job_name(["loss=ce", "seed=0"]) == job_name(["seed=3", "loss=ce", "seed=0"])
    )


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        (["seed=0", "loss=ce", "logger=csv", "ablation=x", "resume=latest"], "loss=ce,seed=0"),
        (["loss/negatives=all", "seed=0"], "loss.negatives=all,seed=0"),
        (["data.root=/a/camvid", "seed=0"], "data.root=camvid,seed=0-2db7ef1f"),
        ([], "defaults"),
    ],
)
def test_former_names(overrides, name):
    assert former_name(overrides) == name


def test_a_former_folder_is_gone_on_with_unless_there_is_a_present_one(tmp_path):
    assert present(tmp_path, "loss-ce", "loss=ce") == "loss-ce"
    (tmp_path / "loss=ce").mkdir()
    assert present(tmp_path, "loss-ce", "loss=ce") == "loss=ce"
    (tmp_path / "loss-ce").mkdir()
    assert present(tmp_path, "loss-ce", "loss=ce") == "loss-ce"
    assert present(tmp_path, "short", "x" * 300) == "short"

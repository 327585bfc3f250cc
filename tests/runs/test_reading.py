"""Files of run folders that somebody else may have made."""

import json
import os

import pytest

from contextrast.errors import ConfigError
from contextrast.runs.reading import load, read_regular
from contextrast.runs.records import read_runs
from tests.reporting.records import write_run

BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "\n".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 10)}]" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {x: 1}\n" + "\n".join(
    f"{new}: &{new}\n  <<: [{','.join([f'*{old}'] * 10)}]" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


def pipe(path):
    os.mkfifo(path)


def device(path):
    path.symlink_to("/dev/zero")


def secret(path):
    (path.parent / "secret").write_text("{seed: 1}")
    path.symlink_to(path.parent / "secret")


def sparse(path):
    with path.open("wb") as file:
        file.truncate(1 << 40)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("make", [pipe, device, secret, sparse, lambda path: path.mkdir()])
def test_what_is_no_regular_file_or_huge_is_neither_read_nor_waited_for(make, tmp_path):
    make(tmp_path / "config.yaml")
    with pytest.raises(ConfigError, match=r"config\.yaml cannot be read"):
        load(tmp_path / "config.yaml")
    with pytest.raises((OSError, ValueError)):
        read_regular(tmp_path / "config.yaml")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("text", [BOMB, MERGES, "&a [*a]", "a: &a\n  b: *a", "? &a [*a]\n: 1", "[" * 5000])
def test_aliases_that_grow_or_lead_to_themselves_are_refused(text, tmp_path):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"config\.yaml cannot be read"):
        load(tmp_path / "config.yaml")


def test_an_alias_is_what_it_stands_for(tmp_path):
    (tmp_path / "a.yaml").write_text("a: &x [1, 2]\nb: *x")
    assert load(tmp_path / "a.yaml") == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.timeout(60)
def test_links_among_runs_are_left_out_with_their_names(tmp_path):
    """One leads to somebody else's run, one round in a circle."""
    write_run(tmp_path / "elsewhere" / "run", [], 0.5)
    write_run(tmp_path / "runs" / "own", [], 0.6)
    (tmp_path / "runs" / "other").symlink_to(tmp_path / "elsewhere" / "run")
    (tmp_path / "runs" / "deep").mkdir()
    (tmp_path / "runs" / "deep" / "circle").symlink_to(tmp_path / "runs")
    (tmp_path / "runs" / "3.json").symlink_to("/etc/passwd")
    found = read_runs([tmp_path / "runs"])
    assert [run.metrics["miou"] for run in found.runs] == [0.6]
    assert {path.name for path in found.left_out} == {"other", "circle", "3.json"}
    (tmp_path / "linked").symlink_to(tmp_path / "runs")
    assert len(read_runs([tmp_path / "linked"]).runs) == 1, "a folder that the user names may be a link"


RESULT = {"recipe": "r", "variant": "ce", "seed": 0, "metrics": {"miou": 0.5}}


@pytest.mark.parametrize(
    "change",
    [
        {"seed": [1]}, {"seed": "0"}, {"seed": None}, {"variant": 3}, {"variant": None}, {"variant": [["ce"]]},
        {"recipe": {}}, {"metrics": [1]}, {"metrics": None}, {"overrides": 3}, {"overrides": "a=1"},
    ],
)  # fmt: skip
def test_a_result_of_something_else_is_left_out_with_its_reason(change, tmp_path):
    (tmp_path / "ce").mkdir()
    (tmp_path / "ce" / "0.json").write_text(json.dumps(RESULT))
    (tmp_path / "ce" / "1.json").write_text(json.dumps(RESULT | change))
    found = read_runs([tmp_path])
    assert len(found.runs) == 1
    assert list(found.left_out) == [tmp_path / "ce" / "1.json"]


@pytest.mark.parametrize("text", ["[1]", "3", '"a"', "{", "", "\x00", '{"miou": NaN'])
def test_metrics_that_are_none_leave_a_run_out(text, tmp_path):
    write_run(tmp_path / "good", [], 0.5)
    folder = write_run(tmp_path / "bad", [], 0.5)
    (folder / "metrics.json").write_text(text)
    found = read_runs([tmp_path])
    assert len(found.runs) == 1
    assert list(found.left_out) == [folder]

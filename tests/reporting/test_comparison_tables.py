"""The three forms say the same numbers, and a dash where there is none."""

import csv
import io

import pytest
from rich.console import Console

from contextrast.reporting.comparison import compare
from contextrast.reporting.comparison_tables import comma_separated, markdown, terminal_tables
from tests.reporting.test_comparison import run

COSTS = {"parameters": {"deployed": 5_130_000, "training_only": 246_112}}


@pytest.fixture(scope="module")
def comparisons():
    runs = [run("loss=ce", seed, miou) for seed, miou in ((0, 0.5), (1, 0.6), (2, 0.7))]
    runs += [
        run("loss=pp", seed, miou, step_seconds=0.25, peak_memory_bytes=3 * 2**29, **COSTS)
        for seed, miou in ((1, 0.61), (2, 0.73))
    ]
    return compare([*runs, run("loss=a|b", 0, state="not finished")])


def printed(comparison, width):
    console = Console(width=width, file=io.StringIO())
    tables = terminal_tables(comparison, console)
    console.print(*tables, sep="\n")
    return len(tables), console.file.getvalue()


def test_a_wide_terminal_shows_one_table(comparisons):
    number, text = printed(comparisons[0], 140)
    assert number == 1
    (row,) = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if "loss=pp" in line]
    interval = "[-10.71, +14.71]"  # 2 ± 12.706 · sqrt(2) / sqrt(2), by hand
    assert row == ["loss=pp", "2", "67.00 ± 8.49", "+2.00", interval, "5.13 M", "0.25 M", "250 ms", "1.50 GiB"]


def test_a_narrow_terminal_shows_costs_apart_and_cuts_no_number(comparisons):
    number, text = printed(comparisons[0], 80)
    assert number == 2
    assert max(map(len, text.splitlines())) <= 80
    for shown in ("67.00 ± 8.49", "[-10.71, +14.71]", "1.50 GiB", "0 of 1"):
        assert shown in text


def test_markdown_is_a_table_with_its_notes(comparisons):
    text = markdown(comparisons)
    lines = text.splitlines()
    assert lines[0] == "## camvid"
    assert lines[2].startswith("| setting | seeds | miou % | difference to loss=ce | 95 % interval |")
    assert lines[4] == "| `loss=ce` | 3 | 60.00 ± 10.00 | baseline |  | – | – | – | – |"
    assert lines[6] == "| `loss=a/b` | 0 of 1 | – | – | – | – | – | – | – |"
    assert {line.count("|") for line in lines[2:7]} == {10}
    assert lines[-1] == "* loss=a|b, seed 0: not finished"


def test_csv_has_all_digits_and_leaves_out_what_is_not_known(comparisons):
    first, second, third = csv.DictReader(io.StringIO(comma_separated(comparisons)))
    assert float(second["difference"]) == pytest.approx(0.02)
    assert float(second["std"]) == pytest.approx(0.0848528137)
    assert second["peak_memory_bytes"] == str(3 * 2**29)
    assert (first["setting"], first["difference"], first["step_seconds"]) == ("loss=ce", "", "")
    assert (third["seeds"], third["finished"], third["mean"]) == ("1", "0", "")

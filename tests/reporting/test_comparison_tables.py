"""The three forms say the same numbers, and a dash where there is none."""

import csv
import io

import pytest
from rich.console import Console

from contextrast.reporting.baselines import Baselines
from contextrast.reporting.comparison import compare
from contextrast.reporting.comparison_csv import comma_separated
from contextrast.reporting.comparison_tables import effort_text, explanation, markdown, terminal_tables
from contextrast.reporting.verdicts import Effort
from contextrast.runs.records import read_runs
from tests.reporting.records import write_run
from tests.reporting.test_comparison import run

COSTS = {"train_seconds": 720.0, "parameters": {"deployed": 5_130_000, "training_only": 246_112}}


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


def cells(text, setting):
    """Lines of a row's cells."""
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if "│" in line]
    start = next(place for place, line in enumerate(lines) if line[0] == setting)
    following = [line for line in lines[start + 1 : start + 2] if not line[0]]
    return [" ".join(parts).strip() for parts in zip(*[lines[start], *following], strict=True)]


def test_a_wide_terminal_shows_one_table(comparisons):
    number, text = printed(comparisons[0], 170)
    assert number == 1
    interval = "+2.00 [-10.71, +14.71]"  # 2 ± 12.706 · sqrt(2) / sqrt(2), by hand
    assert cells(text, "loss=pp")[:5] == ["loss=pp", "2", "67.00 ± 8.49", interval, "cannot tell"]
    assert cells(text, "loss=pp")[-5:] == ["5.13 M", "0.25 M", "250 ms", "1.50 GiB", "12 min"]
    assert cells(text, "loss=ce")[3:5] == ["baseline", ""]


def test_a_narrow_terminal_shows_parts_apart_and_cuts_no_number(comparisons):
    number, text = printed(comparisons[0], 80)
    assert number == 3
    assert max(map(len, text.splitlines())) <= 80
    for shown in ("67.00 ± 8.49", "[-10.71, +14.71]", "1.50 GiB", "0 of 1"):
        assert shown in text


def test_all_measures_stay_within_80_columns():
    def scores(seed, more):
        return {
            "b_miou": {"b_miou_3": 0.4 + more + seed / 90}, "pixel_accuracy": 0.9 + more / 4,
            "iou": {"a": 0.2 + more, "b": 0.9 - seed / 50},
        }  # fmt: skip

    runs = [
        run(f"loss={name}", seed, 0.6 + more + seed / 70 * (1 + more), train_seconds=900.0, **scores(seed, more))
        for name, more in (("ce", 0.0), ("contextrast loss.negatives.error_map=others", 0.03))
        for seed in range(3)
    ]
    (comparison,) = compare(runs, thin=["a"])
    assert [measure.key for measure in comparison.measures] == ["miou", "thin", "b_miou", "pixel_accuracy"]
    _, text = printed(comparison, 80)
    assert max(map(len, text.splitlines())) <= 80
    for shown in ("thin mIoU %", "B-mIoU %", "pixel acc. %", "23.00 ± 0.00", "+3.00", "helps", "to tell 0.5"):
        assert shown in text
    assert "hold together" not in explanation(comparison), "there is one difference alone"
    table = markdown([comparison])
    assert table.startswith("## camvid, against `loss=ce`")
    for shown in ("thin mIoU %", "23.00 ± 0.00 +3.00 [+3.00, +3.00]", "2 degrees of freedom"):
        assert shown in table


def test_a_row_with_a_baseline_of_its_own_names_it():
    names = ("ce", "ce loss/base=lovasz", "pp loss/base=lovasz")
    runs = [
        run(f"loss={name}", seed, 0.5 + seed / 50 + place / 9) for place, name in enumerate(names) for seed in (0, 1)
    ]
    (comparison,) = compare(runs, baselines=Baselines(own_base=True))
    _, text = printed(comparison, 100)
    assert "against loss=ce" in text
    assert "│   loss/base=lovasz" in text, "the baseline's second override"
    assert "| `loss=pp loss/base=lovasz` against `loss=ce loss/base=lovasz` |" in markdown([comparison])


@pytest.mark.parametrize(
    ("effort", "text"),
    [(None, "–"), (Effort(0, 0.0), "none"), (Effort(1, 0.25), "1 seed, 15 min"), (Effort(9, 7.21), "9 seeds, 7.2 h"),
     (Effort(9, None), "9 seeds"), (Effort(30, 41.0), "30 seeds, 41 h")],
)  # fmt: skip
def test_efforts_are_words(effort, text):
    assert effort_text(effort) == text


def test_markdown_is_a_table_with_its_notes(comparisons):
    text = markdown(comparisons)
    lines = text.splitlines()
    assert lines[0] == "## camvid, against `loss=ce`"
    assert lines[2].startswith("| setting | seeds | mIoU % | difference 95 % interval | verdict |")
    assert lines[4].startswith("| `loss=ce` | 3 | 60.00 ± 10.00 | baseline |  |")
    assert lines[6].startswith("| `loss=a/b` | 0 of 1 | – | – | cannot tell |")
    assert len({line.count("|") for line in lines[2:7]}) == 1
    assert lines[-1] == "* loss=a|b, seed 0: not finished"


def test_csv_holds_no_formulas(tmp_path):
    write_run(tmp_path / "a", ["loss=ce", "+a==HYPERLINK(0)"], 0.5)
    write_run(tmp_path / "b", ["@b=1", "=1+1"], 0.5)
    text = comma_separated(compare(read_runs([tmp_path]).runs))
    assert len(text.splitlines()) == 3
    cells = [cell for record in csv.reader(io.StringIO(text)) for cell in record]
    assert any("HYPERLINK" in cell for cell in cells)
    for cell in cells:
        assert cell[:1] not in ("=", "+", "@", "\t"), cell
        assert cell[:1] != "-" or float(cell) < 0


def test_csv_has_all_digits_and_leaves_out_what_is_not_known(comparisons):
    first, second, third = csv.DictReader(io.StringIO(comma_separated(comparisons)))
    assert float(second["difference"]) == pytest.approx(0.02)
    assert float(second["std"]) == pytest.approx(0.0848528137)
    assert second["peak_memory_bytes"] == str(3 * 2**29)
    assert (first["setting"], first["difference"], first["step_seconds"]) == ("loss=ce", "", "")
    assert (third["seeds"], third["finished"], third["mean"]) == ("1", "0", "")

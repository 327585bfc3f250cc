"""The command over folders: tables on the terminal and in files, and one clear error for what cannot be."""

import csv
import itertools
import json

import pytest

from contextrast.cli import report
from tests.reporting.records import metrics, write_run, write_sweep


@pytest.fixture
def sweep(tmp_path):
    return write_sweep(tmp_path / "sweep", {0.1: {0: 0.5, 1: 0.6}, 0.2: {0: 0.52, 1: 0.61}})


def test_a_sweep_is_printed_and_written(sweep, tmp_path, capsys):
    write_run(sweep / "stopped", ["loss.alpha=0.4", "data=camvid", "seed=0"], number=9, alpha=0.4)
    files = [tmp_path / "new" / name for name in ("table.md", "table.csv", "page.html")]
    arguments = zip(("--markdown", "--csv", "--html"), map(str, files), strict=True)
    report.main([str(sweep), "--baseline", "0.1", *itertools.chain(*arguments)])
    printed = capsys.readouterr().out
    for shown in ("CamVid", "55.00 ± 7.07", "+1.50", "loss.alpha=0.4, seed 0: not finished", "5.00 M", "125 ms", "–"):
        assert shown in printed
    assert "| `loss.alpha=0.2` | 2 | 56.50 ± 6.36 | +1.50 [-4.85, +7.85] | cannot tell |" in files[0].read_text()
    with files[1].open() as file:
        assert [row["finished"] for row in csv.DictReader(file)] == ["2", "2", "0"]
    assert "loss.alpha=0.4, seed 0: not finished" in files[2].read_text()


def test_results_and_other_metrics(tmp_path, capsys):
    for variant, miou in (("ce", 0.5), ("contextrast loss.alpha=0.2", 0.6)):
        path = tmp_path / "results" / "short" / variant.replace(" loss.", ",") / "0.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"recipe": "short", "variant": variant, "seed": 0, "metrics": metrics(miou)}))
    report.main([str(tmp_path / "results"), "--metric", "iou.Pole"])
    printed = capsys.readouterr().out
    for shown in ("short", "iou.Pole %", "loss=contextrast", "30.00", "+5.00"):
        assert shown in printed


def test_what_is_left_out_is_said(sweep, capsys):
    write_run(sweep / "damaged", [], 0.5)
    (sweep / "damaged" / "metrics.json").write_text("{")
    report.main([str(sweep)])
    assert f"left out: {sweep / 'damaged'}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(["nowhere"], "nowhere is no folder"), (["sweep", "--metric", "mio"], "--metric mio"),
     (["sweep", "--baseline", "0.9"], "--baseline 0.9"), (["sweep", "--csv", "sweep"], "sweep")],
)  # fmt: skip
def test_mistakes_are_one_clear_error(sweep, monkeypatch, capsys, arguments, word):
    monkeypatch.chdir(sweep.parent)
    with pytest.raises(SystemExit) as stopped:
        report.main(arguments)
    assert stopped.value.code == 1
    error = capsys.readouterr().err
    assert word in error
    assert "Traceback" not in error

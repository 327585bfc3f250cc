"""The benchmark of the loader composes what training composes, and prints what it measures."""

import json
import sys

import pytest

from scripts import benchmark

TINY = ["data.dataset.size=[32,32]", "data.crop=[32,32]", "data.num_workers=0", "data.batch_size=2"]


@pytest.mark.parametrize(("augment", "more"), [("cpu", set()), ("gpu", {"device_seconds"})])
def test_loader(augment, more, capsys, monkeypatch, tmp_path):
    numbers = tmp_path / "numbers.json"
    overrides = [*TINY, f"data.augment={augment}"]
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "loader", "--repetitions=1", f"--json={numbers}", *overrides])
    benchmark.main()
    assert set(json.loads(numbers.read_text())) == {"threads", "samples_per_second", "processor_seconds"} | more
    assert f"0 workers, augment={augment}" in capsys.readouterr().out


def test_what_is_wrong_with_the_data_is_said_without_a_traceback(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "loader", "data=camvid", "data.root=/nowhere"])
    with pytest.raises(SystemExit, match="/nowhere does not exist"):
        benchmark.main()


def test_memory_of_many_steps(capsys, monkeypatch, tmp_path):
    numbers = tmp_path / "numbers.json"
    monkeypatch.setattr(
        sys,
        "argv",
        ["benchmark.py", "memory", "--steps=12", "--methods", "contextrast", "contextrast_pp", f"--json={numbers}"],
    )
    benchmark.main()
    measured = json.loads(numbers.read_text())
    printed = capsys.readouterr().out
    for method in ("contextrast", "contextrast_pp"):
        assert f"{measured[f'{method} settled']:.1f} │ {measured[f'{method} end']:>13.1f}" in printed

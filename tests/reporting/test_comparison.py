"""Runs become rows: what belongs together is averaged, what does not is never in one row."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contextrast.errors import ConfigError
from contextrast.reporting.baselines import Baselines
from contextrast.reporting.comparison import compare
from contextrast.runs.image_counts import ImageCounts, write_image_counts
from contextrast.runs.records import Run

SCORES = {"0.1": {0: 0.50, 1: 0.60, 2: 0.70}, "0.2": {1: 0.61, 2: 0.73, 3: 0.9}}


def run(overrides, seed, miou=None, data="camvid", settings=None, state="finished", name="", **metrics):
    asked = {text.partition("=")[0]: text for text in overrides.split()}
    found = None if miou is None else {"miou": miou, **metrics}
    known = asked if settings is None else settings
    return Run(
        Path(f"{overrides},{seed}{name}"), {"data.dataset._target_": f"x.{data}"}, asked, seed, known, found, state
    )


def sweep():
    return [
        run(f"data=camvid loss.alpha={alpha}", seed, miou)
        for alpha, row in SCORES.items()
        for seed, miou in row.items()
    ]


def test_rows_are_the_overrides_that_vary():
    (comparison,) = compare(sweep())
    assert comparison.title == "camvid"
    assert [row.label for row in comparison.rows] == ["loss.alpha=0.1", "loss.alpha=0.2"]
    assert [row.spread.mean for row in comparison.rows] == pytest.approx([0.6, (0.61 + 0.73 + 0.9) / 3])
    assert comparison.notes == []


def test_differences_are_of_shared_seeds_alone():
    (comparison,) = compare(sweep())
    first, second = comparison.rows
    assert comparison.baseline == "loss.alpha=0.1"
    assert first.difference is None
    assert second.difference.mean == pytest.approx((0.01 + 0.03) / 2)
    assert second.difference.count == 2


@pytest.mark.parametrize("text", ["loss.alpha=0.2", "0.2"])
def test_the_baseline_can_be_chosen(text):
    (comparison,) = compare(sweep(), baselines=Baselines(text))
    assert comparison.baseline == "loss.alpha=0.2"
    assert comparison.rows[0].difference.mean == pytest.approx(-0.02)


@pytest.mark.parametrize("text", ["loss.alpha", "0.3"])
def test_a_baseline_that_is_none_or_several_is_refused(text):
    with pytest.raises(ConfigError, match=r"(?s)--baseline.*loss\.alpha=0\.1.*loss\.alpha=0\.2"):
        compare(sweep(), baselines=Baselines(text))


def test_a_whole_name_is_the_baseline_also_where_longer_ones_contain_it():
    runs = [run("loss=ce loss.x=1", 0, 0.5), run("loss=ce", 0, 0.6), run("loss=pp", 0, 0.6)]
    assert compare(runs, baselines=Baselines("loss=ce"))[0].baseline == "loss=ce"


def test_runs_of_other_data_are_in_another_table():
    runs = [run("loss=ce", 0, 0.5), run("loss=ce", 1, 0.5, data="streets"), run("loss=pp", 1, 0.9, data="streets")]
    first, second = compare(runs, baselines=Baselines("loss=ce"))
    assert (first.title, second.title) == ("camvid", "streets")
    assert first.rows[0].scores == {0: 0.5}
    assert [row.label for row in second.rows] == ["loss=ce", "loss=pp"]
    without, _ = compare(runs, baselines=Baselines("loss=pp"))
    assert without.baseline is None
    assert without.rows[0].difference is None


def test_tables_of_one_name_say_what_they_differ_in():
    def sized(size, seed):
        found = run("loss=ce", seed, 0.5)
        return Run(**{**vars(found), "data": {**found.data, "data.dataset.size": size}})

    assert [comparison.title for comparison in compare([sized(64, 0), sized(128, 1)])] == [
        "camvid (data.dataset.size=64)",
        "camvid (data.dataset.size=128)",
    ]


def test_equal_overrides_with_other_settings_are_never_in_one_row():
    runs = [run("loss=pp", 0, 0.5, settings={"loss.alpha": 1}), run("loss=pp", 1, 0.7, settings={"loss.alpha": 2})]
    (comparison,) = compare(runs)
    assert [row.label for row in comparison.rows] == ["loss=pp (loss.alpha=1)", "loss=pp (loss.alpha=2)"]
    assert [row.scores for row in comparison.rows] == [{0: 0.5}, {1: 0.7}]


def test_runs_that_did_not_finish_are_listed():
    early = run("loss=pp", 2, state="failed: DataError: gone", name="early")
    runs = [run("loss=pp", 0, 0.5), run("loss=pp", 1, state="not finished"), Run(**{**vars(early), "settings": None})]
    (comparison,) = compare([*runs, run("loss=ce", 0, state="not finished")], baselines=Baselines("loss=pp"))
    first, second = comparison.rows
    assert (len(first.runs), first.seeds, second.seeds) == (1, 3, 1)
    assert second.spread is None
    assert comparison.notes == [
        "loss=pp, seed 1: not finished",
        "loss=pp, seed 2: failed: DataError: gone",
        "loss=ce, seed 0: not finished",
    ]


def test_a_seed_that_was_run_twice_counts_once():
    (comparison,) = compare([run("loss=pp", 0, 0.5), run("loss=pp", 0, 0.9, name="again")])
    assert comparison.rows[0].scores == {0: 0.5}
    assert "there twice" in comparison.notes[0]
    assert "again" in comparison.notes[0]


def test_other_metrics_lie_deeper_and_may_be_absent():
    runs = [run("loss=ce", 0, 0.5, iou={"Pole": 0.25}), run("loss=ce", 1, 0.5, iou={"Pole": None})]
    (comparison,) = compare(runs, "iou.Pole")
    assert comparison.rows[0].scores == {0: 0.25}
    assert comparison.notes == ["loss=ce, seed 1: has no iou.Pole between 0 and 1"]
    with pytest.raises(ConfigError, match=r"iou\.Pol: no run has it"):
        compare(runs, "iou.Pol")
    with pytest.raises(ConfigError, match="--metric"):
        compare([run("loss=ce", 0, 0.5, step=540)], "step")


def test_the_measures_that_nobody_asked_for_cannot_stop_a_report():
    odd = run("loss=ce", 1, 0.5, pixel_accuracy=91.0, b_miou="high", iou={"a": float("inf")})
    (comparison,) = compare([run("loss=ce", 0, 0.5, pixel_accuracy=0.9), odd], thin=["a"])
    assert comparison.rows[0].measured["pixel_accuracy"].scores == {0: 0.9}
    assert [measure.key for measure in comparison.measures] == ["miou", "pixel_accuracy"]


def test_images_say_what_differences_hang_on_and_unreadable_ones_are_a_note(tmp_path):
    def counted(seed, name):
        rows = np.array([[0, 0, 0, 50 + seed], [0, 1, 0, 50], [1, 1, 1, 80], [1, 1, 0, 20 + 5 * seed]])
        write_image_counts(tmp_path / name, ImageCounts(["a", "b"], ["x", "y"], rows, rows, 3))
        return tmp_path / name

    runs = [
        replace(
            run(f"loss={loss}", seed, 0.5 + seed / 9 + place / 7), images=counted(seed + place, f"{loss}{seed}.npz")
        )
        for place, loss in enumerate(("ce", "pp"))
        for seed in (0, 1)
    ]
    (comparison,) = compare(runs)
    assert comparison.rows[1].measured["miou"].images is not None
    assert comparison.rows[0].measured["miou"].images is None, "it is the baseline"
    (tmp_path / "pp1.npz").write_text("")
    (comparison,) = compare(runs)
    assert comparison.rows[1].measured["miou"].images is not None, "the other seed has them still"
    assert "pp1.npz holds no counts of images" in comparison.notes[0]


def test_costs_are_the_median_step_and_the_highest_memory():
    costs = {"parameters": {"deployed": 5, "training_only": 2}}
    runs = [
        run("loss=ce", 0, 0.5, step_seconds=0.1, peak_memory_bytes=10, **costs),
        run("loss=ce", 1, 0.5, step_seconds=0.9, peak_memory_bytes=30, **costs),
        run("loss=ce", 2, 0.5, step_seconds=0.2, peak_memory_bytes=20, **costs),
        run("loss=pp", 0, 0.5),
    ]
    first, second = compare(runs)[0].rows
    assert (first.deployed_parameters, first.training_only_parameters) == (5, 2)
    assert (first.step_seconds, first.peak_memory_bytes) == (0.2, 30)
    assert (second.deployed_parameters, second.step_seconds, second.peak_memory_bytes) == (None, None, None)


def test_seeds_of_one_setting_are_called_by_what_was_asked_for():
    (comparison,) = compare([run("loss=pp data=camvid", seed, 0.5) for seed in (0, 1)])
    assert [row.label for row in comparison.rows] == ["loss=pp data=camvid"]
    assert compare([run("", 0, 0.5)])[0].rows[0].label == "defaults"
    assert compare([]) == []

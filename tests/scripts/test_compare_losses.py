"""The table that the README prints, and what a stopped series leaves behind."""

import json

import pytest

from scripts import compare_losses


def test_variants_are_compared_with_the_first_on_seeds_that_both_have(tmp_path):
    for variant, scores in {"ce": {0: 0.5, 1: 0.6, 2: 0.7}, "contextrast": {1: 0.61, 2: 0.73}}.items():
        for seed, miou in scores.items():
            path = tmp_path / "recipe" / variant / f"{seed}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            record = {"recipe": "recipe", "variant": variant, "seed": seed, "metrics": {"miou": miou}}
            path.write_text(json.dumps(record))
    found = compare_losses.comparison(tmp_path / "recipe", ["ce", "contextrast", "contextrast loss.alpha=1"], [0, 1, 2])
    assert (found.title, found.baseline) == ("recipe", "loss=ce")
    first, second, third = found.rows
    assert first.spread.mean == pytest.approx(0.6)
    assert (len(second.runs), second.seeds, second.difference.mean) == (2, 3, pytest.approx(0.02))
    assert third.spread is None
    assert "loss=contextrast, seed 0: not run" in found.notes


def test_a_series_of_which_nothing_was_run_is_a_table_too(tmp_path):
    found = compare_losses.comparison(tmp_path / "recipe", ["ce", "contextrast"], [0])
    assert [row.spread for row in found.rows] == [None, None]

"""The table that the README prints: means, spreads and paired intervals, and what a stopped series leaves behind."""

import json

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from scripts import compare_losses


def test_paired_interval_is_scipys():
    differences = [0.4, 1.9, 1.1, -0.2]
    mean, interval = compare_losses.paired(differences)
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert mean == f"{np.mean(differences):+.2f}"
    assert interval == f"[{expected.low:+.2f}, {expected.high:+.2f}]"


def test_one_seed_has_no_spread_and_none_is_said_so():
    assert compare_losses.spread([61.234]) == "61.23"
    assert compare_losses.spread([]) == "not run"
    assert compare_losses.paired([0.5]) == ("+0.50", "–")
    assert compare_losses.paired([]) == ("–", "–")


@pytest.mark.parametrize(
    ("variant", "folder"),
    [
        ("ce", "ce"),
        ("contextrast", "contextrast"),
        (
            "contextrast loss.alpha=0.2 loss.negatives.error_map=others",
            "contextrast,alpha=0.2,negatives.error_map=others",
        ),
        ("contextrast loss/negatives=all", "contextrast,negatives=all"),
    ],
)
def test_results_of_a_variant_have_a_folder_of_their_own(variant, folder):
    assert compare_losses.folder_name(variant) == folder


def test_only_seeds_that_both_have_are_paired(tmp_path):
    for variant, scores in {"ce": {0: 0.5, 1: 0.6, 2: 0.7}, "contextrast": {1: 0.61, 2: 0.73}}.items():
        for seed, miou in scores.items():
            path = tmp_path / "recipe" / variant / f"{seed}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"metrics": {"miou": miou}}))
    console = Console(width=160, record=True, file=None, quiet=False)
    with console.capture() as captured:
        console.print(compare_losses.table(tmp_path / "recipe", ["ce", "contextrast"], [0, 1, 2]))
    text = captured.get()
    assert "60.00 ± 10.00" in text
    assert "67.00 ± 8.49" in text
    assert "+2.00" in text  # of seeds 1 and 2 alone

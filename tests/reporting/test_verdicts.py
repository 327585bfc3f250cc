"""Words follow the interval, and efforts count what is missing."""

import numpy as np
import pytest

from contextrast.reporting.blocks import Residual
from contextrast.reporting.estimates import Difference
from contextrast.reporting.power import seeds_to_tell
from contextrast.reporting.verdicts import DIFFERENCES, Runs, verdict, words

ONE = np.eye(1)


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        (Difference(0.02, 0.001, 0.04, 3), "helps"),
        (Difference(-0.02, -0.04, -0.001, 3), "hurts"),
        (Difference(0.02, -0.01, 0.05, 3), "cannot tell"),
        (Difference(0.02, None, None, 1), "cannot tell"),
        (None, "cannot tell"),
    ],
)
def test_words(difference, said):
    assert words(difference) == said


def test_efforts_are_the_seeds_and_hours_that_setting_and_baseline_lack():
    residual = Residual(0.005, 8)
    found = verdict(Difference(0.0, -0.01, 0.01, 3), Runs(3, 3600.0), Runs(5, 1800.0), residual, ONE)
    for size, effort in zip(DIFFERENCES, found.efforts, strict=True):
        needed = seeds_to_tell(size, residual, 3, ONE)
        assert effort.seeds == needed - 3
        assert effort.hours == pytest.approx(max(0, needed - 3) * 1.0 + max(0, needed - 5) * 0.5)
    assert found.efforts[0].seeds > found.efforts[1].seeds


def test_what_is_not_known_is_left_open():
    difference = Difference(0.0, None, None, 1)
    assert verdict(difference, Runs(1, 9.0), Runs(1, 9.0), None, ONE).efforts == [None, None]
    unknown = verdict(Difference(0.0, -1, 1, 3), Runs(3, None), Runs(3, 9.0), Residual(0.005, 8), ONE)
    assert unknown.efforts[0].seeds > 0
    assert unknown.efforts[0].hours is None
    enough = verdict(Difference(0.0, -1, 1, 90), Runs(90, None), Runs(90, None), Residual(0.005, 80), ONE)
    assert (enough.efforts[0].seeds, enough.efforts[0].hours) == (0, 0.0)

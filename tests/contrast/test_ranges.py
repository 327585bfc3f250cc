"""Numbers that no loss can work with are refused by the name of their argument."""

import math

import pytest

from contextrast.contrast import ContextrastLoss
from contextrast.contrast.base import CrossEntropy, WeightedLosses
from contextrast.contrast.peers import MultiscaleLoss, PixelContrastLoss
from contextrast.errors import ConfigError, check_number


def contextrast(**changed):
    return ContextrastLoss(11, [8] * 4, **changed)


def pixel(**changed):
    return PixelContrastLoss(11, [8] * 4, **changed)


def multiscale(**changed):
    return MultiscaleLoss(11, [8] * 4, **changed)


def cross_entropy(**changed):
    return CrossEntropy(**changed)


NOT_NUMBERS = (math.nan, math.inf, -math.inf, "a", None, True)


@pytest.mark.parametrize(
    ("make", "argument", "wrong"),
    [
        *((make, "alpha", (-1, *NOT_NUMBERS)) for make in (contextrast, pixel, multiscale)),
        *((make, "temperature", (0, -1, *NOT_NUMBERS)) for make in (contextrast, pixel, multiscale)),
        *((make, "start_step", (-1, 0.5, *NOT_NUMBERS)) for make in (contextrast, pixel, multiscale)),
        *((make, "embedding_dim", (0, -1, 1.5, *NOT_NUMBERS)) for make in (contextrast, pixel, multiscale)),
        (contextrast, "warmup_steps", (-1, 0.5, *NOT_NUMBERS)),
        (contextrast, "anchor_negatives", (-1, *NOT_NUMBERS)),
        (contextrast, "running_anchors_momentum", (-0.1, 1.1, math.nan, "a")),
        *((make, "stage_weights", tuple([1, 1, 1, value] for value in (-1, *NOT_NUMBERS)))
          for make in (contextrast, multiscale)),
        (pixel, "base_temperature", (0, -1, *NOT_NUMBERS)),
        (pixel, "max_views", (0, 1.5, *NOT_NUMBERS)),
        (cross_entropy, "focal_gamma", (-1, *NOT_NUMBERS)),
        (cross_entropy, "label_smoothing", (-0.1, 1.1, *NOT_NUMBERS)),
        (cross_entropy, "class_weights", tuple([1, value] for value in (-1, *NOT_NUMBERS))),
    ],
)  # fmt: skip
def test_what_is_no_finite_number_of_the_range_is_refused(make, argument, wrong):
    for value in wrong:
        with pytest.raises(ConfigError, match=f"^{argument}"):
            make(**{argument: value})


def test_weights_of_a_base():
    for value in (-1, *NOT_NUMBERS):
        with pytest.raises(ConfigError, match=r"^weights\.one"):
            WeightedLosses({"one": value}, one=CrossEntropy())


def test_what_is_within_a_range_is_taken():
    for value, options in ((0, {}), (0.5, {}), (1, {"most": 1}), (3, {"whole": True}), (1e-9, {"above": True})):
        check_number("x", value, **options)
    for value, options in ((0, {"above": True}), (2, {"most": 1}), (0.5, {"whole": True}), (-1e-9, {})):
        with pytest.raises(ConfigError, match="x must be"):
            check_number("x", value, **options)

"""BANE's selection against class-wise scipy transforms."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from contextrast.contrast import BoundaryAwareNegatives
from contextrast.contrast.negatives import within_percentage
from contextrast.errors import ConfigError
from tests.contrast.cases import label_maps
from tests.contrast.reference import selected_regions

READINGS = ("predicted", "others", "literal")


@pytest.mark.parametrize("error_map", READINGS)
@given(
    seed=st.integers(0, 10**6),
    percentage=st.integers(0, 100),
    num_classes=st.integers(1, 7),
    size=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    patch=st.integers(1, 9),
)
@settings(max_examples=40, deadline=None)
def test_selection_is_that_of_classwise_scipy(error_map, seed, percentage, num_classes, size, patch):
    target, prediction = label_maps(torch.Generator().manual_seed(seed), 2, *size, num_classes, patch=patch)
    selected = BoundaryAwareNegatives(percentage, error_map).select(target, prediction, num_classes)
    expected = selected_regions(target.numpy(), prediction.numpy(), num_classes, percentage, error_map)
    np.testing.assert_array_equal(selected.numpy(), expected)


def test_worked_example():
    """A 5x5 block mistaken for class 1: 16 of its 25 pixels lie on the edge, 8 at distance 1, one at distance 2."""
    target = torch.zeros(1, 9, 9, dtype=torch.long)
    target[0, 0, 0] = 1  # so that class 1 has an anchor
    prediction = target.clone()
    prediction[0, 2:7, 2:7] = 1
    counts = {
        k: int((BoundaryAwareNegatives(k).select(target, prediction, 2) == 1).sum()) for k in (0, 62, 63, 99, 100)
    }
    # (25 - 1) * 62 // 100 = 14 and ... * 63 = 15 are still edge pixels (0 to 15), ... * 99 = 23 is the last at 1
    assert counts == {0: 16, 62: 16, 63: 16, 99: 24, 100: 25}


def test_a_region_whose_class_has_no_anchor_is_dropped_under_predicted_only():
    target, prediction = torch.zeros(1, 4, 4, dtype=torch.long), torch.zeros(1, 4, 4, dtype=torch.long)
    prediction[0, :2] = 2
    assert (BoundaryAwareNegatives(error_map="predicted").select(target, prediction, 3) == -1).all()
    assert (BoundaryAwareNegatives(error_map="literal").select(target, prediction, 3) == 0).any()


def test_a_region_that_fills_its_image_is_selected_whole():
    target = torch.zeros(2, 6, 6, dtype=torch.long)
    target[1] = 1
    prediction = torch.ones(2, 6, 6, dtype=torch.long)
    selected = BoundaryAwareNegatives(0).select(target, prediction, 2)
    assert (selected[0] == 1).all()
    assert (selected[1] == -1).all()


def test_ignored_pixels_are_in_no_region_whatever_the_index():
    target, prediction = label_maps(torch.Generator().manual_seed(0), 2, 16, 16, 3, ignored=0.3)
    expected = BoundaryAwareNegatives().select(target, prediction, 3)
    moved = target.masked_fill(target == 255, -1)
    torch.testing.assert_close(BoundaryAwareNegatives().select(moved, prediction, 3, -1), expected, rtol=0, atol=0)
    assert (expected[target == 255] == -1).all()


def test_kornia_transform_selects_edges_and_ranks_by_its_own_distances():
    target, prediction = label_maps(torch.Generator().manual_seed(3), 2, 24, 24, 4, patch=8)
    exact = BoundaryAwareNegatives(0, transform="exact").select(target, prediction, 4)
    kornia = BoundaryAwareNegatives(0, transform="kornia").select(target, prediction, 4)
    torch.testing.assert_close(kornia, exact, rtol=0, atol=0)  # at K = 0 both take the edge pixels
    assert (BoundaryAwareNegatives(100, transform="kornia").select(target, prediction, 4) >= 0).sum() > (
        exact >= 0
    ).sum()


@given(seed=st.integers(0, 10**6), percentage=st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_percentile_of_float_distances_is_numpys(seed, percentage):
    generator = torch.Generator().manual_seed(seed)
    regions = torch.randint(-1, 3, (2, 5, 7), generator=generator)
    distances = torch.rand(2, 5, 7, generator=generator).mul(4).round() / 4
    kept = within_percentage(regions, distances, 3, percentage)
    for b in range(2):
        for n in range(3):
            region = regions[b] == n
            if region.any():
                values = distances[b][region].numpy()
                threshold = np.sort(values)[(len(values) - 1) * percentage // 100]
                np.testing.assert_array_equal(kept[b][region].numpy(), values <= threshold)
    assert not kept[regions == -1].any()


@pytest.mark.parametrize(
    ("options", "word"),
    [({"percentage": 101}, "percentage"), ({"error_map": "x"}, "literal"), ({"transform": "x"}, "kornia")],
)
def test_options_out_of_range_are_refused(options, word):
    with pytest.raises(ConfigError, match=word):
        BoundaryAwareNegatives(**options)

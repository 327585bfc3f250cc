"""Principal components against an exact decomposition, and t-SNE of groups that are far apart."""

import numpy as np
import pytest
import torch

from contextrast.analysis.projections import in_the_plane, principal_colors


def low_rank(size, generator):
    """A map of 20 channels whose variance lies along three directions, of falling share, and a little noise."""
    basis = torch.linalg.qr(torch.randn(20, 3, generator=torch.Generator().manual_seed(5))).Q
    strength = torch.randn(3, *size, generator=generator) * torch.tensor([9.0, 4.0, 1.0])[:, None, None]
    noise = 0.01 * torch.randn(20, *size, generator=generator)
    return torch.einsum("ck,khw->chw", basis, strength) + noise + 7.0


def test_colours_follow_the_principal_components_of_all_maps_together() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = [low_rank((10, 14), generator), low_rank((8, 6), generator)]
    pictures, shares = principal_colors(maps)
    assert [picture.shape for picture in pictures] == [(10, 14, 3), (8, 6, 3)]
    rows = torch.cat([one.flatten(1).T for one in maps]).double()
    rows = rows - rows.mean(0)
    _, values, directions = torch.linalg.svd(rows, full_matrices=False)
    np.testing.assert_allclose(shares, (values.square() / values.square().sum())[:3], rtol=1e-3)
    seen = np.concatenate([picture.reshape(-1, 3) for picture in pictures]).astype(float)
    for channel in range(3):
        correlation = np.corrcoef(seen[:, channel], (rows @ directions[channel]).numpy())[0, 1]
        assert abs(correlation) > 0.98  # 1 but for clipping and rounding
    assert np.percentile(seen, 1) < 10
    assert np.percentile(seen, 99) > 245


def test_colours_do_not_depend_on_chance() -> None:
    maps = [low_rank((9, 9), torch.Generator().manual_seed(3))]
    state = torch.get_rng_state()
    first, other = principal_colors(maps, seed=0)[0][0], principal_colors(maps, seed=8)[0][0]
    assert np.abs(first.astype(int) - other).max() <= 1
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("size", [(5, 1, 1), (2, 3, 3), (5, 2, 1)])
def test_maps_with_less_than_three_components(size) -> None:
    pictures, shares = principal_colors([torch.ones(size) * torch.arange(size[0])[:, None, None]])
    assert pictures[0].shape == (*size[1:], 3)
    assert shares == pytest.approx([0.0] * len(shares))


def test_groups_that_are_far_apart_stay_apart_in_the_plane() -> None:
    generator = torch.Generator().manual_seed(0)
    centres = 10 * torch.eye(3, 8).repeat_interleave(25, 0)
    rows = centres + 0.1 * torch.randn(75, 8, generator=generator)
    plane = in_the_plane(rows, seed=0)
    assert plane.places.shape == (75, 2)
    assert plane.perplexity == pytest.approx(74 / 3)
    middles = np.stack([plane.places[start : start + 25].mean(0) for start in (0, 25, 50)])
    nearest = np.linalg.norm(plane.places[:, None] - middles, axis=2).argmin(1)
    assert nearest.tolist() == [number for number in range(3) for _ in range(25)]
    assert np.array_equal(plane.places, in_the_plane(rows, seed=0).places)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_points_for_a_projection_are_left_where_they_are(count) -> None:
    plane = in_the_plane(torch.ones(count, 5), seed=0)
    assert plane.places.shape == (count, 2)

"""Edges and distances against scipy."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from contextrast.contrast.distance import exact_squared_distance, kornia_distance, region_edges
from tests.contrast.reference import CROSS

DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
    ),
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 7), (2, 7, 1), (3, 17, 23), (2, 40, 13)])
@pytest.mark.parametrize("share", [0.02, 0.3, 1.0])
def test_exact_distance_is_scipys(shape, share, device):
    edges = torch.rand(shape, generator=torch.Generator().manual_seed(0)) < share
    edges[:, 0, 0] = True
    expected = np.stack([ndimage.distance_transform_edt(~image) ** 2 for image in edges.numpy()])
    distance = exact_squared_distance(edges.to(device)).cpu().numpy()
    np.testing.assert_array_equal(distance, np.rint(expected).astype(int))


def test_exact_distance_in_blocks(monkeypatch):
    edges = torch.rand(2, 19, 31, generator=torch.Generator().manual_seed(1)) < 0.05
    edges[:, 3, 3] = True
    whole = exact_squared_distance(edges)
    monkeypatch.setattr("contextrast.contrast.distance._BROADCAST_CELLS", 2 * 19 * 31 * 4)
    torch.testing.assert_close(exact_squared_distance(edges), whole, rtol=0, atol=0)


def test_an_image_without_edges_is_far_from_everything_and_leaves_others_alone():
    edges = torch.zeros(2, 5, 6, dtype=torch.bool)
    edges[1, 2, 2] = True
    distance = exact_squared_distance(edges)
    assert (distance[0] >= 2**28).all()
    assert distance[1].max() == 4 + 9


def test_region_edges_are_what_erosion_removes():
    regions = torch.randint(-1, 4, (6, 9), generator=torch.Generator().manual_seed(2)).repeat_interleave(3, 0)
    regions = torch.stack([regions.repeat_interleave(2, 1), regions.flip(1).repeat_interleave(2, 1)])
    expected = np.zeros(regions.shape, dtype=bool)
    for b, image in enumerate(regions.numpy()):
        for n in range(4):
            mask = image == n
            expected[b] |= mask & ~ndimage.binary_erosion(mask, CROSS, border_value=1)
    np.testing.assert_array_equal(region_edges(regions).numpy(), expected)


def test_a_region_that_fills_its_image_has_no_edge():
    assert not region_edges(torch.full((1, 4, 5), 2)).any()


@pytest.mark.parametrize("device", DEVICES)
def test_kornia_distance_is_close_to_exact_on_straight_lines_and_never_longer(device):
    edges = torch.zeros(1, 9, 12, dtype=torch.bool, device=device)
    edges[0, :, 4] = True
    exact = exact_squared_distance(edges).float().sqrt()
    # the cascade's soft minimum along a line of edge pixels falls short a little
    torch.testing.assert_close(kornia_distance(edges), exact, rtol=0.3, atol=0.0)
    assert (kornia_distance(edges) <= exact + 1e-5).all()

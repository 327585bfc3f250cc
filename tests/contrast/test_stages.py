"""Labels on stage grids against torch's nearest-exact interpolation."""

import pytest
import torch
import torch.nn.functional as F

from contextrast.contrast.stages import as_rows, to_grid


@pytest.mark.parametrize("size", [(8, 10), (4, 5), (2, 3), (1, 1), (32, 40), (7, 9), (45, 60)])
def test_a_cell_takes_its_centre_pixel(size):
    labels = torch.randint(0, 256, (2, 32, 40), generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(labels[:, None].double(), size=size, mode="nearest-exact")[:, 0].long()
    torch.testing.assert_close(to_grid(labels, *size), expected, rtol=0, atol=0)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_rows_run_over_images_then_lines(memory_format):
    embedding = torch.randn(2, 3, 4, 5).to(memory_format=memory_format)
    rows = as_rows(embedding)
    assert rows.shape == (40, 3)
    torch.testing.assert_close(rows[1 * 20 + 2 * 5 + 3], embedding[1, :, 2, 3])

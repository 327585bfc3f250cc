"""What fake tensors hold, against sums by hand."""

import gc

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from contextrast.benchmarks.estimate import LiveBytes, estimate

SMALL = [
    "data=camvid", "data.root=/nowhere", "data.crop=[64,64]", "data.batch_size=2",
    "model.decoder_pyramid_channels=16",
    "model.decoder_segmentation_channels=32", "trainer.precision=bf16-mixed",
]  # fmt: skip


def test_the_peak_is_that_of_what_lives_at_once_and_views_count_once():
    with FakeTensorMode(), LiveBytes() as live:
        first = torch.zeros(1000)
        view = first.view(10, 100)[2:]
        assert live.bytes == live.peak == 4000
        second = torch.zeros(500)
        assert live.bytes == live.peak == 6000
        del first, view
        gc.collect()
        assert live.bytes == 2000
        third = second + 1
        assert (live.bytes, live.peak) == (4000, 6000)
        del third


def test_a_contrast_takes_more_than_cross_entropy_alone_and_each_image_takes_as_much_as_another(capsys):
    numbers = estimate(["contextrast"], SMALL)
    assert 1 < numbers["contextrast memory ratio"] < 2
    two, eight, sixteen = (estimate([], [*SMALL, f"data.batch_size={size}"])["ce megabytes"] for size in (2, 8, 16))
    assert two == numbers["ce megabytes"]
    assert (sixteen - eight) / 8 == pytest.approx((eight - two) / 6, rel=0.2)
    assert sixteen > two
    assert f"{numbers['contextrast memory ratio']:.3f}" in capsys.readouterr().out

"""The bytes that processes send each other at a step, against what the losses' documentation says they send."""

import pytest
import torch
import torch.distributed as dist

from contextrast.benchmarks.communication import Call, CollectiveCalls, communication, silent_group
from contextrast.contrast.collective import gather_ranks, sum_over_ranks

CLASSES, IMAGES, STAGES, WIDTH = 3, 2, 4, 256
FLOAT, LONG = 4, 8  # bytes


def sums(world):
    return 2 * (world - 1) / world


def contextrast(world):
    """Cross-entropy's divisor, anchors and partition sums with their gradients, the latter's maxima, classes there."""
    anchors = STAGES * CLASSES * (WIDTH + 1)
    partitions = STAGES * CLASSES
    return sums(world) * (FLOAT * (1 + 2 * anchors + 3 * partitions) + STAGES * CLASSES + 1)


def groups(world):
    """Numbers of hard and easy pixels of each class in each image, gathered."""
    return (world - 1) * IMAGES * CLASSES * 2 * LONG


def samples(slots, world):
    return sums(world) * slots * (WIDTH + 1) * FLOAT


def pixel_contrast(world):
    """One map of 16x32, as many slots as there are pixels, at most 1024 and 100 a group."""
    slots = min(1024, 100 * IMAGES * CLASSES * world, IMAGES * 16 * 32 * world)
    return sums(world) * FLOAT + groups(world) + samples(slots, world)


def pixel_contrast_memory(world):
    """As without, and all images' means with whether there are any; ten pixels a class and all processes' keys."""
    means = (world - 1) * IMAGES * CLASSES * (WIDTH * FLOAT + 1)
    drawn = CLASSES * 10 * (sums(world) * WIDTH * FLOAT + (world - 1) * LONG)
    return pixel_contrast(world) + means + drawn


def multiscale(world):
    """Four maps, of 16x32 to 2x4."""
    slots = [min(10000, IMAGES * (16 >> stage) * (32 >> stage) * world) for stage in range(STAGES)]
    return sums(world) * FLOAT + sum(groups(world) + samples(number, world) for number in slots)


@pytest.mark.parametrize("expected", [contextrast, pixel_contrast, pixel_contrast_memory, multiscale])
def test_bytes_of_a_step(expected, capsys):
    method, worlds = expected.__name__, (2, 8)
    numbers = communication([method], worlds, CLASSES, (64, 128), IMAGES)
    for world in worlds:
        assert numbers[f"{method} {world} bytes"] == pytest.approx(expected(world), rel=1e-12)
    printed = capsys.readouterr().out
    assert f"{numbers[f'{method} 8 bytes'] / 1024:.1f} │ {numbers[f'{method} 8 state'] / 2**20:>8.1f}" in printed
    assert not dist.is_initialized()


def test_contextrast_sends_the_same_whatever_the_images(capsys):
    small, large = (communication(["contextrast"], [8], CLASSES, size, IMAGES) for size in ((64, 128), (128, 128)))
    assert small == large
    assert capsys.readouterr().out


def test_calls_are_counted_with_what_this_process_contributes():
    with silent_group(4), CollectiveCalls() as seen:
        values = torch.ones(5, requires_grad=True)
        sum_over_ranks(values).sum().backward()
        gather_ranks(values)
    assert seen.calls == [Call("allreduce_", 20), Call("allreduce_", 20), Call("allgather_", 20)]
    assert [call.sent(4) for call in seen.calls] == [30, 30, 60]

from functools import partial

import pytest

from contextrast.benchmarks.throughput import device_seconds, processor_seconds, samples_per_second
from contextrast.data import SegmentationDataModule
from tests.data.conftest import Stripes


@pytest.mark.parametrize("augment", ["cpu", "gpu"])
@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_loader_is_timed_beyond_its_epochs(augment, num_workers):
    data = SegmentationDataModule(partial(Stripes, length=5), [8, 8], 2, num_workers=num_workers, augment=augment)
    assert all(speed > 0 for speed in samples_per_second(data, repetitions=3, batches=4))
    if num_workers == 0:
        assert len(processor_seconds(data, repetitions=3, batches=4)) == 3


def test_the_device_is_timed():
    data = SegmentationDataModule(Stripes, [8, 8], 2, num_workers=0, augment="gpu")
    seconds = device_seconds(data, repetitions=2)
    assert len(seconds) == 2
    assert min(seconds) > 0


def test_slow_reading_is_seen():
    class Slow(Stripes):
        def read(self, index):
            sum(range(200_000))  # some milliseconds of work
            return super().read(index)

    fast, slow = (SegmentationDataModule(kind, [8, 8], 2, num_workers=0) for kind in (Stripes, Slow))
    fast_seconds, slow_seconds = (min(processor_seconds(data, repetitions=2, batches=4)) for data in (fast, slow))
    assert slow_seconds > 1.5 * fast_seconds

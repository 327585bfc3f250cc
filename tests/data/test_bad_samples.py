"""Training on what can be read of a dataset that has a few samples that cannot."""

import os
import signal

import pytest

from contextrast.data import SegmentationDataModule
from contextrast.data.bad_samples import Substitutes
from contextrast.data.sampler import SampleKey
from contextrast.errors import ConfigError, DataError

from .conftest import Stripes


class Broken(Stripes):
    """Samples 2 and 3 cannot be read."""

    def read(self, index):
        if index in (2, 3):
            raise DataError(f"train{index}.png is no image")
        return super().read(index)


class Dying(Stripes):
    """Its reader is killed, as by a system that runs out of memory."""

    def read(self, index):
        os.kill(os.getpid(), signal.SIGKILL)


def data(dataset, **options):
    chosen = {"crop": (8, 12), "batch_size": 4, "num_workers": 0, "scale": (1.0, 1.0), "flip": 0.0, **options}
    return SegmentationDataModule(lambda split, transform: dataset(split, transform=transform, length=12), **chosen)


def names(loader):
    return [name for batch in loader for name in batch["name"]]


@pytest.mark.parametrize("augment", ["cpu", "gpu"])
@pytest.mark.parametrize("num_workers", [0, 1])
def test_the_next_sample_stands_in_and_all_others_are_where_they_were(augment, num_workers, caplog):
    whole = names(data(Stripes).train_dataloader())
    loader = data(Broken, on_bad_sample="skip", augment=augment, num_workers=num_workers).train_dataloader()
    seen = names(loader)
    assert seen == [{"train2": "train4", "train3": "train4"}.get(name, name) for name in whole]
    assert sorted(loader.bad_samples.found) == [2, 3]
    assert sum("is no image" in record.message for record in caplog.records) == 2
    names(loader)
    assert len(loader.bad_samples.found) == 2  # the same ones again


def test_an_error_is_the_default():
    with pytest.raises(DataError, match=r"train[23]\.png is no image"):
        names(data(Broken).train_dataloader())


def test_evaluation_never_leaves_an_image_out():
    with pytest.raises(DataError, match=r"train2\.png is no image"):
        names(data(Broken, on_bad_sample="skip").val_dataloader())


def test_more_than_the_limit_stop():
    with pytest.raises(DataError, match=r"data\.max_bad_samples=1 .*train[23]\.png is no image"):
        names(data(Broken, on_bad_sample="skip", max_bad_samples=1).train_dataloader())


def test_a_resumed_run_goes_on_counting():
    first = data(Broken, on_bad_sample="skip").train_dataloader()
    names(first)
    second = data(Broken, on_bad_sample="skip").train_dataloader()
    second.load_state_dict(first.state_dict())
    assert second.bad_samples.found == first.bad_samples.found
    names(second)
    assert len(second.bad_samples.found) == 2


def test_nothing_but_bad_samples_stops():
    class All(Stripes):
        def read(self, index):
            raise DataError(f"{index} is bad")

    with pytest.raises(DataError, match=r"12 samples in a row .* 5 is bad"):
        Substitutes(All(length=12))[SampleKey(0, 5)]


@pytest.mark.parametrize("wrong", [{"on_bad_sample": "ignore"}, {"max_bad_samples": -1}])
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(ConfigError, match=rf"data\.{next(iter(wrong))}"):
        data(Stripes, **wrong)


@pytest.mark.timeout(60)
def test_a_reader_that_dies_is_told_of():
    with pytest.raises(DataError, match=r"process that reads data died .*data\.num_workers=1"):
        names(data(Dying, num_workers=1).train_dataloader())

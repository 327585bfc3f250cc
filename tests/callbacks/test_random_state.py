"""A resumed run draws the dropout that it would have drawn."""

import pytest
import torch
import torch.nn.functional as F

from contextrast.callbacks import LastCheckpoint, RandomState
from contextrast.data.loader import Loader, TrainLoader, collate
from contextrast.data.sampler import EpochSampler

from .conftest import Blocks, BlocksData, Module


class Dropping(Module):
    """Draws in every step."""

    def training_step(self, batch, batch_idx):
        logits = F.dropout2d(self.network(batch["image"]), 0.3)
        return F.cross_entropy(logits, batch["mask"], ignore_index=255)


class Workers(BlocksData):
    """Loaders as the package's own, whose workers stay."""

    def __init__(self, num_workers):
        super().__init__()
        self.num_workers = num_workers

    def train_dataloader(self):
        dataset = Blocks()
        return TrainLoader(dataset, 2, sampler=EpochSampler(dataset), drop_last=True, **self.how())

    def val_dataloader(self):
        return Loader(Blocks(), 4, **self.how())

    def how(self):
        return {"num_workers": self.num_workers, "persistent_workers": self.num_workers > 0, "collate_fn": collate}


def weights(checkpoint):
    return torch.load(checkpoint, weights_only=True)["state_dict"]


@pytest.mark.parametrize("stops", [(1,), (2, 3), (4, 5)])  # before and after a validation, at and within an epoch of 4
@pytest.mark.parametrize("num_workers", [0, 1])
def test_weights_are_those_of_a_run_that_never_stopped(stops, num_workers, trainer_for, tmp_path):
    def run(name, steps, resume=None):
        callbacks = [RandomState(), LastCheckpoint(tmp_path / name / "last.ckpt")]
        torch.manual_seed(3)
        trainer_for(callbacks, max_steps=steps, num_sanity_val_steps=0).fit(
            Dropping(), Workers(num_workers), ckpt_path=resume, weights_only=True
        )
        return tmp_path / name / "last.ckpt"

    whole = run("whole", 7)
    resume = None
    for steps in (*stops, 7):
        resume = run("stopped", steps, resume)
    one, other = weights(whole), weights(resume)
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_weights_do_not_depend_on_who_reads_the_samples(trainer_for, tmp_path):
    def run(num_workers):
        torch.manual_seed(3)
        last = LastCheckpoint(tmp_path / str(num_workers) / "last.ckpt")
        trainer_for([RandomState(), last], max_steps=7).fit(Dropping(), Workers(num_workers))
        return weights(tmp_path / str(num_workers) / "last.ckpt")

    in_the_main_process, *in_workers = (run(number) for number in (0, 1, 2))
    for other in in_workers:
        assert all(torch.equal(in_the_main_process[key], other[key]) for key in other)

"""From a composed configuration to a run's objects."""

import lightning.pytorch as pl
import torch

from contextrast.assembly import build_datamodule, build_module
from tests.conftest import TINY


def test_runs_of_one_seed_start_alike_whatever_the_loss(composed):
    """Weights of the network and the draws that follow (dropout) are those of the baseline."""
    started = []
    for loss in ("ce", "contextrast"):
        config = composed("train", *TINY, f"loss={loss}")
        pl.seed_everything(3, verbose=False)
        module = build_module(config, build_datamodule(config.data))
        started.append((module.network.state_dict(), torch.rand(4)))
    (weights, draws), (other_weights, other_draws) = started
    assert torch.equal(draws, other_draws)
    assert all(torch.equal(value, other_weights[key]) for key, value in weights.items())

"""Two processes with half a batch each have the losses, gradients and state of one process with the whole batch."""

import pytest
import torch

from tests.cli.processes import forked
from tests.contrast.group import PEERS, found, losses, train, train_in_a_group


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("group")
    other = forked().Process(target=train_in_a_group, args=(1, 2, folder))
    other.start()
    train_in_a_group(0, 2, folder)
    other.join()
    assert other.exitcode == 0
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def same(result, expected):
    torch.testing.assert_close(result, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", losses())
def test_two_processes_are_one(ranks, name):
    alone = train(losses()[name], slice(None))
    first, second = (rank[name] for rank in ranks)
    same((first["values"] + second["values"]) / 2, alone["values"])
    assert first["parameters"].keys() == alone["parameters"].keys()
    for key, expected in alone["parameters"].items():  # what DDP makes of the gradients
        same((first["parameters"][key] + second["parameters"][key]) / 2, expected)
    for one, other, expected in zip(first["inputs"], second["inputs"], alone["inputs"], strict=True):
        same(torch.stack([one, other], 1).flatten(0, 1) / 2, expected)  # images are shared out in turn
    for key, expected in alone["state"].items():
        same(first["state"][key], expected)
        same(second["state"][key], expected)
    if name in PEERS:  # those of the other losses are of a process's own images
        for rank in (first, second):
            same(rank["diagnostics"], alone["diagnostics"])


def test_positions_among_all_processes_values_are_found(ranks):
    for rank in ranks:
        assert rank["found"].keys() == found(slice(None)).keys()
        for dtype, expected in found(slice(None)).items():
            assert torch.equal(rank["found"][dtype], expected)

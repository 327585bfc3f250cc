"""The page on a loop of one's own: its Python runs, and under DDP two processes train as one."""

import pytest
import torch

from tests.cli.processes import forked
from tests.contrast.own_loop import WRAP, blocks, losses, train_in_a_group, trained


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("group")
    other = forked().Process(target=train_in_a_group, args=(1, 2, folder), daemon=True)
    other.start()
    train_in_a_group(0, 2, folder)
    other.join()
    assert other.exitcode == 0
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("name", losses((1, 1, 1, 1)))
def test_two_processes_train_as_one(ranks, name):
    alone = trained(name, alone=True)
    first, second = (rank[name] for rank in ranks)
    for part in ("model", "loss"):
        for key, expected in alone[part].items():
            torch.testing.assert_close(first[part][key], second[part][key], rtol=0, atol=0, msg=key)
            torch.testing.assert_close(first[part][key], expected, rtol=1e-5, atol=1e-5, msg=key)
    moved = [key for key, value in alone["loss"].items() if (value != alone["before"][key]).any()]
    assert any(key.startswith("heads.") for key in moved)
    assert any("memory" in key for key in moved)


@pytest.mark.parametrize("block", [block for block in blocks() if WRAP not in block], ids=["torchvision", "timm"])
def test_the_page_s_python_runs_as_it_stands(block):
    torch.manual_seed(0)
    names = {}
    exec(compile(block, "own_loop.md", "exec"), names)
    assert names["terms"].total.isfinite()
    assert all(value.grad.abs().sum() > 0 for value in names["criterion"].heads.parameters() if value.ndim > 1)

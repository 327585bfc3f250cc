"""Values that are not finite in one process stop all of them; a process that is gone keeps none of them waiting."""

import os
import signal
import time
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from contextrast.errors import NonFiniteLossError
from contextrast.tasks.train import lost_process
from contextrast.training.finite_loss import FiniteLossCheck


def process(rank, folder, what):
    """Two steps; in the second one something happens to process 1."""
    store = dist.FileStore(str(folder / "store"), 2)
    dist.init_process_group("gloo", rank=rank, world_size=2, store=store, timeout=timedelta(seconds=30))
    check = FiniteLossCheck(lambda step, batches: f"kept {len(batches)}")
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    began = time.monotonic()
    try:
        for step in range(2):
            hit = step == 1 and rank == 1
            if hit and what == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            total = torch.tensor(float("nan") if hit and what == "loss" else 1.0)
            weight.grad = torch.full((3,), float("inf") if hit and what == "gradient" else 0.1)
            check.observe({"total": total}, {"name": [f"file{rank}"]})
            check.check(step, optimizer)
            optimizer.step()
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        (folder / f"{rank}.txt").write_text(f"{text}\n{weight.tolist()}\n{time.monotonic() - began}")


def run(folder, what):
    processes = [mp.get_context("fork").Process(target=process, args=(rank, folder, what)) for rank in range(2)]
    for one in processes:
        one.start()
    for one in processes:
        one.join(60)
        assert not one.is_alive()
    return [file.read_text().rsplit("\n", 2) for file in sorted(folder.glob("*.txt"))]


@pytest.mark.parametrize(
    ("what", "words"), [("loss", "total = nan. Batch: file1."), ("gradient", "norm = inf. Batch: file1.")]
)
def test_all_processes_stop_before_the_step_and_name_the_files(tmp_path, what, words):
    found = run(tmp_path, what)
    assert len(found) == 2
    for text, weight, _ in found:
        assert text.startswith(f"NonFiniteLossError: The {what} is not finite at step 1: process 1: {words}")
        assert "kept 1" in text
        assert weight == str((torch.ones(3) - 0.1 * 0.1).tolist())  # the first step alone


def test_a_process_that_is_killed_is_heard_of_within_a_minute(tmp_path):
    ((text, weight, seconds),) = run(tmp_path, "killed")
    assert lost_process(RuntimeError(text))
    assert float(seconds) < 40
    assert weight == str((torch.ones(3) - 0.1 * 0.1).tolist())


def test_one_process_names_only_the_batches_at_fault():
    check = FiniteLossCheck(lambda step, batches: f"kept {len(batches)}")
    check.observe({"total": torch.tensor(1.0)}, {"name": ["good"]})
    check.observe({"total": torch.tensor(1.0), "part": torch.tensor(-torch.inf)}, {"name": ["bad"]})
    with pytest.raises(NonFiniteLossError, match=r"at step 7: part = -inf. Batch: bad. To run it again: kept 2"):
        check.check(7)

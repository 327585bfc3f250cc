"""Two processes with half a batch each remember what one process with the whole batch does."""

import torch
import torch.multiprocessing as mp

from tests.contrast.peers.group import remember, remember_in_a_group


def test_the_memory_is_that_of_the_whole_batch_on_every_process(tmp_path):
    other = mp.get_context("spawn").Process(target=remember_in_a_group, args=(1, 2, tmp_path))
    other.start()
    remember_in_a_group(0, 2, tmp_path)
    other.join()
    assert other.exitcode == 0
    alone = remember(slice(None))
    assert (alone["memory.stored"] > 0).all()
    for rank in range(2):
        state = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for name, expected in alone.items():
            torch.testing.assert_close(state[name], expected, rtol=1e-12, atol=1e-12)

"""Queues against collections.deque."""

from collections import deque

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from contextrast.contrast.queues import Entries, filled, push
from tests.contrast.cases import entries_of


@given(
    seed=st.integers(0, 10**6),
    slots=st.integers(1, 6),
    numbers=st.lists(st.integers(1, 8), min_size=1, max_size=6),
)
@settings(max_examples=60, deadline=None)
def test_queues_are_first_in_first_out(seed, slots, numbers):
    generator = torch.Generator().manual_seed(seed)
    queues, stored = torch.zeros(3, slots, 2), torch.zeros(3, dtype=torch.long)
    expected = [deque(maxlen=slots) for _ in range(3)]
    for number in numbers:
        entries = torch.rand(3, number, 2, generator=generator)
        valid = torch.rand(3, number, generator=generator) < 0.6
        push(queues, stored, Entries(entries, valid))
        for queue, rows, which in zip(expected, entries, valid):
            queue.extend(rows[which].tolist())
    for queue, count, reference in zip(queues, stored.tolist(), expected):
        assert entries_of(queue, count) == list(reference)


def test_slots_are_filled_from_the_first_on():
    assert filled(torch.tensor([0, 2, 9]), 3).tolist() == [[False] * 3, [True, True, False], [True] * 3]

"""Whether memory grows over many steps of a loss."""

from collections.abc import Sequence

import torch

from contextrast.benchmarks.inputs import label_maps, stage_embeddings
from contextrast.benchmarks.losses import build_loss, maps_of, step
from contextrast.benchmarks.measuring import CONSOLE, CPU, table
from contextrast.callbacks.costs import held_memory

_WARM_UP = 0.1  # share of the steps in which allocator and queues fill


def flatness(methods: Sequence[str], steps: int) -> dict[str, float]:
    """Resident memory over many small steps of each loss: batch 2, D 32, 19 classes, stages 32x64 to 4x8."""
    numbers: dict[str, float] = {}
    shown = table(f"Resident memory over {steps} steps", "loss", "MB after a tenth", "MB at the end", "growth %")
    for method in methods:
        loss = build_loss(method, 19, embedding_dim=32)
        embeddings = maps_of(method, stage_embeddings(2, 32, 64, dim=32))
        batches = [label_maps(2, 128, 256, 19, seed) for seed in range(10)]
        settled = 0
        for number in range(steps):
            step(loss, embeddings, *batches[number % len(batches)])
            if number == int(steps * _WARM_UP):
                settled = held_memory(CPU)
        end = held_memory(CPU)
        numbers |= {f"{method} settled": settled / 2**20, f"{method} end": end / 2**20}
        growth = f"{100 * (end / settled - 1):+.2f}"
        shown.add_row(method, f"{settled / 2**20:.1f}", f"{end / 2**20:.1f}", growth)
    CONSOLE.print(shown)
    CONSOLE.print(f"{torch.get_num_threads()} threads; the memory is that of the whole process")
    return numbers

"""Networks side by side: what they are called, and whether they can be compared at all."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from contextrast.analysis.network import Analysis
from contextrast.checkpoints.contents import Checkpoint
from contextrast.data.loader import Loader
from contextrast.errors import CheckpointError
from contextrast.models import Segmenter


def short_names(paths: Sequence[Path]) -> list[str]:
    """What paths differ in: ``runs/ce/checkpoints/last.ckpt`` beside ``runs/pp/checkpoints/last.ckpt`` is ``ce``."""
    parts = [list(path.absolute().with_suffix("").parts) for path in paths]
    for end in (0, -1):
        while min(map(len, parts)) > 1 and len({part[end] for part in parts}) == 1:
            for part in parts:
                part.pop(end)
    return ["/".join(part) for part in parts]


def comparable(
    checkpoints: Mapping[str, Checkpoint],
    space: str | None,
    loader: Loader,
    pixels_per_class: int,
    seed: int,
    device: torch.device,
) -> list[Analysis]:
    """An analysis for each checkpoint, all in the same space and over the same images.

    Args:
        checkpoints: The checkpoints by the names that figures call them.
        space: ``features``, ``embeddings``, or None for embeddings where all have heads and features otherwise.
        loader: Batches of the images.
        pixels_per_class: Largest number of pixels of a class in a sample.
        seed: Seed of the samples.
        device: Where to compute.

    Raises:
        CheckpointError: If embeddings are asked for and a checkpoint has none, or their stages differ.
    """
    networks = [checkpoint.network() for checkpoint in checkpoints.values()]
    heads = _heads(space, checkpoints, networks)
    analyses = [
        Analysis(name, network.to(device), None if head is None else head.to(device), loader, pixels_per_class, seed)
        for name, network, head in zip(checkpoints, networks, heads, strict=True)
    ]
    grids = {analysis.name: [f"{grid.name} (stride {grid.stride})" for grid in analysis.grids] for analysis in analyses}
    if len(set(map(tuple, grids.values()))) > 1:
        listed = "\n  ".join(f"{name}: {', '.join(titles)}" for name, titles in grids.items())
        hint = "" if heads[0] is None else "\nLosses that embed different maps can be compared with --space features."
        raise CheckpointError(f"Only networks with the same stages can be compared. They have:\n  {listed}{hint}")
    return analyses


def _heads(
    space: str | None, checkpoints: Mapping[str, Checkpoint], networks: Sequence[Segmenter]
) -> list[nn.Module | None]:
    """The heads of all checkpoints, or none of any: cosines of different spaces cannot be compared."""
    without = [name for name, checkpoint in checkpoints.items() if not checkpoint.head_weights]
    if space == "embeddings" and without:
        raise CheckpointError(
            f"--space embeddings: {', '.join(without)} has no embedding heads, as its loss trained none. Compare "
            "with --space features, which every network has."
        )
    if space == "features" or without:
        return [None] * len(networks)
    return [one.heads(network) for one, network in zip(checkpoints.values(), networks, strict=True)]

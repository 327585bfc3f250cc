"""Small random inputs with the shapes of real ones: patches of labels, mistakes in clumps, ignored pixels."""

from functools import cache

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from contextrast.config import instantiate
from contextrast.contrast import AllNegatives, BoundaryAwareNegatives, RandomNegatives, SemiHardNegatives
from contextrast.folders import config_directory

every_sampling = pytest.mark.parametrize(
    "negatives",
    [
        BoundaryAwareNegatives(),
        BoundaryAwareNegatives(error_map="others"),
        BoundaryAwareNegatives(error_map="literal"),
        AllNegatives(),
        RandomNegatives(seed=1),
        SemiHardNegatives(seed=1),
    ],
    ids=["predicted", "others", "literal", "all", "random", "semi_hard"],
)
"""Runs a test with each way of sampling negatives."""


LOSSES = sorted(path.stem for path in (config_directory() / "loss").glob("[!_]*.yaml"))
"""Names of the files of losses."""


def loss_of_file(name, num_classes, in_channels, **settings):
    """A loss as its file in ``conf/loss`` describes it, made small, with settings that it has replaced."""
    small = {"embedding_dim": 4, "start_step": 0, "max_views": 1, "max_samples": 20, "min_pixels": 1, **settings}
    described = _composed(name)
    chosen = {key: value for key, value in small.items() if key in described}
    if described.get("memory"):
        chosen["memory"] = {**described["memory"], "size": 3}
    torch.manual_seed(0)
    return instantiate({**described, **chosen}, num_classes=num_classes, in_channels=list(in_channels))


@cache
def _composed(name):
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        return OmegaConf.to_container(compose("train", [f"loss={name}", "seed=0"]).loss, resolve=True)


def label_maps(generator, batch, height, width, num_classes, error=0.4, ignored=0.1, patch=4, ignore=255):
    """Target and prediction ``[B, H, W]`` of ``patch``-sized blocks."""
    rows, columns = -(-height // patch), -(-width // patch)

    def blocks(values):
        return values.repeat_interleave(patch, 1).repeat_interleave(patch, 2)[:, :height, :width]

    size = (batch, rows, columns)
    truth = torch.randint(num_classes, size, generator=generator)
    other = torch.randint(num_classes, size, generator=generator)
    wrong = torch.rand(size, generator=generator) < error
    void = torch.rand(size, generator=generator) < ignored
    target = blocks(truth.masked_fill(void, ignore))
    return target, blocks(torch.where(wrong, other, truth))


def unit_embeddings(generator, batch, dim, sizes, dtype=torch.float64):
    """Unit-length embeddings ``[B, D, H_i, W_i]``."""
    return [
        torch.nn.functional.normalize(torch.randn(batch, dim, h, w, generator=generator, dtype=dtype), dim=1)
        for h, w in sizes
    ]


def entries_of(queue, stored):
    """What a queue holds, oldest first."""
    slots = len(queue)
    return queue[:stored].tolist() if stored <= slots else queue.roll(-(stored % slots), 0).tolist()

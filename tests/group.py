"""What one process of a group trains; in a file of its own, as every process has to import it."""

import os
from datetime import timedelta
from pathlib import Path
from unittest import mock

import lightning.pytorch as pl
import torch
import torch.distributed as dist
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import open_dict
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from contextrast.callbacks import AnchorUpdate
from contextrast.folders import config_directory
from contextrast.training.assembly import build_datamodule, build_module, build_trainer
from tests.conftest import TINY, choices
from tests.contrast.cases import label_maps

BATCH, CLASSES, SIZE, STEPS = 8, 11, 64, 5
LOSSES = choices("loss")
SHARDED = "contextrast"
DECODER = "contextrast model.contrast_on=decoder"
VALIDATION_IMAGES = 5  # in batches of two: two batches on the first process, one on the second


def settings(*overrides):
    """A training run's configuration, small."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        config = compose("train", [*TINY, "paths.run_dir=none", "logger=none", "module.auxiliary_stage=3", *overrides])
    small = {"embedding_dim": 16, "start_step": 0, "max_views": 10, "max_samples": 200}
    with open_dict(config):
        config.loss.update({key: value for key, value in small.items() if key in config.loss})
        if config.loss.get("memory"):
            config.loss.memory.size = 50
    return config


def network_and_loss(name):
    """The Lightning module of a loss, and of what is set behind its name: batch norm and dropout in evaluation mode."""
    config = settings(*f"loss={name}".split())
    torch.manual_seed(0)
    module = build_module(config, build_datamodule(config.data))
    for part in (module.network, module.auxiliary, getattr(module.loss, "heads", nn.Identity())):
        part.eval()
    return module


class Total(nn.Module):
    """What DDP wraps: the total loss of a batch, auxiliary head included."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, batch):
        return self.module.loss_terms(batch).total


def batches(number=2):
    """Global batches."""
    for seed in range(number):
        generator = torch.Generator().manual_seed(seed)
        image = torch.randint(0, 256, (BATCH, 3, SIZE, SIZE), generator=generator, dtype=torch.uint8)
        yield image, label_maps(generator, BATCH, SIZE, SIZE, CLASSES, patch=8)[0]


def losses_and_gradients(name, share=slice(None), wrap=lambda network: network):
    """The loss and all gradients of each of two batches; memories are filled when the second one comes."""
    module = network_and_loss(name)
    wrapped, found = wrap(Total(module)), []
    for image, mask in batches():
        module.zero_grad()
        loss = wrapped({"image": image[share], "mask": mask[share]})
        loss.backward()
        module.update_loss()
        gradients = {key: value.grad for key, value in module.named_parameters() if value.grad is not None}
        found.append((loss.detach().clone(), {key: whole(value).clone() for key, value in gradients.items()}))
    return found


def trained(name, share=slice(None), wrap=lambda network: network):
    """Weights, memories and steps after AdamW's first steps, in float64.

    In float32 a difference of rounding puts a unit of the network on the other side of a ReLU's kink at some step, and
    AdamW makes a step of its rate of any gradient: with every loss, and of one process whose weights are changed by
    1e-7. Here what is left is what does not add up.
    """
    module = network_and_loss(name).double()
    wrapped, optimizer = wrap(Total(module)), torch.optim.AdamW(module.parameters(), 1e-3)
    for image, mask in batches(STEPS):
        optimizer.zero_grad()
        wrapped({"image": image[share], "mask": mask[share]}).backward()
        optimizer.step()
        module.update_loss()
    return {key: value.clone() for key, value in module.state_dict().items()}


def channels_first(network):
    """The layout of parameters that FSDP takes; convolutions then round otherwise than with channels last."""
    return network.to(memory_format=torch.contiguous_format)


def sharded(network):
    """Parameters and gradients spread over the processes, as FSDP does (its second version)."""
    return fully_shard(channels_first(network), mesh=init_device_mesh("cpu", (dist.get_world_size(),)))


def whole(tensor):
    """A tensor with the parts of all processes."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


class LastValidation(pl.Callback):
    """Keeps what a validation counted, and the network that it saw."""

    def on_validation_end(self, trainer, pl_module):
        self.confusion = pl_module.last_scores.confusion
        self.network = {key: value.clone() for key, value in pl_module.network.state_dict().items()}


def validated(rank, world, port):
    """Two steps with the command's own trainer, as torchrun starts it, and what their validation found."""
    facts = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    config = settings(
        "loss=ce", "trainer=ddp", f"trainer.devices={world}", f"data.dataset.lengths.val={VALIDATION_IMAGES}"
    )
    del config.trainer.default_root_dir
    seen = LastValidation()
    with mock.patch.dict(os.environ, {key: str(value) for key, value in facts.items()} | {"TORCHELASTIC_RUN_ID": "1"}):
        datamodule = build_datamodule(config.data)
        torch.manual_seed(0)
        module = build_module(config, datamodule)
        options = {"enable_checkpointing": False, "enable_progress_bar": False}
        with open_dict(config):
            config.trainer.update(options)
        build_trainer(config.trainer, [], [AnchorUpdate(), seen]).fit(module, datamodule)
    return {"confusion": seen.confusion, "network": seen.network}


def train_in_a_group(rank, world, folder: Path, port):
    """Every loss on this process's images, one of them sharded, then a short run; saves and returns what came out."""
    meeting = f"file://{folder}/meeting"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=world, timeout=timedelta(minutes=5))
    try:
        share = slice(rank, None, world)
        losses = {name: losses_and_gradients(name, share, DistributedDataParallel) for name in (*LOSSES, DECODER)}
        losses["sharded"] = losses_and_gradients(SHARDED, share, sharded)
        saved = {
            "values": {name: torch.stack([loss for loss, _ in found]) for name, found in losses.items()},
            "trained": {name: trained(name, share, DistributedDataParallel) for name in LOSSES},
            "validated": validated(rank, world, port),
        }
        torch.save(saved, folder / f"{rank}.pt")
    finally:
        dist.destroy_process_group()
    return losses

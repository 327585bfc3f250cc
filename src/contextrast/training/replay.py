"""A training step that was refused, to look at: its batches and the weights that it met.

::

    module, batches = load_replay("runs/.../replay_step_000123.pt")
    for batch in batches:
        print(dict(module.loss_terms(batch)))
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from contextrast.checkpoints.contents import LOSSES, described, no_larger_than
from contextrast.checkpoints.files import ReadCheckpoint, read_checkpoint, write_checkpoint
from contextrast.config import instantiate
from contextrast.contrast.collective import rank, world_size
from contextrast.errors import CheckpointError, first_line

if TYPE_CHECKING:
    from contextrast.training.module import SegmentationModule


def keep_step(module: "SegmentationModule", step: int, batches: list[Any]) -> str:
    """Write a step into the run folder as plain data: tensors, numbers and texts.

    Args:
        module: What was trained; its parameters are those before the step.
        step: Optimiser steps taken before.
        batches: What the step was to be made of.

    Returns:
        How to read it back; or why it could not be written, since that must not hide what is to be told.
    """
    content = {
        "global_step": step,
        "batches": [{key: _on_host(value) for key, value in batch.items()} for batch in batches],
        "state_dict": module.state_dict(),
        "hyper_parameters": dict(module.hparams),
    }
    process = f"_process_{rank()}" if world_size() > 1 else ""
    path = Path(module.trainer.default_root_dir) / f"replay_step_{step:06d}{process}.pt"
    try:
        write_checkpoint(content, path)
    except CheckpointError as error:
        return str(error)
    return f"contextrast.training.replay.load_replay('{path}')"


def load_replay(path: str | Path) -> "tuple[SegmentationModule, list[Any]]":
    """Read a step back; nothing in the file is executed.

    What dropout drew is not kept. On a GPU, statistics of batch norm may have seen the step's batches already.

    Args:
        path: ``replay_step_<step>.pt`` of a run folder.

    Returns:
        The module in training mode, on the CPU, and the batches for its ``loss_terms``.

    Raises:
        CheckpointError: If the file is missing, damaged, or another one.
    """
    from contextrast.training.module import SegmentationModule  # noqa: PLC0415  (which writes these files)

    read = ReadCheckpoint(Path(path), read_checkpoint(Path(path)))
    batches = read.content.get("batches") if isinstance(read.content, dict) else None
    if not isinstance(batches, list) or not all(isinstance(batch, dict) for batch in batches):
        raise CheckpointError(f"{path} is no replay file. A run that stops at values that are not finite leaves one.")
    checkpoint = described(read)
    config, weights = checkpoint.config, read.content["state_dict"]
    network = checkpoint.network()
    facts = {"num_classes": checkpoint.labels.num_classes, "in_channels": list(network.stage_channels)}
    try:
        with no_larger_than(weights, checkpoint.path):
            loss = instantiate(config["loss"], LOSSES, **facts)
        module = SegmentationModule(network, loss, checkpoint.labels, config=config, **config["module"])
        module.load_state_dict(weights)
    except (KeyError, TypeError, RuntimeError) as error:
        raise CheckpointError(f"{path} does not fit what it describes: {first_line(error)}") from error
    return module.train(), batches


def _on_host(value: Any) -> Any:
    return value.detach().cpu() if isinstance(value, Tensor) else value

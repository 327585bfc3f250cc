"""Reading a run's checkpoint back: its settings, its classes, its deployed network and its embedding heads."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from contextrast.checkpoints.files import ReadCheckpoint, read_checkpoint
from contextrast.config import Allowed, instantiate
from contextrast.data import SegmentationDataset
from contextrast.data.labels import LabelTable
from contextrast.data.pairing import given_path
from contextrast.errors import CheckpointError, DataError
from contextrast.models import Segmenter
from contextrast.models.weight_files import listed, mismatches
from contextrast.runs.rules import Kind
from contextrast.runs.settings import kind_of

_NETWORK = "network."
_HEADS = "loss.heads."
_SETTINGS = ("model", "data", "labels")

_SPARE = 1 << 24  # parameters that are built and thrown away, such as layers that classify images: 64 MB

# What the settings in a file may be made of: classes that a run is described by, and those that the user names.
NETWORKS = Allowed(("contextrast.models.",), nn.Module)
LOSSES = Allowed(("contextrast.contrast.",), nn.Module)
DATA = Allowed(("contextrast.data.",), SegmentationDataset)


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds besides the state of training.

    Attributes:
        path: The file.
        config: What the run was composed of, as plain containers.
        labels: The classes it was trained on.
        weights: State dict of the `Segmenter`; heads and method stay behind.
        head_weights: State dict of the loss's embedding heads, for analysis; empty where the loss has none.
        step: Optimiser steps taken.
    """

    path: Path
    config: dict[str, Any]
    labels: LabelTable
    weights: dict[str, Tensor]
    head_weights: dict[str, Tensor]
    step: int

    @property
    def data(self) -> dict[str, Any]:
        """Settings of the data it was trained on: which images with which labels, and where they lay.

        Not how they were read and where decoded files were kept: that is for whoever reads them now to say.
        """
        own = (Kind.EXECUTION, Kind.OUTPUT)
        return {key: value for key, value in self.config["data"].items() if kind_of(f"data.{key}") not in own}

    def network(self, overrides: Mapping[str, Any] | None = None) -> Segmenter:
        """The trained network, in evaluation mode.

        Args:
            overrides: Settings of the model that win over the checkpoint's.

        Raises:
            CheckpointError: If the weights do not fit the network, which overrides can cause, or none is described.
        """
        settings = {**self.config["model"], **(overrides or {}), "encoder_weights": None, "weights": None}
        with no_larger_than(self.weights, self.path):
            network: Segmenter = instantiate(settings, NETWORKS, num_classes=self.labels.num_classes)
        if not isinstance(network, Segmenter):
            raise CheckpointError(f"{self.path} describes no network: its model is {settings.get('_target_')}.")
        if wrong := mismatches(network.state_dict(), self.weights, "checkpoint", "network"):
            raise CheckpointError(
                f"{self.path} does not fit {network.name} with {self.labels.num_classes} classes:\n{listed(wrong)}\n"
                "Leave the model's settings to the checkpoint, or choose one that was trained with them."
            )
        network.load_state_dict(self.weights)
        return network.to(memory_format=torch.channels_last).eval()

    def heads(self, network: Segmenter) -> nn.Module | None:
        """The loss's trained embedding heads, in evaluation mode; nothing else of the loss is loaded.

        Args:
            network: The network whose stages they map, see :meth:`network`.

        Returns:
            What maps features, one ``[B, C_i, H_i, W_i]`` for each of the network's stages, to a list of embeddings
            ``[B, D, H, W]`` of unit length; None where the loss has no heads.

        Raises:
            CheckpointError: If the weights do not fit the heads that the checkpoint's settings describe.
        """
        if not self.head_weights:
            return None
        if not isinstance(self.config.get("loss"), dict):
            raise CheckpointError(f"{self.path} has weights of embedding heads, but no settings of their loss.")
        channels = list(network.stage_channels)
        settings = {key: value for key, value in self.config["loss"].items() if key != "memory"}
        with no_larger_than(self.head_weights, self.path):
            loss: nn.Module = instantiate(settings, LOSSES, num_classes=self.labels.num_classes, in_channels=channels)
        found = getattr(loss, "heads", None)
        heads = found if isinstance(found, nn.Module) else nn.Module()
        if wrong := mismatches(heads.state_dict(), self.head_weights, "checkpoint", "loss"):
            raise CheckpointError(
                f"The embedding heads in {self.path} do not fit {self.config['loss'].get('_target_')} over stages of "
                f"{', '.join(map(str, channels))} channels:\n{listed(wrong)}\n"
                "Leave the model's settings to the checkpoint."
            )
        heads.load_state_dict(self.head_weights)
        return heads.eval()


class _TooLarge(BaseException):
    """Passes what builds networks, which turns every Exception into one of its own."""


@contextlib.contextmanager
def no_larger_than(weights: Mapping[str, Tensor], path: Path) -> Iterator[None]:
    """Build nothing of a file's settings that has far more parameters than the file has weights.

    Args:
        weights: What there is to fill it with.
        path: The file.

    Raises:
        CheckpointError: As soon as there are more, before they get their first values, which is when they take memory.
    """
    left = 2 * sum(weight.numel() for weight in weights.values()) + _SPARE

    def count(module: nn.Module, name: str, parameter: nn.Parameter) -> None:  # noqa: ARG001  (torch's signature)
        nonlocal left
        left -= 0 if parameter is None else parameter.numel()
        if left < 0:
            raise _TooLarge

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    except _TooLarge:
        raise CheckpointError(
            f"{path} has weights for a small part of what its settings describe. It is damaged, or made to fill memory."
        ) from None
    finally:
        hook.remove()


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint of ``contextrast-train``; nothing in it is executed.

    Raises:
        CheckpointError: If the file is missing, damaged, or no checkpoint of this package.
    """
    path = given_path("checkpoint", path)
    if not path.is_file():
        raise CheckpointError(
            f"checkpoint={path} is no file. A run leaves checkpoints/best.ckpt and checkpoints/last.ckpt."
        )
    return described(ReadCheckpoint(path, read_checkpoint(path)))


def described(read: ReadCheckpoint) -> Checkpoint:
    """What a file that was read says of itself, if it is a checkpoint of ``contextrast-train``.

    Raises:
        CheckpointError: If it is none, or lacks a part.
    """
    path, content = read.path, read.content
    settings = content.get("hyper_parameters") if isinstance(content, dict) else None
    if not isinstance(settings, dict) or not all(isinstance(settings.get(key), dict) for key in _SETTINGS):
        raise CheckpointError(
            f"{path} was not written by contextrast-train: it has no settings of model, data and labels. "
            "Weights of an encoder go to model.encoder_weights of contextrast-train instead."
        )
    state, step = content.get("state_dict"), content.get("global_step")
    if not isinstance(state, dict) or not isinstance(step, int):
        raise CheckpointError(f"{path} is damaged: it lacks weights or the count of steps. Take another one.")
    weights, head_weights = (_below(prefix, state) for prefix in (_NETWORK, _HEADS))
    try:
        labels = LabelTable.from_dict(settings["labels"])
    except DataError as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    return Checkpoint(path, dict(settings), labels, weights, head_weights, step)


def _below(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a state dict whose keys start with a prefix, without it."""
    named = {str(key): value for key, value in state.items() if isinstance(value, Tensor)}
    return {key.removeprefix(prefix): value for key, value in named.items() if key.startswith(prefix)}

"""Reading a run's checkpoint back: its settings, its classes and its deployed network."""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from contextrast.config import instantiate
from contextrast.data.labels import LabelTable
from contextrast.errors import CheckpointError
from contextrast.models import Segmenter

_NETWORK = "network."


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds besides the state of training.

    Attributes:
        path: The file.
        config: What the run was composed of, as plain containers.
        labels: The classes it was trained on.
        weights: State dict of the `Segmenter`; heads and method stay behind.
        step: Optimiser steps taken.
    """

    path: Path
    config: dict[str, Any]
    labels: LabelTable
    weights: dict[str, Tensor]
    step: int

    def network(self, overrides: Mapping[str, Any] | None = None) -> Segmenter:
        """The trained network, in evaluation mode.

        Args:
            overrides: Settings of the model that win over the checkpoint's.

        Raises:
            CheckpointError: If the weights do not fit the network, which overrides can cause.
        """
        settings = {**self.config["model"], **(overrides or {}), "encoder_weights": None, "weights": None}
        network: Segmenter = instantiate(settings, num_classes=self.labels.num_classes)
        expected = network.state_dict()
        wrong = [f"{key} is missing from the checkpoint" for key in expected if key not in self.weights]
        wrong += [f"{key} is not in the network" for key in self.weights if key not in expected]
        wrong += [
            f"{key} is {list(self.weights[key].shape)} in the checkpoint, {list(value.shape)} in the network"
            for key, value in expected.items()
            if key in self.weights and self.weights[key].shape != value.shape
        ]
        if wrong:
            shown = "\n  ".join(wrong[:10] + ([f"and {len(wrong) - 10} more"] if len(wrong) > 10 else []))
            raise CheckpointError(
                f"{self.path} does not fit {settings['architecture']} over {settings['encoder']} with "
                f"{self.labels.num_classes} classes:\n  {shown}\nLeave the model's settings to the checkpoint, or "
                "choose one that was trained with them."
            )
        network.load_state_dict(self.weights)
        return network.to(memory_format=torch.channels_last).eval()


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint of ``contextrast-train``; nothing in it is executed.

    Raises:
        CheckpointError: If the file is missing, damaged, or no checkpoint of this package.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(
            f"checkpoint={path} is no file. A run leaves checkpoints/best.ckpt and checkpoints/last.ckpt."
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        first_line = str(error).partition("\n")[0]
        raise CheckpointError(f"{path} cannot be read ({first_line}). It is damaged, or no checkpoint.") from error
    if not isinstance(content, dict) or not {"model", "data", "labels"} <= set(content.get("hyper_parameters", {})):
        raise CheckpointError(
            f"{path} was not written by contextrast-train: it has no settings of model, data and labels. "
            "Weights of an encoder go to model.encoder_weights of contextrast-train instead."
        )
    config = dict(content["hyper_parameters"])
    weights = {
        key.removeprefix(_NETWORK): value for key, value in content["state_dict"].items() if key.startswith(_NETWORK)
    }
    return Checkpoint(path, config, LabelTable.from_dict(config["labels"]), weights, int(content["global_step"]))

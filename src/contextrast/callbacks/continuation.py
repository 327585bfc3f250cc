"""Beginning a run where another one ended."""

from typing import cast

import lightning.pytorch as pl
from torch.optim import Optimizer
from typing_extensions import override

from contextrast.checkpoints.contents import described
from contextrast.checkpoints.files import ReadCheckpoint
from contextrast.errors import CheckpointError
from contextrast.models.weight_files import listed, mismatches
from contextrast.training.module import SegmentationModule


class Continuation(pl.Callback):
    """Begins a run with the state of another one: its weights, heads and memories, and the momenta of its optimiser.

    Steps are counted anew, and schedule and settings are the run's own. The momenta of another kind of optimiser, or of
    other groups of parameters, are left behind.

    Args:
        read: The other run's checkpoint.

    Raises:
        CheckpointError: When the run begins, if its network, loss or classes are others.
    """

    def __init__(self, read: ReadCheckpoint) -> None:
        self._read = read

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Load weights, heads and memories."""
        module, path = cast("SegmentationModule", pl_module), self._read.path
        classes = described(self._read).labels.classes
        if stage != "fit":
            return
        if classes != module.labels.classes:
            raise CheckpointError(f"{path} is of other classes ({', '.join(classes[:5])}, ...) than the data.")
        weights = self._read.content["state_dict"]
        if wrong := mismatches(module.state_dict(), weights, "checkpoint", "run"):
            raise CheckpointError(
                f"{path} is of another network or loss:\n{listed(wrong)}\nGive the settings of the run that it is "
                "of, or take its network alone, with model.weights=PATH."
            )
        module.load_state_dict(weights)

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Load the momenta, where the optimiser has the same."""
        optimizer: Optimizer = trainer.optimizers[0]
        saved, own = self._read.content["optimizer_states"][0], optimizer.state_dict()["param_groups"]
        settings = self._read.content["hyper_parameters"].get("optimizer", {})
        same = f".{settings.get('_target_', '')}".endswith(f".{type(optimizer).__name__}")
        parts = [[(group.get("name"), group["params"]) for group in groups] for groups in (saved["param_groups"], own)]
        if same and parts[0] == parts[1]:
            optimizer.load_state_dict({"state": saved["state"], "param_groups": own})
        self._read.content.clear()  # it is as large as the run

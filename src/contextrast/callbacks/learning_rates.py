"""The learning rate of every parameter group, beside the loss it was used for."""

import lightning.pytorch as pl
from typing_extensions import override


class LearningRates(pl.Callback):
    """Logs ``lr/<group>`` in the steps in which the loggers take rows.

    Lightning's ``LearningRateMonitor`` refuses to run without a logger and writes rows of its own; these values share
    the row of the step's losses.
    """

    @override
    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Log the rates that the coming step uses; groups that differ in weight decay alone count once."""
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]  # the trainer gets it from its connector
        if (trainer.global_step + 1) % every:
            return
        rates = {
            str(group.get("name", index)).removesuffix("/no_decay"): float(group["lr"])
            for optimizer in trainer.optimizers
            for index, group in enumerate(optimizer.param_groups)
        }
        pl_module.log_dict({f"lr/{name}": rate for name, rate in rates.items()}, on_step=True, on_epoch=False)

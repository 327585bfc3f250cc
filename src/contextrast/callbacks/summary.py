"""How large a network is, in training and where it is deployed."""

import lightning.pytorch as pl
from torch import nn
from typing_extensions import override

from contextrast.terminal import Table, show


def count_parameters(module: nn.Module) -> int:
    """Number of parameters of a module, each counted once."""
    return sum(parameter.numel() for parameter in module.parameters())


def parameter_table(network: nn.Module, *training_only: nn.Module) -> Table:
    """Parameters of the deployed network by part, and of what exists in training only.

    Args:
        network: What is evaluated and deployed.
        training_only: What goes with it in training; children with parameters are listed.

    Returns:
        A table for ``rich.print``.
    """
    inner = network.get_submodule("network") if "network" in dict(network.named_children()) else network
    table = Table("Parameters")
    table.add_column("part")
    table.add_column("type", style="dim")
    table.add_column("parameters", justify="right")
    _add_parts(table, inner)
    _add_total(table, "deployed", count_parameters(network))
    for part in training_only:
        _add_parts(table, part)
    _add_total(table, "training only", count_parameters(nn.ModuleList(training_only)))
    table.add_row("in training", "", f"{count_parameters(nn.ModuleList([network, *training_only])):,}", style="bold")
    return table


class ParameterSummary(pl.Callback):
    """Prints `parameter_table` of ``network``, ``loss`` and auxiliary head before the first step."""

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the table, in one process."""
        if trainer.is_global_zero:
            parts = dict(pl_module.named_children())
            training_only = [parts[name] for name in ("loss", "auxiliary") if name in parts]
            show(parameter_table(parts["network"], *training_only))


def _add_parts(table: Table, module: nn.Module) -> None:
    for name, child in module.named_children():
        if count := count_parameters(child):
            table.add_row(name, type(child).__name__, f"{count:,}")


def _add_total(table: Table, name: str, count: int) -> None:
    table.add_section()
    table.add_row(name, "", f"{count:,}", style="bold")
    table.add_section()

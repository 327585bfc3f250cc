"""How large a network is, in training and where it is deployed."""

import lightning.pytorch as pl
from rich import get_console
from rich.table import Table
from torch import nn
from typing_extensions import override


def count_parameters(module: nn.Module) -> int:
    """Number of parameters of a module, each counted once."""
    return sum(parameter.numel() for parameter in module.parameters())


def parameter_table(network: nn.Module, loss: nn.Module) -> Table:
    """Parameters of the deployed network by part, and of what exists in training only.

    Args:
        network: What is evaluated and deployed.
        loss: What goes with it in training; its children with parameters are listed.

    Returns:
        A table for ``rich.print``.
    """
    inner = network.get_submodule("network") if "network" in dict(network.named_children()) else network
    table = Table(title="Parameters", title_justify="left")
    table.add_column("part")
    table.add_column("type", style="dim")
    table.add_column("parameters", justify="right")
    _add_parts(table, inner)
    _add_total(table, "deployed", count_parameters(network))
    _add_parts(table, loss)
    _add_total(table, "training only", count_parameters(loss))
    table.add_row("in training", "", f"{count_parameters(nn.ModuleList([network, loss])):,}", style="bold")
    return table


class ParameterSummary(pl.Callback):
    """Prints `parameter_table` of ``network`` and ``loss`` before the first step."""

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the table, in one process."""
        if trainer.is_global_zero:
            get_console().print(parameter_table(pl_module.get_submodule("network"), pl_module.get_submodule("loss")))


def _add_parts(table: Table, module: nn.Module) -> None:
    for name, child in module.named_children():
        if count := count_parameters(child):
            table.add_row(name, type(child).__name__, f"{count:,}")


def _add_total(table: Table, name: str, count: int) -> None:
    table.add_section()
    table.add_row(name, "", f"{count:,}", style="bold")
    table.add_section()

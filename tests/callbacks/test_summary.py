"""Deployed and training-only parameters are told apart."""

from torch import nn

from contextrast.callbacks import ParameterSummary
from contextrast.callbacks.summary import count_parameters


def test_the_summary_counts_network_and_loss_apart(module, data, trainer_for, capsys) -> None:
    trainer_for([ParameterSummary()], max_steps=1).fit(module, data)
    printed = [line.strip("│").split("│") for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    counts = {cells[0].strip(): cells[-1].strip() for cells in printed}
    encoder, head, heads = (3 * 4 + 4) + 2 * 4, 4 * 4 + 4, 4 * 8 + 8
    assert counts == {
        "encoder": str(encoder),
        "head": str(head),
        "deployed": str(encoder + head),
        "heads": str(heads),
        "training only": str(heads),
        "in training": str(encoder + head + heads),
    }


def test_shared_parameters_count_once() -> None:
    layer = nn.Linear(3, 3)
    assert count_parameters(nn.ModuleList([layer, layer])) == 12

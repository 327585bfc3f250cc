"""Which parameters are optimised how: learning-rate ratios, and no weight decay on norms and biases."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn


def parameter_groups(
    parts: Mapping[str, tuple[Iterable[nn.Module], float]], lr: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Optimiser groups of the given parts, two a part: with and without weight decay.

    Args:
        parts: For each part's name its modules and the ratio of its learning rate to ``lr``. A parameter belongs to
            the first part that holds it.
        lr: Base learning rate.
        weight_decay: Weight decay of weights; norms, biases and other one-dimensional parameters get none.

    Returns:
        Groups with ``params``, ``lr``, ``weight_decay`` and ``name``; empty groups and frozen parameters are left out.
    """
    groups: list[dict[str, Any]] = []
    taken: set[int] = set()
    for name, (modules, ratio) in parts.items():
        decayed: list[nn.Parameter] = []
        plain: list[nn.Parameter] = []
        for parameter in (parameter for module in modules for parameter in module.parameters()):
            if not parameter.requires_grad or id(parameter) in taken:
                continue
            taken.add(id(parameter))
            (decayed if parameter.ndim > 1 else plain).append(parameter)
        for suffix, params, decay in (("", decayed, weight_decay), ("/no_decay", plain, 0.0)):
            if params:
                groups.append({"params": params, "lr": lr * ratio, "weight_decay": decay, "name": name + suffix})
    return groups

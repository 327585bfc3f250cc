"""Parameter groups."""

import torch
from torch import nn

from contextrast.training.optimization import parameter_groups


def test_each_parameter_is_in_one_group_with_its_rate_and_decay():
    encoder = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    network = nn.ModuleDict({"encoder": encoder, "head": nn.Conv2d(4, 2, 1)})
    heads = nn.Linear(4, 4, bias=False)
    frozen = nn.Linear(2, 2)
    frozen.requires_grad_(False)
    groups = parameter_groups(
        {"encoder": ([encoder], 0.1), "decoder": ([network, frozen], 1.0), "heads": ([heads], 10.0)}, 0.01, 5e-4
    )
    found = {group["name"]: (group["lr"], group["weight_decay"], len(group["params"])) for group in groups}
    assert found == {
        "encoder": (0.001, 5e-4, 1),
        "encoder/no_decay": (0.001, 0.0, 3),  # the bias, and scale and shift of the norm
        "decoder": (0.01, 5e-4, 1),
        "decoder/no_decay": (0.01, 0.0, 1),
        "heads": (0.1, 5e-4, 1),
    }
    assert all(parameter.ndim > 1 for group in groups if group["weight_decay"] for parameter in group["params"])
    torch.optim.SGD(groups, lr=0.01)  # refuses a parameter that is in two groups

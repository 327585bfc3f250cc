"""Every loss on fake CUDA tensors: no mix of devices, and nothing whose value the host would have to read."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from contextrast.benchmarks.operations import Operations
from tests.contrast.cases import LOSSES, loss_of_file

CHANNELS, SIZES = (3, 4, 5, 6), ((16, 16), (8, 8), (4, 4), (2, 2))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", LOSSES)
def test_a_forward_pass_stays_on_the_device(name, layout):
    loss, fake = loss_of_file(name, 5, CHANNELS), FakeTensorMode()
    for part in loss.modules():
        for tensors in (part._parameters, part._buffers):
            for key, value in tensors.items():
                if value is not None:
                    with fake:
                        moved = torch.empty(value.shape, dtype=value.dtype, device="cuda")
                    tensors[key] = torch.nn.Parameter(moved) if isinstance(value, torch.nn.Parameter) else moved
    with fake, Operations() as operations:
        features = [
            torch.zeros(2, width, *size, device="cuda").to(memory_format=layout)
            for width, size in zip(CHANNELS, SIZES, strict=True)
        ]
        logits, target = (
            torch.zeros(2, 5, 64, 64, device="cuda"),
            torch.zeros(2, 64, 64, dtype=torch.long, device="cuda"),
        )
        terms = loss(logits, target, features)
        assert {value.device.type for value in terms.values()} == {"cuda"}
        loss.update()
    assert len(operations.names) > 10
    assert not operations.host_reads()

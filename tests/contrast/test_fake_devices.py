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
    loss = loss_of_file(name, 5, CHANNELS)
    with FakeTensorMode(allow_non_fake_inputs=False) as fake, Operations() as operations:
        for part in loss.modules():
            for key, value in part._parameters.items():
                if value is not None:
                    part._parameters[key] = torch.nn.Parameter(fake.from_tensor(value.detach()).to("cuda"))
            for key, value in part._buffers.items():
                if value is not None:
                    part._buffers[key] = fake.from_tensor(value).to("cuda")
        operations.names.clear()
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

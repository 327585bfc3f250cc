"""Nothing in the method reads a tensor's value on the host: counted operation by operation, forward and backward."""

import torch

from contextrast.benchmarks.operations import Operations
from contextrast.contrast import (
    ContextrastLoss,
    CrossEntropy,
)
from tests.contrast.cases import every_sampling, label_maps


def test_the_counter_sees_what_it_looks_for():
    values = torch.arange(4.0)
    for read in (
        lambda: values.sum().item(),
        values.nonzero,
        lambda: values[values > 1],
        lambda: bool(values[0]),
    ):
        with Operations() as operations:
            read()
        assert operations.host_reads()


@every_sampling
def test_no_host_reads(negatives):
    generator = torch.Generator().manual_seed(0)
    target, _ = label_maps(generator, 2, 32, 32, 4)
    logits = torch.randn(2, 4, 32, 32, generator=generator, requires_grad=True)
    features = [torch.randn(2, 3, s, s, generator=generator, requires_grad=True) for s in (8, 4)]
    loss = ContextrastLoss(
        4, [3, 3], (0.4, 1.0), embedding_dim=8, warmup_steps=3, fill_deepest=True, negatives=negatives,
        base=CrossEntropy([1.0, 2.0, 1.0, 0.5], 0.1, 0.7),
    )  # fmt: skip
    loss(logits, target, features).total.backward()  # first use of lazily made state
    with Operations() as operations:
        loss(logits, target, features).total.backward()
        loss.update()
    assert len(operations.names) > 100
    assert not operations.host_reads()

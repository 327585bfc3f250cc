"""Nothing in the method reads a tensor's value on the host: counted operation by operation, forward and backward."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from contextrast.contrast import (
    ContextrastLoss,
    CrossEntropy,
)
from tests.contrast.cases import every_sampling, label_maps

READS = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "_unique2", "bincount", "equal", "is_nonzero")


class Operations(TorchDispatchMode):
    """Collects the names of all operations that reach the dispatcher."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        indices = args[1] if name in ("index", "index_put", "index_put_", "_index_put_impl_") else ()
        if any(isinstance(index, torch.Tensor) and index.dtype == torch.bool for index in indices):
            name = "boolean indexing"
        if name == "repeat_interleave":
            name = "nonzero"
        self.names.append(name)
        return func(*args, **(kwargs or {}))


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
        assert {*READS, "boolean indexing"} & set(operations.names)


@every_sampling
def test_no_host_reads(negatives):
    generator = torch.Generator().manual_seed(0)
    target, _ = label_maps(generator, 2, 32, 32, 4)
    logits = torch.randn(2, 4, 32, 32, generator=generator, requires_grad=True)
    features = [torch.randn(2, 3, s, s, generator=generator, requires_grad=True) for s in (8, 4)]
    loss = ContextrastLoss(
        4, [3, 3], (0.4, 1.0), embedding_dim=8, warmup_steps=3, fill_deepest=True, negatives=negatives,
        cross_entropy=CrossEntropy([1.0, 2.0, 1.0, 0.5], 0.1, 0.7),
    )  # fmt: skip
    loss(logits, target, features).total.backward()  # first use of lazily made state
    with Operations() as operations:
        loss(logits, target, features).total.backward()
        loss.update()
    assert len(operations.names) > 100
    assert not {*READS, "boolean indexing"} & set(operations.names)

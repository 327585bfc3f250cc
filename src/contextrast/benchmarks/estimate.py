"""The memory of a training step, estimated without the device: on tensors that have shapes and no contents."""

import weakref
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from contextrast.benchmarks.inputs import training
from contextrast.benchmarks.measuring import CONSOLE, table
from contextrast.data import Batch
from contextrast.training.assembly import build_datamodule, build_module

_BASELINE = "ce"
_STEPS = 2  # the first one makes the optimiser's state
_MB = 2**20


def estimate(loss: Sequence[str], overrides: Sequence[str]) -> dict[str, float]:
    """Peak memory of a training step of each loss against loss=ce, of the composition's network, crop and batch size.

    Parameters, gradients, the optimiser's state and all that autograd keeps are counted, each storage as long as it
    lives; what libraries take for themselves (workspaces of convolutions, the allocator's gaps) is not. Mixed precision
    is that of a CPU, which computes the same layers in bfloat16.
    """
    names = [_BASELINE, *(name for name in dict.fromkeys(loss) if name != _BASELINE)]
    peaks = {name: step_peak([*overrides, f"loss={name}"]) for name in names}
    shown = table(f"Estimated memory of a training step, {' '.join(overrides)}", "loss", "MB", f"/ {_BASELINE}")
    numbers: dict[str, float] = {}
    for name, peak in peaks.items():
        numbers |= {f"{name} megabytes": peak / _MB, f"{name} memory ratio": peak / peaks[_BASELINE]}
        shown.add_row(name, f"{peak / _MB:.0f}", f"{peak / peaks[_BASELINE]:.3f}")
    CONSOLE.print(shown)
    return numbers


def step_peak(overrides: Sequence[str]) -> int:
    """Bytes that tensors take at the peak of a training step of a composition, in bfloat16 where it is mixed."""
    config = training(*overrides, "model.encoder_weights=null")
    data = build_datamodule(config.data)
    height, width = config.data.crop
    module = build_module(config, data).train()
    # Its random start is made of real numbers, which fake tensors cannot be.
    with FakeTensorMode(allow_non_fake_inputs=True) as fake, LiveBytes() as live:
        _fake(module, fake)
        for one in (*module.parameters(), *module.buffers()):
            live.note(one)
        configured = cast(Mapping[str, Any], module.configure_optimizers())
        optimizer = cast(Optimizer, configured["optimizer"])
        image = torch.zeros(data.batch_size, 3, height, width, dtype=torch.uint8)
        mask = torch.zeros(data.batch_size, height, width, dtype=torch.long)
        batch = Batch(image=image, mask=mask, name=[""] * data.batch_size)
        for _ in range(_STEPS):
            with torch.autocast("cpu", torch.bfloat16, enabled="bf16" in str(config.trainer.precision)):
                terms, _ = module.training_pass(batch)
            optimizer.zero_grad()
            terms.total.backward()  # type: ignore[no-untyped-call]  # torch's stub
            del terms
            optimizer.step()
            module.update_loss()
        peak: int = live.peak
    return peak


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's stub
    """Counts the bytes of the storages that live, in ``bytes``, and the most there were, in ``peak``."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # likewise
        self.bytes: int = 0
        self.peak: int = 0
        self._known: dict[int, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Do an operation, and note the storages that it made."""
        result = func(*args, **(kwargs or {}))
        for one in tree_leaves(result):
            if isinstance(one, Tensor):
                self.note(one)
        return result

    def note(self, tensor: Tensor) -> None:
        """Count a tensor's storage, unless it is known."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        self._known[key] = storage.nbytes()
        self.bytes += storage.nbytes()
        self.peak = max(self.peak, self.bytes)
        weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.bytes -= self._known.pop(key, 0)


def _fake(module: torch.nn.Module, fake: FakeTensorMode) -> None:
    """Replace a module's parameters and buffers by fake ones."""
    for part in module.modules():
        for name, value in part._parameters.items():
            if value is not None:
                part._parameters[name] = torch.nn.Parameter(fake.from_tensor(value.detach()), value.requires_grad)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = fake.from_tensor(buffer)

"""Stopping a run whose loss is not finite, before the optimiser's step and without making the device wait."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from contextrast.errors import NonFiniteLossError


class FiniteLossCheck:
    """Remembers the losses of the batches of a step, and refuses the step if one of them is not finite.

    :meth:`observe` sends the values of a batch on their way to the host when its forward pass is queued; :meth:`check`
    reads them when its backward pass is queued too. On a GPU the host then waits for the forward pass at most, while
    the device has the backward pass to do: it never runs dry, and no queue is drained. Elsewhere values are read as
    they are.
    """

    def __init__(self) -> None:
        self._batches: list[_Batch] = []

    def observe(self, terms: Mapping[str, Tensor], files: Sequence[str]) -> None:
        """Remember a batch.

        Args:
            terms: Scalars by name, the total among them.
            files: Names of the batch's files.
        """
        values = torch.stack([term.detach().float() for term in terms.values()])
        arrived = None
        if values.is_cuda:
            values = values.to("cpu", non_blocking=True)  # torch takes page-locked memory for it, so it does not wait
            arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch's stub
            arrived.record()
        self._batches.append(_Batch(list(terms), values, arrived, files))

    def check(self, step: int) -> None:
        """Look at what was observed since the last check.

        Args:
            step: Optimiser steps taken, for the message.

        Raises:
            NonFiniteLossError: If a value is infinite or not a number.
        """
        batches, self._batches = self._batches, []
        for names, values, arrived, files in batches:
            if arrived is not None:
                arrived.synchronize()
            finite = values.isfinite().tolist()
            if not all(finite):
                read = zip(names, values.tolist(), finite, strict=True)
                bad = ", ".join(f"{name} = {value}" for name, value, is_finite in read if not is_finite)
                raise NonFiniteLossError(
                    f"The loss is not finite at step {step}: {bad}. Batch: {', '.join(files)}. "
                    "Lower optimizer.lr, or train with trainer.precision=32-true."
                )


class _Batch(NamedTuple):
    names: list[str]
    values: Tensor
    arrived: torch.cuda.Event | None
    files: Sequence[str]

"""Stopping a run whose loss or gradients are not finite, before the optimiser's step and while no device waits."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, NoReturn

import torch
import torch.distributed as dist
from torch import Tensor
from torch.optim import Optimizer

from contextrast.contrast.collective import any_over_ranks, world_size
from contextrast.errors import NonFiniteLossError


class FiniteLossCheck:
    """Remembers the batches of a step, and refuses the step in all processes if one of them has values not finite.

    :meth:`observe` sends the losses of a batch on their way to the host when its forward pass is queued; :meth:`check`
    reads them when its backward pass is queued too. On a GPU the host then waits for the forward pass at most, while
    the device has the backward pass to do: it never runs dry, and no queue is drained.

    Gradients are there only when the backward pass is done. Where the optimiser is fused, a GPU leaves the step out by
    itself if their norm is not finite, as it does for torch's gradient scaler, and the host hears of it before the next
    step and before anything is saved. Elsewhere the norm is read at once.

    Args:
        keep: Given the step and its batches it writes what is needed to run the step again, and returns how to.
    """

    def __init__(self, keep: Callable[[int, list[Any]], str]) -> None:
        self._keep = keep
        self._batches: list[_Batch] = []
        self._queued: _Gradients | None = None

    def observe(self, terms: Mapping[str, Tensor], batch: Mapping[str, Any]) -> None:
        """Remember a batch.

        Args:
            terms: Scalars by name, the total among them.
            batch: What they were computed from; ``name`` are its files.
        """
        values = torch.stack([term.detach().float() for term in terms.values()])
        anywhere = any_over_ranks(~values.isfinite().all(dim=0, keepdim=True))
        self._batches.append(_Batch(list(terms), _Arriving(torch.cat([values, anywhere.float()])), batch))

    def check(self, step: int, optimizer: Optimizer | None = None) -> None:
        """Look at what was observed since the last check, and at the gradients.

        Args:
            step: Optimiser steps taken, for the message.
            optimizer: Whose gradients to look at; None where a gradient scaler does that.

        Raises:
            NonFiniteLossError: If a value is infinite or not a number in any of the processes; in all of them.
        """
        self.settle()
        batches, self._batches = self._batches, []
        wrong: list[str] = []
        at_fault: list[_Batch] = []
        somewhere = False
        for batch in batches:
            *values, anywhere = batch.arriving.read()
            somewhere |= anywhere != 0
            read = zip(batch.names, values, strict=True)
            if bad := [f"{name} = {value}" for name, value in read if not math.isfinite(value)]:
                wrong += bad
                at_fault.append(batch)
        if somewhere:
            self._refuse("loss", step, wrong, at_fault, batches)
        if optimizer is not None:
            self._check_gradients(step, optimizer, batches)

    def settle(self) -> None:
        """Wait for the gradients of the step before; to be called before something of it is kept.

        Raises:
            NonFiniteLossError: If they were not finite. The step was not taken.
        """
        queued, self._queued = self._queued, None
        if queued is not None:
            self._refuse_gradients(queued)

    def _check_gradients(self, step: int, optimizer: Optimizer, batches: "list[_Batch]") -> None:
        norm = _norm(parameter for group in optimizer.param_groups for parameter in group["params"])
        if norm is None:
            return
        anywhere = any_over_ranks(~norm.isfinite()[None])
        queued = _Gradients(step, _Arriving(torch.cat([norm[None], anywhere.float()])), batches)
        if norm.is_cuda and all(group.get("fused") for group in optimizer.param_groups):
            optimizer.found_inf = anywhere[0].float()  # type: ignore[attr-defined]  # where torch's scaler puts it, too
            self._queued = queued
        else:
            self._refuse_gradients(queued)

    def _refuse_gradients(self, queued: "_Gradients") -> None:
        norm, anywhere = queued.arriving.read()
        if anywhere:
            wrong = [] if math.isfinite(norm) else [f"norm = {norm}"]
            self._refuse("gradient", queued.step, wrong, queued.batches, queued.batches)

    def _refuse(
        self, what: str, step: int, wrong: list[str], at_fault: "list[_Batch]", batches: "list[_Batch]"
    ) -> NoReturn:
        """Stop; all processes get here with the same step, those that have nothing wrong with an empty list."""
        message = ""
        if wrong:
            files = ", ".join(name for one in at_fault for name in one.batch["name"])
            kept = self._keep(step, [one.batch for one in batches])
            message = f"{', '.join(wrong)}. Batch: {files}. To run it again: {kept}"
        messages = [message]
        if world_size() > 1:
            messages = [""] * world_size()
            dist.all_gather_object(messages, message)
            messages = [f"process {number}: {text}" for number, text in enumerate(messages) if text]
        raise NonFiniteLossError(
            f"The {what} is not finite at step {step}: {'; '.join(messages)}. The step was not taken. "
            "Lower optimizer.lr, or train with trainer.precision=32-true."
        )


class _Arriving:
    """Values on their way to the host, which waits for them no longer than it has to."""

    def __init__(self, values: Tensor) -> None:
        self._event = None
        if values.is_cuda:
            values = values.to("cpu", non_blocking=True)  # torch takes page-locked memory for it, so it does not wait
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch's stub
            self._event.record()
        self._values = values

    def read(self) -> list[float]:
        if self._event is not None:
            self._event.synchronize()
        values: list[float] = self._values.tolist()
        return values


class _Batch(NamedTuple):
    names: list[str]
    arriving: _Arriving
    batch: Mapping[str, Any]


class _Gradients(NamedTuple):
    step: int
    arriving: _Arriving
    batches: list[_Batch]


def _norm(parameters: Iterable[Tensor]) -> Tensor | None:
    """Norm of all gradients, float32 ``[]`` on their device; None where there are none."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return torch.nn.utils.get_total_norm(gradients).float() if gradients else None

"""What outlives a step: queues, running anchors, schedules, steps of draws."""

from torch import nn


class Stateful(nn.Module):
    """A module whose state moves on once after every optimiser step.

    Samplings, fusions, memories, base losses and whole losses that keep something between steps derive from it and
    extend :meth:`update`. State lives in buffers, so that it is saved, resumed and moved between devices, and has to be
    equal in all processes of a distributed training.
    """

    def update(self) -> None:
        """Bring this module and all that it holds up to date; called once after every optimiser step."""
        for part in self.children():
            update_state(part)


def update_state(module: nn.Module) -> None:
    """Move on the state of a module and of what it holds, however deep; a no-op where there is none."""
    if isinstance(module, Stateful):
        module.update()
    else:
        for part in module.children():
            update_state(part)

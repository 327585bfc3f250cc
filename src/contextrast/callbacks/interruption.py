"""A run that a signal asks to stop: it is remembered when it comes, and acted upon between two steps."""

import signal

import lightning.pytorch as pl

from contextrast.signals import Handlers


class RunStopped(SystemExit):
    """A run that saved its state and ends because a signal asked for it."""


class Interruption:
    """Remembers that a signal asked the run to stop.

    Lightning's own handlers are replaced while training runs: on SLURM they save in the middle of a step, which no run
    can go on from exactly, and with several processes they communicate from within the handler; Ctrl-C saves nothing.
    """

    def __init__(self) -> None:
        self._asked: signal.Signals | None = None
        self._handlers = Handlers(self._remember)

    def watch(self) -> None:
        """Start to listen."""
        self._handlers.install()

    def ignore(self) -> None:
        """Give the signals back to whoever handled them before."""
        self._handlers.remove()

    def agreed(self, trainer: pl.Trainer) -> bool:
        """Whether a signal has come to any of the processes; all of them have to ask at the same place.

        Lightning, too, has its processes agree about signals before every batch, and waits for the device when it does:
        asking once more right before that costs nothing.
        """
        asked = self._asked is not None
        return asked if trainer.world_size == 1 else trainer.strategy.reduce_boolean_decision(asked, all=False)

    @property
    def first(self) -> signal.Signals | None:
        """The first signal that came to this process; None if one came to another process alone."""
        return self._asked

    def _remember(self, number: signal.Signals) -> None:
        self._asked = self._asked or number

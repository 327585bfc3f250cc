"""Signals that ask a run to stop: remembered when they come, acted upon between two steps."""

import signal
import threading
from types import FrameType
from typing import Any, Final

import lightning.pytorch as pl

_ASKING: Final = (signal.SIGTERM, signal.SIGUSR1)
"""What schedulers send before they kill: SIGTERM, and what SLURM's ``--signal=USR1@SECONDS`` sends."""


class Interruption:
    """Remembers that a signal asked the run to stop.

    Lightning's own handlers are replaced while training runs: on SLURM they save in the middle of a step, which no run
    can go on from exactly, and with several processes they communicate from within the handler.
    """

    def __init__(self) -> None:
        self._asked: signal.Signals | None = None
        self._replaced: dict[signal.Signals, Any] = {}

    def watch(self) -> None:
        """Start to listen; a process listens in its main thread alone."""
        if threading.current_thread() is threading.main_thread():
            self._replaced = {number: signal.signal(number, self._remember) for number in _ASKING}

    def ignore(self) -> None:
        """Give the signals back to whoever handled them before."""
        for number, handler in self._replaced.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._replaced = {}

    def agreed(self, trainer: pl.Trainer) -> bool:
        """Whether a signal has come to any of the processes; all of them have to ask at the same place.

        Lightning, too, has its processes agree about signals before every batch, and waits for the device when it does:
        asking once more right before that costs nothing.
        """
        asked = self._asked is not None
        return asked if trainer.world_size == 1 else trainer.strategy.reduce_boolean_decision(asked, all=False)

    @property
    def name(self) -> str:
        """The signal, for messages."""
        return "Another process's signal" if self._asked is None else self._asked.name

    def _remember(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  (a handler's signature)
        self._asked = signal.Signals(number)
        signal.signal(number, signal.SIG_DFL)

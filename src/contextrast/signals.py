"""Signals that ask a process to stop, and how it ends in good order."""

import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

ASKING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""Ctrl-C, what schedulers send before they kill (SLURM's ``--signal=USR1@SECONDS``), and a terminal that is closed."""

_GRACE: Final = 30
"""Seconds that a worker reads on after SIGTERM."""

_PATIENCE: Final = 3
"""How often one signal has to come for the process to end at once, whatever it is doing."""


def exit_code(number: int, of_schedulers: int = 128 + signal.SIGTERM) -> int:
    """How a process ends that a signal stopped: 130 and 129 for SIGINT and SIGHUP, as shells have it.

    Args:
        number: The signal.
        of_schedulers: For SIGTERM and SIGUSR1.
    """
    return of_schedulers if number in (signal.SIGTERM, signal.SIGUSR1) else 128 + number


class Handlers:
    """Handlers of the signals that ask to stop, in the place of others.

    Signals that are ignored, as by nohup or in the background of a shell, stay so. A process listens in its main thread
    alone.

    Args:
        heard: Called with each signal, until it has come three times: then the process ends at once.
    """

    def __init__(self, heard: Callable[[signal.Signals], None]) -> None:
        self._heard = heard
        self._came = Counter[int]()
        self._replaced: dict[signal.Signals, Any] = {}

    def install(self) -> None:
        """Start to listen."""
        if threading.current_thread() is threading.main_thread():
            asking = [number for number in ASKING if signal.getsignal(number) is not signal.SIG_IGN]
            self._replaced = {number: signal.signal(number, self._hear) for number in asking}

    def remove(self) -> None:
        """Give the signals back to whoever handled them before."""
        for number, handler in self._replaced.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._replaced = {}

    def _hear(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  (a handler's signature)
        self._came[number] += 1
        if self._came[number] >= _PATIENCE:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self._heard(signal.Signals(number))


def leave_to_main_process() -> None:
    """Have a worker read on when a signal asks all processes of a run to stop: the main one still needs its data.

    A worker ends with its main process, and some time after SIGTERM, which stops it where it hangs, too.
    """
    for number in ASKING:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_GRACE))


@contextmanager
def ending_at_once() -> Iterator[None]:
    """Have the signals that ask to stop end the process in good order, wherever it is.

    Raises:
        SystemExit: In the place of what is done when a signal comes, with the shells' code for it.
    """

    def end(number: signal.Signals) -> None:
        if not ending:
            ending.append(number)
            print(f"\n{number.name}: stopped.", file=sys.stderr)
            raise SystemExit(exit_code(number))

    ending: list[signal.Signals] = []
    handlers = Handlers(end)
    handlers.install()
    try:
        yield
    except Exception:
        if ending:  # what was interrupted made another error of it
            raise SystemExit(exit_code(ending[0])) from None
        raise
    finally:
        handlers.remove()

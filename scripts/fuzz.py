"""Feed this package what no user means to give it, until something breaks or the time is up.

    python scripts/fuzz.py                                # every target, two minutes each
    python scripts/fuzz.py --seconds 600 image_headers    # one of them, longer
    nice -n 15 python scripts/fuzz.py --database PATH     # examples kept elsewhere than in .hypothesis/fuzz

A finding is an exception that is no ``ContextrastError`` (for ``configs``: none that the commands print without a
traceback either), more than ten seconds of processor time for one input, or more than a gigabyte of memory. Each is
printed once, with the smallest input hypothesis found for it, and the next ones are looked for behind it. What was
found is kept in the database and tried first by the next run. Exit code 1 if there was a finding. Needs the extra
`dev`.
"""

import argparse
import resource
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.database import DirectoryBasedExampleDatabase

from fuzz_targets import TARGETS, Target

ROUND: Final = 200  # inputs between two looks at the clock
LONGEST: Final = 10.0  # seconds of processor time for one input; other programs' do not count
LARGEST: Final = 2**30  # bytes that one input may add to the largest size of the process

Signature = tuple[str, str, int]
"""What tells findings apart: the exception's type, and the file and line of this package that it passed last."""


class TooExpensiveError(BaseException):
    """An input took too long or too much memory; no ``except Exception`` on its way may hold it up."""


class Fuzzer:
    """Runs one target and collects its findings.

    Attributes:
        executions: Inputs that were tried.
        findings: Traceback and smallest input of each, by signature.

    Args:
        target: What is fed, and with what.
    """

    def __init__(self, target: Target) -> None:
        self.executions = 0
        self.findings: dict[Signature, str] = {}
        self._target = target
        self._known: set[Signature] = set()

    def run(self, seconds: float, database: Path) -> None:
        """Try inputs until the time is up; a finding does not end it."""
        until = time.monotonic() + seconds
        number = time.time_ns()
        while time.monotonic() < until:
            number += 1
            self._round(number, until, database)

    def _round(self, number: int, until: float, database: Path) -> None:
        last: list[tuple[Signature, str]] = []

        def once(value: object) -> None:
            if time.monotonic() > until + 30:  # ends a shrinking that does not come to its end
                return
            self.executions += 1
            try:
                limited(self._target.feed, value)
            except self._target.expected:
                return
            except (Exception, TooExpensiveError) as error:
                found = signature(error)
                if found in self._known:
                    return
                last[:] = [(found, f"{''.join(traceback.format_exception(error)[-12:])}Input: {value!r}"[-6000:])]
                raise AssertionError(found) from error

        test = seed(number)(given(self._target.inputs)(once))
        checked = settings(
            max_examples=ROUND, deadline=None, database=DirectoryBasedExampleDatabase(database / self._target.name),
            suppress_health_check=list(HealthCheck), report_multiple_bugs=False, print_blob=False,
            phases=(Phase.reuse, Phase.generate, Phase.shrink),
        )(test)  # fmt: skip
        try:
            checked()
        except Exception:  # hypothesis wraps what it found, or says that it came and went; `last` has it
            if not last:
                raise
            found, text = last[0]
            self._known.add(found)
            self.findings[found] = text
            print(f"{self._target.name}: {found[0]} at {found[1]}:{found[2]}\n{text}\n", flush=True)


def limited(feed: Callable[[object], object], value: object) -> None:
    """Feed an input, within the limits of time and memory.

    Raises:
        TooExpensiveError: If it went over one of them.
    """
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signal.signal(signal.SIGPROF, too_long)
    signal.setitimer(signal.ITIMER_PROF, LONGEST)
    try:
        feed(value)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        if grown > LARGEST:
            raise TooExpensiveError(f"{grown / 2**30:.1f} GiB for one input")


def too_long(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001  # a signal handler's arguments
    """Interrupt what takes too long."""
    raise TooExpensiveError(f"more than {LONGEST:.0f} s for one input")


def signature(error: BaseException) -> Signature:
    """Where an error left this package, as far as it was in it."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "contextrast" in Path(frame.filename).parts] or list(frames)
    return type(error).__name__, Path(ours[-1].filename).name, ours[-1].lineno or 0


def main() -> None:
    """Fuzz the targets that were named, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--seconds", type=float, default=120.0, help="for each target")
    parser.add_argument("--database", type=Path, default=Path(".hypothesis") / "fuzz", help="folder of kept examples")
    asked = parser.parse_args()
    if unknown := set(asked.targets) - set(TARGETS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    warnings.simplefilter("ignore")  # odd files make the libraries talk
    found = 0
    for name in asked.targets or TARGETS:
        fuzzer = Fuzzer(TARGETS[name])
        began = time.monotonic()
        fuzzer.run(asked.seconds, asked.database)
        found += len(fuzzer.findings)
        spent = time.monotonic() - began
        print(f"{name}: {fuzzer.executions} executions in {spent:.0f} s, {len(fuzzer.findings)} finding(s)", flush=True)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()

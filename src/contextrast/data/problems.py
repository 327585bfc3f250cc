"""What is wrong with a dataset: raised at once, or collected by whoever wants to hear all of it."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from contextrast.errors import DataError

_SHOWN: Final = 10
_collected: ContextVar[list[str] | None] = ContextVar("collected_problems", default=None)


@contextmanager
def collected_problems() -> Iterator[list[str]]:
    """Inside it `fail_if` adds problems to a list instead of raising, so that a checker can say all of them."""
    problems: list[str] = []
    token = _collected.set(problems)
    try:
        yield problems
    finally:
        _collected.reset(token)


def collecting() -> bool:
    """Whether this runs inside `collected_problems`."""
    return _collected.get() is not None


def fail_if(problems: Collection[str], message: str) -> None:
    """Raise a `DataError` that lists the problems, up to ten, if there are any; inside `collected_problems`, note them.

    As it may return in spite of problems, what follows has to work without what they are about.
    """
    collected = _collected.get()
    if collected is not None:
        collected.extend(f"{message}: {problem}" for problem in problems)
    else:
        stop_if(problems, message)


def stop_if(problems: Collection[str], message: str) -> None:
    """As `fail_if`, for problems that nothing can go on after: raise in any case."""
    if problems:
        lines = [f"  {problem}" for problem in list(problems)[:_SHOWN]]
        if len(problems) > _SHOWN:
            lines.append(f"  ... and {len(problems) - _SHOWN} more")
        raise DataError("\n".join([f"{message}:", *lines]))

"""The one place that prints for people: text appears as it is, whatever brackets names, paths and messages have."""

import logging
from collections.abc import Iterable, Iterator
from functools import cache
from io import StringIO
from typing import Any, Final, TypeVar

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table as RichTable
from rich.text import Text
from typing_extensions import override

Item = TypeVar("Item")

_LOG_WIDTH: Final = 100
"""Columns of tables in a log."""

PLAIN: Final[dict[str, Any]] = {"markup": False, "emoji": False, "highlight": False}
"""Arguments of rich's consoles with which they take ``[red]`` and ``:car:`` for what they are."""


@cache
def console() -> Console:
    """The terminal."""
    return Console(**PLAIN, force_jupyter=False)  # which would show a table and each bar as a page in notebooks


def say(text: str, style: str | None = None) -> None:
    """Print a line, which is not wrapped, so that paths in it can be copied; it goes into the command's log, too."""
    console().print(text, style=style, soft_wrap=True)
    _log(text)


def show(*parts: RenderableType, style: str | None = None) -> None:
    """Print tables, or paragraphs that are wrapped; they go into the command's log, too."""
    console().print(*parts, sep="\n", style=style)
    if _log_files():
        file = StringIO()
        Console(**PLAIN, file=file, width=_LOG_WIDTH).print(*parts, sep="\n")
        _log(file.getvalue().rstrip())


def _log(text: str) -> None:
    """Write what was printed into the files of the log, as the terminal has it already."""
    record = logging.LogRecord("contextrast", logging.INFO, __file__, 0, text, None, None)
    for handler in _log_files():
        handler.handle(record)


def _log_files() -> list[logging.FileHandler]:
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, logging.FileHandler)]


def progress(items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Go through items and show how far it is.

    Args:
        items: What to go through.
        description: What stands before the bar.
        total: How many they are, where they do not say so themselves.
    """
    text = TextColumn("{task.description}", style="progress.description", markup=False)
    columns = (text, BarColumn(), TaskProgressColumn(), TimeRemainingColumn(elapsed_when_finished=True))
    with Progress(*columns, console=console()) as shown:
        yield from shown.track(items, total, description=description)


class Table(RichTable):
    """A table of text, which any console prints as it is.

    Args:
        title: Its heading.
        **options: Of rich's table.
    """

    def __init__(self, title: str = "", **options: Any) -> None:
        super().__init__(title=_plain(title) if title else None, title_justify="left", **options)

    @override
    def add_column(self, header: RenderableType = "", *arguments: Any, **options: Any) -> None:
        super().add_column(_plain(header), *arguments, **options)

    @override
    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        super().add_row(*map(_plain, cells), **options)


def _plain(cell: Any) -> Any:
    return Text(cell) if isinstance(cell, str) else cell

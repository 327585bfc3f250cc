"""How a console script begins: what needs no settings is answered before anything large is imported."""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from contextrast.cli import completion
from contextrast.cli.described import Described, versions


def command(described: Described, place: str) -> Callable[[], None]:
    """Make a console script of a task.

    Args:
        described: What ``--help`` says; its ``config`` is composed.
        place: ``MODULE:FUNCTION`` of the task, which is called with the composed configuration.
    """

    def main() -> None:
        arguments = sys.argv[1:]
        if {"--help", "-h"} & set(arguments):
            sys.stdout.write(f"{described.help()}\n")
        elif "--version" in arguments:
            sys.stdout.write(f"{versions()}\n")
        elif not completion.answer(described.config, arguments):
            function_at("contextrast.cli.app:run")(described.config, place)

    return main


def function_at(place: str) -> Callable[..., Any]:
    """The function that ``MODULE:FUNCTION`` names, imported now."""
    module, _, name = place.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found

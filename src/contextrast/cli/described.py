"""What the commands say of themselves: ``--help`` and ``--version``, without importing what they run."""

import argparse
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Final

from contextrast.folders import choices_of

WIDTH: Final = 80
"""Columns of a terminal as it opens."""

_VERSIONS: Final = ("torch", "lightning", "segmentation-models-pytorch")


@dataclass(frozen=True)
class Described:
    """What a command is for.

    Attributes:
        name: What is typed.
        does: What it does, in one line.
        examples: Lines to paste, and what each does.
        options: What people change, and what it is.
        groups: Groups of ``conf/`` whose files are listed.
        config: The file of ``conf/`` that holds its settings.
        docs: The page that tells more.
    """

    name: str
    does: str
    examples: Sequence[tuple[str, str]]
    options: Sequence[tuple[str, str]]
    groups: Sequence[str]
    config: str
    docs: str

    def help(self) -> str:
        """The text of ``--help``, at most `WIDTH` columns wide."""
        parts = [
            f"{self.name}: {self.does}",
            f"usage: {self.name} [KEY=VALUE ...] [GROUP=NAME ...]",
            "examples:\n" + "\n".join(f"  {line}\n      {what}" for line, what in self.examples),
            "what people change:\n" + _columns(self.options),
        ]
        if self.groups:
            listed = [(f"{group}=", ", ".join(choices_of(group))) for group in self.groups]
            parts.append("choices:\n" + _columns(listed))
        everything = [
            ("--cfg job", "every setting with its value, yours included; runs nothing"),
            ("--info defaults", "which files of conf/ these come from"),
            ("-m", "KEY=A,B: one job for each value, or each combination"),
            ("--version", "versions of this and of what it is built on"),
            ("-sc install=bash", f'keys and choices by TAB: eval "$({self.name} -sc install=bash)"'),
        ]
        parts.append("everything else:\n" + _columns(everything))
        parts.append(
            f"Each setting is explained in conf/{self.config}.yaml and the files that it lists; more in {self.docs}."
        )
        return "\n\n".join(textwrap.fill(part, WIDTH) if "\n" not in part else part for part in parts)


def versions() -> str:
    """This package's version, with those of the libraries that its results depend on most."""
    others = ", ".join(f"{name} {metadata.version(name)}" for name in _VERSIONS)
    return f"contextrast {metadata.version('contextrast')} ({others})"


def add_version(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--version``."""

    class Version(argparse.Action):
        def __call__(self, *_: object) -> None:
            sys.stdout.write(f"{versions()}\n")
            parser.exit()

    parser.add_argument("--version", action=Version, nargs=0, help="print versions and end")


def _columns(rows: Iterable[tuple[str, str]]) -> str:
    """What to type on the left, wrapped text beside it, or below it where it is long."""
    rows = list(rows)
    left = min(30, max(len(typed) for typed, _ in rows))
    lines = []
    for typed, text in rows:
        room = textwrap.wrap(text, WIDTH - left - 4, break_on_hyphens=False)
        beside = [typed]
        if len(typed) > left:
            lines.append(f"  {typed}")
            beside = [""]
        beside += [""] * len(room)
        lines += [f"  {first:{left}}  {line}" for first, line in zip(beside, room, strict=False)]
    return "\n".join(lines)

"""Write the page of mistakes and messages: makes every mistake in an empty folder and notes what it is told.

    python scripts/list_bad_inputs.py docs/bad_inputs.md
    python scripts/list_bad_inputs.py - Images              # one section, on the terminal

Commands run in this process, as they would on a terminal without a GPU. Each mistake is in `bad_data.py` or
`bad_commands.py`. A mistake that is not refused, or ends in a traceback, stops this script.
"""

import argparse
import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # before torch looks: what a machine has must not change the page

import bad_commands
import bad_data
from bad_data import Mistake
from contextrast.config import config_directory

MISTAKES: dict[str, Sequence[Mistake]] = {**bad_data.MISTAKES, **bad_commands.MISTAKES}
"""All mistakes, by the title of their section."""

_HEAD = """# Mistakes and what they are told

What goes wrong, how, and the message that says so. Errors that a user can mend are one message without a traceback, and
commands end with an exit code above 0. Every mistake was really made: this page is written by
`python scripts/list_bad_inputs.py docs/bad_inputs.md`, and tests compare it with what the code says now. `PATH` is a
folder of one's own.
"""


def main() -> None:
    """Write the page, or sections of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="file of the page; - prints it")
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(MISTAKES)}; default: all")
    asked = parser.parse_args()
    text = page(asked.sections or list(MISTAKES))
    if str(asked.output) == "-":
        print(text)
    else:
        asked.output.write_text(text, "utf-8")


def page(titles: Sequence[str]) -> str:
    """The page with some of its sections."""
    return "\n".join([_HEAD, *(section(title) for title in titles)])


def section(title: str) -> str:
    """A section: one row a mistake."""
    rows = [f"| {it.what} | {_code(it.how)} | {_code(message(it))} |" for it in MISTAKES[title]]
    return "\n".join([f"## {title}", "", "| what was done | command or call | message |", "|---|---|---|", *rows, ""])


def message(mistake: Mistake) -> str:
    """What a mistake is told, without the paths of this machine.

    Raises:
        AssertionError: If it is told nothing, or ends in a traceback.
    """
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what libraries say beside the message
        folder = Path(name).resolve()
        os.chdir(folder)
        try:
            told = mistake.make(folder)
        finally:
            os.chdir(before)
    assert told, f"{mistake.what}: no message"
    assert "Traceback" not in told, f"{mistake.what}: {told}"
    return told.replace(str(folder), "PATH").replace(str(config_directory()), "conf").strip()


def _code(text: str) -> str:
    """Lines of text as code in a table's cell."""
    lines = [line.strip().replace("|", r"\|") for line in text.splitlines()]
    return "<br>".join(f"`` {line} ``" if "`" in line else f"`{line}`" for line in lines if line)


if __name__ == "__main__":
    main()

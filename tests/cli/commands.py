"""A command as its console script runs it, in this process: starting an interpreter takes longer than most commands."""

import contextlib
import io
from dataclasses import dataclass
from importlib import import_module

import pytest


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def run(name, *arguments, cwd):
    """Runs a command in a folder; an error that it does not mean its user to see is raised here."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.chdir(cwd)
        patch.setattr("sys.argv", [name, *arguments])
        try:
            import_module(f"contextrast.cli.{name}").main()
        except SystemExit as stopped:
            code = stopped.code if isinstance(stopped.code, int) else 1
            err.write("" if isinstance(stopped.code, int) else str(stopped.code))
    return Done(code, out.getvalue(), err.getvalue())

"""What is run for the promises exists, and a failure is told and kept."""

import shlex
import sys
from pathlib import Path

import pytest

from scripts import show_promises


def test_commands_are_those_of_the_repository():
    for command in show_promises.COMMANDS.values():
        script = shlex.split(command)[0]
        assert script == "-m" or (show_promises.ROOT / script).is_file()


@pytest.mark.parametrize(
    ("code", "expected"), [("print('all is well')", 0), ("import sys; print('lost'); sys.exit(3)", 1)]
)
def test_what_a_command_prints_is_kept_with_its_outcome(tmp_path, monkeypatch, code, expected):
    monkeypatch.setitem(show_promises.COMMANDS, "memory", f'-c "{code}"')
    monkeypatch.setattr(sys, "argv", ["show_promises.py", "memory", f"--folder={tmp_path}"])
    with pytest.raises(SystemExit) as ended:
        show_promises.main()
    assert ended.value.code == expected
    written = Path(tmp_path, "memory.txt").read_text()
    assert f"exit code {3 if expected else 0}" in written
    assert written.endswith("lost\n" if expected else "all is well\n")

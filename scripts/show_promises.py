"""Run what shows the promises of docs/promises.md that no quick test can, and keep what it printed, with its date.

    python scripts/show_promises.py          # all of it: hours
    python scripts/show_promises.py memory   # one of them

Each writes docs/promises/NAME.txt, which is committed. Exit code 1 if one of them failed.
"""

import argparse
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
COMMANDS: Final = {
    "kills": "scripts/kill_and_resume.py --kills 20",
    "signals": "scripts/kill_and_resume.py --kills 20 --signal TERM",
    "memory": "scripts/benchmark.py run --steps 5000",
    "memory_of_losses": "scripts/benchmark.py memory --steps 5000",
    "fuzz": "scripts/fuzz.py",
    "slow_tests": "-m pytest -m slow -q -p no:cacheprovider",
}
"""What is run, by Python, from the top of the repository."""

_LINES: Final = 60  # kept of what a command prints last


def show(name: str, folder: Path) -> bool:
    """Run one of the commands and write what it printed; tells whether it succeeded."""
    described = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(described, cwd=ROOT, text=True, capture_output=True, check=False)
    began = time.monotonic()
    environment = {**os.environ, "COLUMNS": "100", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *shlex.split(COMMANDS[name])],
        cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    printed = done.stdout.replace(f"{ROOT}/", "").replace(tempfile.gettempdir(), "TMP").splitlines()[-_LINES:]
    head = [
        f"$ python {COMMANDS[name]}",
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit.stdout.strip()}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores, {(time.monotonic() - began) / 60:.0f} min, exit code {done.returncode}",
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.txt").write_text("\n".join([*head, "", *printed]) + "\n", encoding="utf-8")
    print(f"{name}: {'shown' if done.returncode == 0 else 'FAILED'}, {folder / name}.txt", flush=True)
    return done.returncode == 0


def main() -> None:
    """Run those that were named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(COMMANDS)}; default: all")
    parser.add_argument("--folder", type=Path, default=ROOT / "docs" / "promises", help="where outputs are written")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(COMMANDS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(COMMANDS)}")
    failed = [name for name in asked.names or COMMANDS if not show(name, asked.folder)]
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

"""What people named appears as they named it, wherever it is printed, and nothing prints elsewhere."""

import ast
import io
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from contextrast import terminal
from tests.cli.commands import run
from tests.conftest import TINY
from tests.data.conftest import save

PACKAGE = Path(__file__).parents[1] / "src" / "contextrast"
NAMES = ("road [wet]", "[/x]", ":car:", "[red]sky")
PLACES = {"rich.get_console", "rich.print", "rich.console.Console", "rich.progress.track", "rich.table.Table"}


def calls(source):
    """Calls of a file: the name that is called as it was imported, and the call."""
    tree = ast.parse(source)
    imported = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    }  # fmt: skip
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            yield imported.get(name, name), node


def elsewhere(source):
    """What a file prints by rich without the terminal, or as text onto the standard output."""
    for name, call in calls(source):
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        if name in PLACES and given.get(None) != "PLAIN":
            yield name
        if name == "print" and given.get("file") != "sys.stderr":
            yield name
        if name.endswith("from_markup"):
            yield name


@pytest.mark.parametrize(
    "line",
    [
        "print(1)",
        "from rich import get_console\nget_console()",
        "from rich.table import Table as T\nT()",
        "from rich.text import Text\nText.from_markup('')",
    ],
)
def test_the_walk_finds_what_it_is_for(line):
    assert list(elsewhere(line))
    assert not list(elsewhere("import sys\nprint(1, file=sys.stderr)"))


def test_nothing_prints_elsewhere():
    files = [path for path in PACKAGE.rglob("*.py") if path.name != "terminal.py"]
    assert len(files) > 100
    assert not {str(path): found for path in files if (found := list(elsewhere(path.read_text("utf-8"))))}


def test_tables_are_plain_on_every_console(monkeypatch):
    """Notebooks print them by consoles of their own."""
    table = terminal.Table("[bold]title")
    table.add_column("[b]heading")
    for name in NAMES:
        table.add_row(name)
    file = io.StringIO()
    Console(file=file, width=60).print(table)
    for text in ("[bold]title", "[b]heading", *NAMES):
        assert text in file.getvalue()


def test_lines_and_progress_are_plain(capsys):
    for name in NAMES:
        terminal.say(name)
        assert list(terminal.progress([1, 2], name)) == [1, 2]
    printed = capsys.readouterr().out
    for name in NAMES:
        assert printed.count(name) >= 2


@pytest.fixture
def folder(tmp_path):
    """A dataset whose classes are called as nobody should."""
    rng, root = np.random.default_rng(0), tmp_path / "mine [1]"
    for split, count in (("train", 4), ("val", 2)):
        for index in range(count):
            mask = np.kron(rng.integers(0, len(NAMES), (4, 4)), np.ones((16, 16), int))
            save(root / "masks" / split / f"{index}.png", mask)
            save(root / "images" / split / f"{index}.png", np.stack([mask * 60] * 3, -1))
    (root / "classes.yaml").write_text("".join(f"- '{name}'\n" for name in NAMES))
    return root


def test_commands_print_classes_and_folders_as_they_are_called(folder, tmp_path):
    tiny = [item for item in TINY if not item.startswith("data.dataset")]
    data = ["data=folder", f"data.root='{folder}'", "data.num_workers=0"]
    place = {name: f"hydra.run.dir='{tmp_path}/[/x] {name}'" for name in ("check", "train", "evaluate", "predict")}
    printed = {}
    for name, arguments in {
        "check": data,
        "train": [*data, *tiny, "logger=csv"],
        "evaluate": [f"checkpoint='{tmp_path}/[/x] train/checkpoints/last.ckpt'", "trainer.accelerator=cpu",
                     "protocols.multi_scale=null", "data.num_workers=0"],
        "predict": [f"checkpoint='{tmp_path}/[/x] train/checkpoints/last.ckpt'", f"input='{folder}/images/val'",
                    "device=cpu"],
    }.items():  # fmt: skip
        done = run(name, *arguments, place[name], cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        printed[name] = done.stdout
        assert f"{tmp_path}/[/x] {name}" in done.stdout
    for name in ("check", "train", "evaluate"):
        for called in NAMES:
            assert re.search(rf"│ {re.escape(called)} +│", printed[name]), (name, called)
    done = run("report", f"{tmp_path}/[/x] train", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "[/x]" in printed["train"]

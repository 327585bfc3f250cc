"""The notebooks run, and are committed with outputs that run anywhere: small, without this machine's paths."""

import json
import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LARGEST = 600_000  # bytes
MACHINE = re.compile(r"/(home|root|tmp|work|Users|opt|var|usr)/|site-packages|\.venv")


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def kinds(cell):
    """What a cell puts out, without the values: pictures and texts by their types."""
    return {kind for output in cell["outputs"] for kind in output.get("data", {output.get("name"): None})}


def words(outputs):
    """All text in outputs; pictures are not text."""
    for output in outputs:
        yield "".join(output.get("text", ""))
        yield from ("".join(value) for kind, value in output.get("data", {}).items() if kind.startswith("text/"))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_outputs_are_committed_whole_and_small(path):
    assert path.stat().st_size < LARGEST
    cells = code_cells(json.loads(path.read_text("utf-8")))
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert any("image/png" in kinds(cell) for cell in cells)
    for cell in cells:
        assert "stderr" not in kinds(cell)
        for text in words(cell["outputs"]):
            assert not MACHINE.search(text), text


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_first_cell_alone_sets_how_long_it_takes(path):
    first, *others = code_cells(json.loads(path.read_text("utf-8")))
    assert "STEPS = " in "".join(first["source"])
    assert not any(re.search(r"\benviron\b|\bgetenv\b", "".join(cell["source"])) for cell in others)


def test_notebooks_run(monkeypatch):
    """All in one kernel, as importing the libraries takes longer than any of the notebooks."""
    nbformat = pytest.importorskip("nbformat", reason="needs the extra docs: pip install 'contextrast[docs]'")
    pytest.importorskip("nbclient", reason="needs the extra docs: pip install 'contextrast[docs]'")
    monkeypatch.syspath_prepend(ROOT / "scripts")
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")  # else jupyter_core warns
    assert PATHS
    committed = [nbformat.read(path, as_version=4) for path in PATHS]
    executed = [nbformat.read(path, as_version=4) for path in PATHS]
    import_module("run_notebooks").run(executed)
    for before, after in zip(committed, executed, strict=True):
        for expected, found in zip(code_cells(before), code_cells(after), strict=True):
            assert kinds(found) == kinds(expected), found["source"]

"""The page of mistakes is what the code says today."""

from importlib import import_module
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "bad_inputs.md"
QUICK = ("Data sets", "List files", "A folder of your own", "Images", "Settings from strangers", "Reports")
SLOW = (
    "Overrides", "Data on the command line", "Network and loss", "Checkpoints", "Exports", "Runs, sweeps and searches",
)  # fmt: skip


@pytest.fixture
def script(monkeypatch):
    """The script, as it imports its neighbours when it is run."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return import_module("list_bad_inputs")


def committed(title):
    """The section of the committed page."""
    return f"## {title}\n" + PAGE.read_text("utf-8").split(f"## {title}\n")[1].split("\n## ")[0].rstrip("\n") + "\n"


def test_all_sections_are_tested_and_there_are_sixty_mistakes_and_more(script):
    assert set(script.MISTAKES) == {*QUICK, *SLOW}
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    assert len(rows) - len(script.MISTAKES) == sum(map(len, script.MISTAKES.values())) >= 60


@pytest.mark.parametrize("title", QUICK)
def test_a_section_of_files_is_current(script, title):
    assert script.section(title) == committed(title)


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="the page is of a machine without a GPU")
@pytest.mark.parametrize("title", SLOW)
def test_a_section_of_commands_is_current(script, title):
    assert script.section(title) == committed(title)


def test_no_message_is_a_traceback_or_names_a_machine(script):
    text = PAGE.read_text("utf-8")
    assert "Traceback" not in text
    assert str(ROOT) not in text
    assert "/tmp/" not in text
    assert "&lt;" not in text

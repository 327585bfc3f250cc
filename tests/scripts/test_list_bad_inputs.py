"""The page of mistakes is what the code says today."""

import re
from importlib import import_module
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "bad_inputs.md"
QUICK = ("Data sets", "List files", "A folder of your own", "Images", "Settings from strangers", "Reports")
TITLES = re.findall(r"^## (.+)$", PAGE.read_text("utf-8"), re.MULTILINE)


@pytest.fixture
def script(monkeypatch):
    """The script, as it imports its neighbours when it is run."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return import_module("list_bad_inputs")


def committed(title):
    """The section of the committed page."""
    return f"## {title}\n" + PAGE.read_text("utf-8").split(f"## {title}\n")[1].split("\n## ")[0].rstrip("\n") + "\n"


def test_the_page_has_all_sections(script):
    assert list(script.MISTAKES) == TITLES


@pytest.mark.parametrize("title", QUICK)
def test_a_section_of_files_is_current(script, title):
    assert script.section(title) == committed(title)


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="the page is of a machine without a GPU")
@pytest.mark.parametrize("title", [title for title in TITLES if title not in QUICK])
def test_a_section_of_commands_is_current(script, title):
    assert script.section(title) == committed(title)


def test_no_message_is_a_traceback_or_names_a_machine(script):
    text = PAGE.read_text("utf-8")
    assert "Traceback" not in text
    assert str(ROOT) not in text
    assert "/tmp/" not in text
    assert "&lt;" not in text

"""What needs no network is answered before the libraries that networks need are imported."""

import os
import re
import subprocess
import sys

import pytest

PROGRAM = """
import contextlib, io, sys
from importlib import import_module

def answered(name, *arguments):
    sys.argv = [f"contextrast-{name}", *arguments]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            import_module(f"contextrast.cli.{name}").main()
        except SystemExit as stopped:
            err.write(stopped.code if isinstance(stopped.code, str) else "")
    print("=====", name, *arguments)
    print(out.getvalue() + err.getvalue())

for name in ("train", "evaluate", "predict", "check", "export", "demo", "compare", "report", "analyze"):
    answered(name, "--help")
    answered(name, "--version")
for arguments in (["-sc", "query=bash"], ["--cfg", "job"], ["lr=0.01"], ["+lr=0.01"], ["+steps=100"], ["data=camvit"],
                  ["+module.encoder_lr_ration=2"], ["loss.alhpa=1"]):
    answered("train", *arguments)
answered("check")
answered("export", "checkpoint=x")
answered("report")
print("=====", "imported")
print(*({"torch", "lightning", "numpy", "matplotlib", "pydantic"} & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What one process printed for each command line, and which large libraries it has imported in the end."""
    folder = tmp_path_factory.mktemp("startup")
    environment = {**os.environ, "COMP_LINE": "contextrast-train optimizer.l", "XDG_CACHE_HOME": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=folder, env=environment, timeout=300,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    parts = re.split(r"^===== (.*)\n", done.stdout, flags=re.MULTILINE)[1:]
    assert not list(folder.glob("runs")), "no run was begun"
    return dict(zip(parts[::2], (text.strip() for text in parts[1::2]), strict=True))


def test_nothing_large_was_imported(answers):
    assert answers["imported"] == ""


@pytest.mark.parametrize("name", ["train", "evaluate", "predict", "check", "export", "demo"])
def test_help_fits_the_terminal_and_its_examples_compose(answers, name):
    text = answers[f"{name} --help"]
    assert f"contextrast-{name} " in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("name", ["train", "report", "analyze"])
def test_versions_name_what_results_depend_on(answers, name):
    assert re.fullmatch(r"contextrast \S+ \(torch \S+, lightning \S+, segmentation-models-pytorch \S+\)",
                        answers[f"{name} --version"])  # fmt: skip


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("lr=0.01", "optimizer.lr"), ("+lr=0.01", "optimizer.lr=0.01"), ("+steps=100", "recipe.steps=100"),
     ("data=camvit", "camvid"),
     ("+module.encoder_lr_ration=2", "module.encoder_lr_ratio=2"), ("loss.alhpa=1", "loss.alpha")],
)  # fmt: skip
def test_a_setting_that_does_not_exist_is_refused_with_the_one_that_is_meant(answers, typed, meant):
    assert meant in answers[f"train {typed}"]
    assert "+lr=0.01?" not in answers[f"train {typed}"]
    assert "Error executing job" not in answers[f"train {typed}"]


def test_completion_goes_to_the_next_part_of_a_key(answers):
    assert answers["train -sc query=bash"] == "optimizer.lr="


def test_what_is_missing_is_named(answers):
    assert "data" in answers["check"]
    assert "format" in answers["export checkpoint=x"]
    assert "FOLDER" in answers["report"]

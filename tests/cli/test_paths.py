"""Paths on the command line: in a home, and with characters that have a meaning to Hydra."""

import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from PIL import Image

from contextrast.runs.quoting import quoted, unquoted
from tests.analysis.checkpoints import tiny_module, written
from tests.cli.commands import run

NAMES = ("a=b.png", "a,b.png", "[x].png", "${x} it's.png", 'ü (1)".png', "{a}.png")


@settings(max_examples=200, deadline=None)
@given(st.text("ab=,[]{}$()'\"\\~#&*ü: ", max_size=8).filter(lambda text: "\\$" not in text))
def test_quoted_text_is_that_text(text):
    (override,) = OverridesParser.create().parse_overrides([f"key={quoted(text)}"])
    assert OmegaConf.create({"key": override.value()}).key == text
    assert unquoted(f"key={quoted(text)}") == text


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home with a checkpoint and pictures."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "pictures").mkdir()
    written(tiny_module(tmp_path), tmp_path / "a.ckpt")
    return tmp_path


def test_what_a_message_says_to_type_is_understood(home):
    for number, name in enumerate(NAMES):
        Image.new("RGB", (40, 40)).save(home / name, format="PNG")
        settings = ["checkpoint=a.ckpt", "device=cpu", f"hydra.run.dir=run{number}"]
        refused = run("predict", *settings, f"input={name}", cwd=home)
        assert refused.returncode == 1
        assert not (home / f"run{number}" / "masks").exists()
        (line,) = [line for line in refused.stderr.splitlines() if line.startswith("Lists are")]
        *_, typed = shlex.split(line)
        done = run("predict", *settings, typed, cwd=home)
        assert done.returncode == 0, done.stderr
        assert [path.stem for path in (home / f"run{number}" / "masks").iterdir()] == [name.removesuffix(".png")]


@pytest.mark.parametrize("value", ["12", "true", "null", "[a]"])
def test_values_that_are_no_text_are_named(home, value):
    for command, key in (("predict", "input"), ("predict", "checkpoint"), ("evaluate", "checkpoint"),
                         ("export", "checkpoint"), ("export", "images")):  # fmt: skip
        given = {"checkpoint": "a.ckpt", "input": "pictures", "images": "pictures"} | {key: value}
        wanted = {"predict": ("checkpoint", "input"), "evaluate": ("checkpoint",), "export": ("checkpoint", "images")}
        more = ["format=safetensors"] if command == "export" else []
        if (key, value) == ("images", "null"):  # none
            continue
        arguments = [f"{name}={given[name]}" for name in wanted[command]]
        done = run(command, *arguments, *more, "hydra.run.dir=run", cwd=home)
        assert done.returncode == 1
        assert f"{key}=" in done.stderr
        assert "is no path" in done.stderr


def test_a_home_is_resolved_by_every_command(home):
    Image.new("RGB", (40, 40)).save(home / "pictures" / "a.png")
    place = home / "elsewhere"
    place.mkdir()
    checkpoint = "checkpoint='~/a.ckpt'"
    for name, arguments in {
        "predict": [checkpoint, "input='~/pictures'", "device=cpu"],
        "export": [checkpoint, "format=safetensors", "images='~/pictures'"],
        "evaluate": [checkpoint, "trainer.accelerator=cpu", "protocols.multi_scale=null", "data.num_workers=0"],
    }.items():
        done = run(name, *arguments, f"hydra.run.dir={name}", cwd=place)
        assert done.returncode == 0, done.stderr
    done = run("predict", "checkpoint='~/elsewhere/export/model.safetensors'", "input='~/pictures/a.png'", "device=cpu",
               "hydra.run.dir=again", cwd=place)  # fmt: skip
    assert done.returncode == 0, done.stderr
    arguments = ["~/a.ckpt", "--figures", "feature_maps", "--pictures", "1", "--images", "1", "--device", "cpu"]
    done = run("analyze", *arguments, "--output", "analyzed", cwd=place)
    assert done.returncode == 0, done.stderr


def test_classes_in_another_order_are_shown(home):
    module = tiny_module(home)
    labels = module.hparams["labels"]
    labels["classes"][0], labels["classes"][3] = labels["classes"][3], labels["classes"][0]
    written(module, home / "b.ckpt")
    done = run("evaluate", "checkpoint=b.ckpt", "hydra.run.dir=run", cwd=home)
    assert done.returncode == 1
    for part in ("another order", "0: 'Road' against 'Sky'", "3: 'Sky' against 'Road'"):
        assert part in done.stderr
    done = run("analyze", "a.ckpt", "b.ckpt", "--figures", "feature_maps", "--output", "x", cwd=home)
    assert done.returncode == 1
    assert "0: 'Road' against 'Sky'" in done.stderr

"""Every number and section of every composition, set to what it cannot be: a message or a run, never a traceback."""

import json
import os
import resource
import signal
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

import lightning.pytorch as pl
import pytest
from omegaconf import OmegaConf
from PIL import Image

from contextrast.cli.app import is_mendable
from contextrast.tasks import check, demo, evaluate, export, predict, train
from tests.conftest import TINY, choices

VALUES = (None, "abc", -1, 0, 2.5, 10**12)
SECTIONS = (None, "abc")  # in place of what holds other settings
SECONDS = 120  # of one case, also on a busy machine
BYTES = 24 * 2**30  # of address space, so that what asks for more is refused it
QUIET = ("logger=csv", "callbacks.pictures.num_images=1", "data.num_workers=0")
TRAINED = {
    "default": (*TINY, *QUIET),
    **{f"loss={name}": (*TINY, *QUIET, f"loss={name}") for name in choices("loss")},
    **{f"loss/base={name}": (*TINY, *QUIET, f"loss/base={name}") for name in choices("loss/base")},
    "optimizer=sgd": (*TINY, *QUIET, "optimizer=sgd", "scheduler=linear", "callbacks/averaged_weights=ema"),
}
"""Compositions of training by what they differ in."""

PARTS = {"default": "", "optimizer=sgd": ("optimizer", "scheduler", "callbacks.averaged_weights")}
"""Which keys are walked over; of all others those of the loss."""


class TwoSteps(pl.Callback):
    """Ends a run after two steps, whatever was asked for."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if batch_idx >= 1:
            trainer.should_stop = True


def numbers(config: object, key: str = "") -> Iterator[tuple[str, object]]:
    """Keys and values of numbers, of lists, of what is null and may be a number, and of sections."""
    if isinstance(config, dict):
        if "." in key:  # a section at the top is a choice, and Hydra says how one is left out
            yield key, config
        for name, value in config.items():
            yield from numbers(value, f"{key}.{name}".lstrip("."))
    elif isinstance(config, list):
        yield key, config
        for place, value in enumerate(config):
            yield from numbers(value, f"{key}[{place}]")
    elif config is None or (isinstance(config, int | float) and not isinstance(config, bool)):
        yield key, config


def outcome(run, config, key, value) -> str:
    """What becomes of a run with one value changed, in a process of its own: empty where nothing is wrong with that."""
    receiving, sending = os.pipe()
    process = os.fork()
    if process == 0:
        text = ""
        try:
            os.close(receiving)
            resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(SECONDS)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
            config = config.copy()
            OmegaConf.set_struct(config, False)
            OmegaConf.update(config, key, value, force_add=True)
            with tempfile.TemporaryDirectory(dir=config.paths.run_dir) as config.paths.run_dir:  # checkpoints are large
                run(config)
        except BaseException as error:  # SystemExit is one: a command's own processes may end
            if not isinstance(error, Exception) or not is_mendable(error):
                text = traceback.format_exc()[-600:]
        os.write(sending, json.dumps(text).encode())
        os._exit(0)
    os.close(sending)
    with os.fdopen(receiving, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(process, 0)
    return json.loads(told) if told else f"ended by signal {os.WTERMSIG(status)}"


def walk(run, config, keys: str | tuple[str, ...]) -> list[str]:
    """What goes wrong with each key and value."""
    given = {key: value for key, value in numbers(OmegaConf.to_container(config, resolve=True)) if key.startswith(keys)}
    values = {key: SECTIONS if isinstance(value, dict) else VALUES for key, value in given.items()}
    tried = [(key, value) for key in given for value in values[key] if value != given[key]]
    found = ((key, value, outcome(run, config, key, value)) for key, value in tried)
    return [f"{key}={value}: {wrong}" for key, value, wrong in found if wrong]


@pytest.mark.slow
@pytest.mark.parametrize("composition", TRAINED)
def test_no_number_ends_training_in_a_traceback(composition, composed):
    config = composed("train", *TRAINED[composition])
    assert walk(lambda changed: train.train(changed, [TwoSteps()]), config, PARTS.get(composition, "loss.")) == []


@pytest.fixture
def trained(composed, tmp_path):
    """A checkpoint of two steps."""
    train.train(composed("train", *TINY, "logger=none", "callbacks.pictures.num_images=0"))
    return Path(tmp_path, "run").rename(tmp_path / "trained") / "checkpoints" / "last.ckpt"


@pytest.mark.slow
def test_no_number_ends_evaluation_in_a_traceback(composed, trained):
    measures = f"metrics=[{','.join(name for name in choices('metrics') if name not in ('default', 'iiou'))}]"
    config = composed("evaluate", f"checkpoint={trained}", measures, "logger=none", "data.num_workers=0",
                      "trainer.accelerator=cpu", "protocols.multi_scale.scales=[0.5,1.0]")  # fmt: skip
    assert walk(evaluate.evaluate, config, "") == []


@pytest.mark.slow
@pytest.mark.parametrize("values", [["outputs=[mask,overlay,confidence,probabilities]"], ["window=[32,32]"]])
def test_no_number_ends_prediction_in_a_traceback(values, composed, trained, tmp_path):
    Image.new("RGB", (70, 50)).save(tmp_path / "a.png")
    config = composed("predict", f"checkpoint={trained}", f"input={tmp_path}/a.png", "device=cpu", *values)
    assert walk(predict.predict, config, "") == []


@pytest.mark.slow
@pytest.mark.parametrize("form", choices("format"))
def test_no_number_ends_an_export_in_a_traceback(form, composed, trained):
    assert walk(export.export, composed("export", f"checkpoint={trained}", f"format={form}"), "") == []


@pytest.mark.slow
def test_no_number_ends_a_check_in_a_traceback(composed):
    tiny = [text for text in TINY if text.startswith("data.")]
    assert walk(check.check, composed("check", "data=streets", *tiny), "data.") == []


@pytest.mark.slow
def test_no_number_ends_the_demo_in_a_traceback(composed, trained, tmp_path):
    config = composed("demo", f"checkpoint={trained}", "device=cpu")
    assert walk(lambda changed: demo.page(changed, tmp_path), config, "") == []

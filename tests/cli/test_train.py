"""Training from a composed configuration, in ways that runs of the default dataset do not show."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from contextrast.config import plain
from contextrast.errors import ConfigError, MissingSplitError
from contextrast.tasks import train
from contextrast.tasks.sweeps import finished_before
from tests.conftest import TINY

QUIET = [text for text in TINY if not text.startswith("data.dataset")] + ["logger=none"]


@pytest.fixture
def images(tmp_path):
    """Four images and masks for training, and no other split."""
    for name in "abcd":
        for kind, shape in {"images": (64, 64, 3), "masks": (64, 64)}.items():
            file = tmp_path / "own" / kind / "train" / f"{name}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            values = np.random.default_rng(ord(name)).integers(0, 2, shape, dtype=np.uint8)
            Image.fromarray(values).save(file)
    (tmp_path / "own" / "classes.txt").write_text("one\ntwo\n")
    return tmp_path / "own"


def test_training_without_a_validation_split(images, composed, tmp_path):
    data = ["data=folder", f"data.root={images}"]
    with pytest.raises(MissingSplitError):
        train.train(composed("train", *data, *QUIET))
    config = composed("train", *data, *QUIET, "data.validate=false", "trainer.val_check_interval=1")
    assert math.isnan(train.train(config))
    run = tmp_path / "run"
    found = json.loads((run / "metrics.json").read_text())
    assert (found["step"], found["split"], found["miou"]) == (2, None, None)
    assert found["train_seconds"] > 0
    saved = sorted(path.name for path in (run / "checkpoints").iterdir())
    assert "last.ckpt" in saved
    assert "best.ckpt" not in saved
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 2
    assert math.isnan(finished_before(plain(config), run))


@pytest.mark.parametrize(
    ("override", "key"),
    [("seed=-1", "seed"), ("seed=null", "seed"), ("channels_last=yes_please", "channels_last"),
     ("compile.loss=1", "compile.loss"), ("optimizer.lr=-1", "optimizer"), ("scheduler.power=-1", "scheduler.power"),
     ("trainer.devices=1000000000", "trainer.devices")],
)  # fmt: skip
def test_what_cannot_work_is_refused_by_its_key(override, key, composed):
    with pytest.raises(ConfigError, match=key.replace(".", r"\.")):
        train.train(composed("train", *TINY, "logger=none", override))

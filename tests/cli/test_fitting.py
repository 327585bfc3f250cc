"""``contextrast-check fit=NETWORK``: crop, batch and steps from the images and a few dry steps."""

import shlex

import numpy as np
import pytest
import torch

from contextrast.runs.composition import compose
from contextrast.tasks.fitting import Tried, fitting_batch, fitting_crop, free_memory
from tests.cli import commands
from tests.data.conftest import grey, save


@pytest.mark.parametrize(("sizes", "crop"), [
    ({(600, 1000): 20}, [512, 512]),  # larger images are cut
    ({(360, 480): 367}, [352, 480]),  # no larger than the images
    ({(360, 700): 95, (100, 700): 5}, [352, 512]),  # a few may be smaller, and are padded
    ({(360, 700): 80, (100, 700): 20}, [96, 512]),
    ({(20, 20): 3}, [32, 32]),
])  # fmt: skip
def test_crops_fit_the_images(sizes, crop):
    assert fitting_crop([512, 512], sizes) == crop


def test_a_crop_of_the_recipe_that_fits_is_kept():
    assert fitting_crop([360, 480], {(360, 480): 367}) == [360, 480]


def test_the_largest_batch_that_fits_is_found_on_a_line():
    """1 GB for the network, 0.5 GB and 0.1 s an image: what every batch takes is known."""
    tried = [Tried(size, round(1e9 + 0.5e9 * size), 0.1 * size) for size in (2, 4)]
    for limit, most in [(3.2e9, 16), (6.1e9, 16), (1e12, 16), (None, 16), (3e9, 4)]:
        fits = [size for size in range(1, most + 1) if limit is None or 1e9 + 0.5e9 * size <= limit]
        batch, memory, seconds = fitting_batch(tried, most, limit)
        assert batch == max(fits)
        assert memory == pytest.approx(1e9 + 0.5e9 * batch)
        assert seconds == pytest.approx(0.1 * batch)
    assert fitting_batch(tried[:1], 16, 4.1e9)[0] <= 6, "of one batch nothing is known to be shared by all images"


@pytest.fixture
def own(tmp_path):
    root = tmp_path / "my own"
    for split, count in (("train", 3), ("val", 1)):
        for number in range(count):
            mask = np.arange(48 * 64).reshape(48, 64) // 1600
            save(root / "images" / split / f"{number}.png", grey(number, 48, 64))
            save(root / "masks" / split / f"{number}.png", mask)
    (root / "classes.txt").write_text("a\nb\n")
    return root


def test_a_check_proposes_a_training_that_composes(own, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    before = {path: path.stat().st_mtime_ns for path in own.rglob("*")}
    data = ("data=folder", f'data.root="{own}"')
    done = commands.run("check", *data, "fit=fpn_lite0", "data.num_workers=0", "hydra.run.dir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "contextrast-train" in line]
    _, *overrides = shlex.split(line)
    config = compose("train", [*overrides, "paths.run_dir=."])
    assert config.data.root == str(own)
    assert (list(config.data.crop), config.data.batch_size) == ([32, 64], 3)
    assert config.recipe.steps == 100  # as many as passes: a step sees all three images
    assert config.model.architecture == "FPN"
    assert before == {path: path.stat().st_mtime_ns for path in own.rglob("*")}


def test_a_network_that_cannot_be_tried_fails_no_check(own, tmp_path):
    data = ("data=folder", f'data.root="{own}"', "data.num_workers=0", "hydra.run.dir=run")
    done = commands.run("check", *data, "fit=no_such_network", cwd=tmp_path)
    assert done.returncode == 0
    assert "fit=no_such_network: no step could be tried" in done.stdout.replace("\n", " ")


def test_a_cpu_has_free_memory():
    found = free_memory(torch.device("cpu"))
    assert found is None or found > 1e8

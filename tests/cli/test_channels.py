"""Images of five channels from the folder to the export, of .npy and GeoTIFF files, all in this process."""

import json

import numpy as np
import pytest
import tifffile
import torch
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

import contextrast
from contextrast.checkpoints.contents import load_checkpoint
from contextrast.export import load_export
from contextrast.reporting.figures import overlay
from tests.cli import commands
from tests.data.conftest import save

CHANNELS, MOST = 5, 4000
SHOWN = [3, 1, 0]


def scene(seed, height=40, width=56):
    """Values and a mask: the class shows in the fourth channel alone, which no picture of three would have."""
    random = np.random.default_rng(seed)
    mask = (np.arange(width) < random.integers(15, 40)).astype(np.uint8)[None].repeat(height, 0)
    values = random.integers(0, MOST, (height, width, CHANNELS))
    values[..., 3] = np.where(mask, 3000, 0) + random.integers(0, 500, mask.shape)
    return values.astype(np.uint16), mask


def eight_bits(values):
    return np.rint(np.float32(255) * values.astype(np.float32) / np.float32(MOST)).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("bands")
    for split, seeds in {"train": range(4), "val": range(4, 6)}.items():
        (root / "images" / split).mkdir(parents=True)
        for seed in seeds:
            values, mask = scene(seed)
            save(root / "masks" / split / f"{seed}.png", mask)
            path = root / "images" / split / f"{seed}"
            if seed % 2:
                np.save(f"{path}.npy", values.transpose(2, 0, 1))
            else:
                tifffile.imwrite(f"{path}.tif", values, photometric="minisblack", planarconfig="contig")
    (root / "classes.txt").write_text("ground\nwater\n")
    return root


@pytest.fixture(scope="module")
def settings(folder, tmp_path_factory):
    """The folder's settings, with means and deviations as the check prints them."""
    data = [
        "data=folder",
        f"data.root={folder}",
        f"data.channels={CHANNELS}",
        f"data.dataset.image_range=[0,{MOST}]",
        "data.num_workers=0",
    ]
    cwd = tmp_path_factory.mktemp("check")
    done = commands.run("check", *data, "hydra.run.dir=checked", cwd=cwd)
    assert done.returncode == 0, done.stderr
    _, line = done.stdout.replace("\n", " ").split("Over the training split: ")
    printed = line.split()[:2]
    pixels = np.concatenate([eight_bits(scene(seed)[0]).reshape(-1, CHANNELS) for seed in range(4)]) / 255
    for text, name, expected in zip(printed, ("mean", "std"), (pixels.mean(0), pixels.std(0))):
        assert text.startswith(f"model.{name}=[")
        np.testing.assert_allclose(json.loads(text.partition("=")[2]), expected, atol=5.1e-5)
        report = json.loads((cwd / "checked" / "check.json").read_text())["splits"]["train"]
        np.testing.assert_allclose(report[name], expected, atol=1e-9)
    return [*data, *printed]


@pytest.fixture(scope="module")
def run(settings, tmp_path_factory):
    tiny = [
        "data.crop=[32,32]", "data.batch_size=2", f"data.rgb={json.dumps(SHOWN)}".replace(" ", ""),
        "model.encoder=tu-test_resnet",
        "model.encoder_weights=null", "model.decoder_pyramid_channels=16", "model.decoder_segmentation_channels=32",
        "recipe.steps=2", "recipe.val_interval=2", "trainer=cpu", "logger=csv", "callbacks.pictures.num_images=1",
    ]  # fmt: skip
    folder = tmp_path_factory.mktemp("run") / "run"
    done = commands.run("train", *settings, *tiny, f"hydra.run.dir={folder}", cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert said.count("data.color_jitter is left out") == 1
    return folder


def test_training_takes_all_channels_and_pictures_three_of_them(run):
    checkpoint = load_checkpoint(run / "checkpoints" / "last.ckpt")
    network = checkpoint.network()
    assert network.channels == network.mean.shape[1] == CHANNELS
    assert next(part for part in network.modules() if isinstance(part, torch.nn.Conv2d)).in_channels == CHANNELS
    (drawn,) = (run / "pictures").glob("step_*.jpg")
    sheet, picture = np.asarray(Image.open(drawn).convert("RGB")), eight_bits(scene(5)[0])[..., SHOWN]
    assert contains(sheet, picture)
    assert not contains(sheet, eight_bits(scene(5)[0])[..., :3])


def contains(sheet, picture):
    """Whether a picture stands somewhere in another one, up to what JPEG changes; of noise, another one is far away."""
    places = sliding_window_view(sheet.astype(np.int16), picture.shape)
    return min(np.abs(row - picture).mean((1, 2, 3, 4)).min() for row in places) < 20


def test_its_commands_measure_and_predict_what_the_plain_network_does(run, folder, tmp_path):
    checkpoint = load_checkpoint(run / "checkpoints" / "last.ckpt")
    network, expected, correct = checkpoint.network(), {}, []
    for seed in (4, 5):
        values, mask = scene(seed)
        pixels = torch.from_numpy(eight_bits(values).transpose(2, 0, 1).copy())[None]
        with torch.inference_mode():
            expected[seed] = network(network.normalize(pixels)).argmax(1)[0].numpy().astype(np.uint8)
        correct.append(expected[seed] == mask)
    done = commands.run(
        "evaluate", f"checkpoint={run}", "trainer.accelerator=cpu", "hydra.run.dir=measured", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads((tmp_path / "measured" / "metrics.json").read_text())["single_scale"]
    assert measured["pixel_accuracy"] == pytest.approx(np.mean(correct))
    done = commands.run(
        "predict", f"checkpoint={run}", f"input={folder / 'images' / 'val'}", "hydra.run.dir=found", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    for seed, ids in expected.items():
        assert np.array_equal(np.asarray(Image.open(tmp_path / "found" / "masks" / f"{seed}.png")), ids)
        shown = overlay(eight_bits(scene(seed)[0])[..., SHOWN], ids, checkpoint.labels)
        assert np.array_equal(np.asarray(Image.open(tmp_path / "found" / "overlays" / f"{seed}.png")), shown)
    values = eight_bits(scene(4)[0])
    assert np.array_equal(contextrast.load(run, device="cpu").predict(values), expected[4])


@pytest.mark.parametrize("form", ["safetensors", "smp"])
def test_exports_take_all_channels(run, folder, tmp_path, form):
    given = folder / "images" / "val"
    done = commands.run(
        "export", f"checkpoint={run}", f"format={form}", f"images={given}", "hydra.run.dir=exported", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    metadata = json.loads((tmp_path / "exported" / "metadata.json").read_text())
    assert metadata["verified"]["pictures"] == 2
    assert f"[B, {CHANNELS}, H, W]" in metadata["input"]["takes"]
    assert metadata["input"]["rgb"] == SHOWN
    name = {"safetensors": "model.safetensors", "smp": "smp"}[form]
    exported = load_export(tmp_path / "exported" / name)
    assert exported.channels == CHANNELS
    values, _ = scene(4)
    pixels = torch.from_numpy(eight_bits(values).transpose(2, 0, 1).copy())[None]
    network = load_checkpoint(run / "checkpoints" / "last.ckpt").network()
    with torch.inference_mode():
        torch.testing.assert_close(
            exported(exported.normalize(pixels)), network(network.normalize(pixels)), atol=1e-3, rtol=1e-3
        )


def test_the_page_says_that_it_takes_pictures(run, tmp_path):
    done = commands.run("demo", f"checkpoint={run}", cwd=tmp_path)
    assert done.returncode == 1
    assert "takes images of 5 channel(s), and the page takes pictures of three: use contextrast-predict" in done.stderr

"""A folder as newcomers have it goes through check, train, predict and evaluate: nothing is lost in silence."""

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contextrast.data.decoding import decode_image
from tests.cli import commands
from tests.conftest import TINY
from tests.data.written import SHOWN, save_turned

COLORS = np.array([[200, 40, 40], [40, 190, 60], [50, 60, 210]], np.uint8)
CLASSES = ("red", "green [wet]", "blue $x$")
COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
NAMES = ("a.png", "b.jpg", "c.JPEG", "d.tif", "e.webp", "f.bmp", "site 1/g h.png", "site 1/i (1) [x].jpg", "k=1,2.png")
LIGHT = tuple(text for text in TINY if not text.startswith(("data.dataset.", "trainer.max_steps")))
TAGS = range(1, 9)


def scene(seed, height=48, width=64):
    """Rectangles of three classes: a picture ``[H, W, 3]`` with a little noise, and their ids ``[H, W]``."""
    random = np.random.default_rng(seed)
    ids = np.zeros((height, width), np.uint8)
    for number in range(9):
        y, x = random.integers(0, height - 8), random.integers(0, width - 8)
        ids[y : y + random.integers(6, height // 2), x : x + random.integers(6, width // 2)] = number % 3
    noisy = COLORS[ids].astype(int) + random.integers(-10, 11, (height, width, 3))
    return noisy.clip(0, 255).astype(np.uint8), ids


def stored_as(tag, shown):
    """The pixels that a viewer shows as ``shown`` where they have a tag: those of the tag that undoes it."""
    undone = {6: 8, 8: 6}.get(tag, tag)
    return np.ascontiguousarray(SHOWN[undone](shown))


def write(root, split, name, seed, tag=1, mask_name=None):
    """Writes a photograph, and the mask of what a viewer shows of it."""
    shown, ids = scene(seed)
    image, place = root / "images" / split / name, Path(mask_name or name)
    mask = root / "masks" / split / place.with_name(f"{place.stem}_mask.png")
    for path in (image, mask):
        path.parent.mkdir(parents=True, exist_ok=True)
    save_turned(image, stored_as(tag, shown), tag)
    Image.fromarray(ids).save(mask)
    return image


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("new") / "my data [1]"
    for number, name in enumerate(NAMES):
        write(root, "train", name, number)
    for tag in TAGS:
        write(root, "train", f"photo {tag}.png", 20 + tag, tag)
        write(root, "val", f"photo {tag}.tif", 30 + tag, tag)
    write(root, "val", f"{COMPOSED}.png", 40, mask_name=f"{DECOMPOSED}.png")
    (root / "images" / "train" / "._a.png").write_bytes(b"\0\5\26\7 of another system")
    (root / "images" / "train" / "notes.txt").write_text("to do")
    (root / "classes.txt").write_text("\n".join(CLASSES), encoding="utf-8-sig")
    return root


@pytest.fixture(scope="module")
def cut_off(folder):
    """One of the training images, of which the end is missing."""
    path = write(folder, "train", "cut off.png", 50)
    path.write_bytes(path.read_bytes()[:-4000])
    return path


def run(folder, command, *arguments):
    done = commands.run(command, *arguments, f"hydra.run.dir={command}", cwd=folder.parent)
    assert "Traceback" not in done.stdout + done.stderr
    return done


def data(folder):
    return ("data=folder", f'data.root="{folder}"', "data.dataset.mask_suffix=_mask", "data.num_workers=0")


@pytest.fixture(scope="module")
def checked(folder, cut_off):
    return run(folder, "check", *data(folder))


@pytest.fixture(scope="module")
def trained(folder, cut_off):
    """A run of a dozen steps, which see all images; the one that cannot be read is passed over, as asked."""
    settings = ("trainer.max_steps=12", "trainer.val_check_interval=12", "loss=ce", "logger=csv", "data.crop=[32,32]")
    bad = ("data.on_bad_sample=skip", "data.eval_batch_size=1", "callbacks.pictures.num_images=2")
    done = run(folder, "train", *LIGHT, *data(folder), *settings, *bad)
    assert done.returncode == 0, done.stderr
    return folder.parent / "train" / "checkpoints" / "last.ckpt"


def test_the_suffix_is_proposed(folder):
    done = commands.run("check", "data=folder", f'data.root="{folder}"', "hydra.run.dir=first", cwd=folder.parent)
    assert done.returncode == 1
    assert "data.dataset.mask_suffix=_mask" in done.stdout + done.stderr


def test_the_check_lists_what_is_wrong_and_counts_all_else(folder, cut_off, checked):
    assert checked.returncode == 1
    report = json.loads((folder.parent / "check" / "check.json").read_text())
    train, val = report["splits"]["train"], report["splits"]["val"]
    assert len(train["problems"]) == 1
    assert str(cut_off) in train["problems"][0]
    assert (train["samples"], val["samples"], val["problems"]) == (len(NAMES) + 8 + 1, 9, [])
    pixels = sum(np.bincount(scene(seed)[1].ravel(), minlength=3) for seed in [*range(9), *range(21, 29)])
    assert train["pixels"] == pixels.tolist()
    notes = " ".join(report["splits"]["val"]["notes"])
    assert all(f"photo {tag}.tif" in notes for tag in (2, 3, 4)), "their sizes do not tell how they lie"


def test_what_is_left_out_is_said(folder, checked, trained):
    told = "".join((folder.parent / name).read_text() for name in ("first/check.log", "check/check.log"))
    assert "1 hidden files (._a.png)" in told
    assert "1 other suffixes than those of images (notes.txt)" in told


def test_training_names_what_it_passes_over(trained, cut_off):
    assert f"Left out, 1 of at most 10: {cut_off} cannot be decoded" in (trained.parents[1] / "train.log").read_text()


def test_training_stops_at_what_cannot_be_read_unless_told_otherwise(folder, cut_off):
    settings = ("trainer.max_steps=12", "loss=ce", "logger=none", "data.eval_batch_size=1", "data.crop=[32,32]")
    done = commands.run("train", *LIGHT, *data(folder), *settings, "hydra.run.dir=stopped", cwd=folder.parent)
    assert done.returncode == 1
    assert f"UnreadableError: {cut_off}" in done.stderr


def test_masks_fit_the_pictures_as_viewers_show_them(folder, cut_off, trained):
    """Copies of what a viewer shows, without tags, have the very same predictions."""
    upright = folder.parent / "upright"
    for path in sorted((folder / "images" / "train").rglob("[!.]*")):
        if path.suffix in (".png", ".tif", ".bmp") and path != cut_off:
            with Image.open(path) as image:
                tag = image.getexif().get(0x0112, 1)
                stored = np.asarray(image)
            target = upright / path.relative_to(folder / "images" / "train").with_suffix(".png")
            target.parent.mkdir(parents=True, exist_ok=True)
            shown = stored if path.suffix == ".tif" else SHOWN[tag](stored)
            Image.fromarray(np.ascontiguousarray(shown)).save(target)
    given = (f"checkpoint={trained}", "device=cpu", "outputs=[mask,probabilities]")
    done = run(folder, "predict", *given, f'input="{folder}/images/train"')
    assert done.returncode == 1
    assert str(cut_off) in done.stderr
    assert "1 of 18 image(s) were not predicted" in done.stderr
    other = commands.run("predict", *given, "input=upright", "hydra.run.dir=predict2", cwd=folder.parent)
    assert other.returncode == 0, other.stderr
    found = sorted((folder.parent / "predict" / "masks").rglob("*.png"))
    assert len(found) == len(NAMES) + 8
    twins = sorted((folder.parent / "predict2" / "probabilities").rglob("*.npy"))
    assert len(twins) == 13
    for twin in twins:
        one = folder.parent / "predict" / "probabilities" / twin.relative_to(folder.parent / "predict2/probabilities")
        probabilities = np.load(twin)
        assert np.array_equal(np.load(one), probabilities)
        assert probabilities.std(axis=(1, 2)).min() > 0, "else a turned one would not show"
    for mask in found:
        image = next((folder / "images" / "train" / mask.relative_to(folder.parent / "predict" / "masks")).parent.glob(
            f"{mask.stem.replace('[', '[[]')}.*"))  # fmt: skip
        assert np.asarray(Image.open(mask)).shape == decode_image(image).shape[:2]


def test_the_evaluation_is_over_every_labelled_pixel(folder, trained):
    done = run(folder, "evaluate", f"checkpoint={trained}", "protocols.multi_scale=null", "logger=none",
               "trainer.accelerator=cpu", "data.num_workers=0")  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((folder.parent / "evaluate" / "metrics.json").read_text())["single_scale"]
    labelled = np.sum(found["confusion"], axis=1)
    pixels = sum(np.bincount(scene(seed)[1].ravel(), minlength=3) for seed in [*range(31, 39), 40])
    assert labelled.tolist() == pixels.tolist()
    assert set(found["iou"]) == set(CLASSES)

"""Augmentation on a device against the CPU's, against kornia's own functions, and against slow references."""

from fractions import Fraction
from itertools import permutations
from math import floor, pi

import kornia.enhance
import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_map_only

from contextrast.data import IGNORE_INDEX, SampleKey, Streets, TrainTransform
from contextrast.data.dataset import SegmentationDataset
from contextrast.data.device_transforms import augment_on_device, jitter, resample
from contextrast.data.transforms import Draws
from contextrast.data.windows import ColorDraws, WindowDataset, collate_windows

from .conftest import Stripes

DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
    ),
]
KEYS = [SampleKey(epoch, index) for epoch in range(4) for index in range(6)]
SIZES = [(64, 96), (96, 64), (80, 80), (33, 57)]


class Scenes(SegmentationDataset):
    """Scenes cut to different sizes, as those of photo collections."""

    labels = Streets.labels

    def __init__(self):
        super().__init__()
        scenes = Streets(size=[96, 96], lengths={"train": 6, "val": 1, "test": 1}, split="train")
        self.pairs = []
        for index in range(6):
            height, width = SIZES[index % 4]
            image, mask = scenes.read(index)
            mask = np.where(mask == IGNORE_INDEX, np.uint8(0), mask)  # so that what is ignored in a crop is padding
            self.pairs.append((image[:height, :width].copy(), mask[:height, :width]))

    def __len__(self):
        return len(self.pairs)

    def name(self, index):
        return f"scene{index}"

    source = name

    def read(self, index):
        return self.pairs[index]


@pytest.fixture(scope="module")
def scenes():
    return Scenes()


def to(batch, device):
    return tree_map_only(torch.Tensor, lambda tensor: tensor.to(device), batch)


def both(dataset, transform, keys=KEYS, device="cpu"):
    """Images and masks of the CPU's way and the device's, as whole numbers ``[B, 3, H, W]`` and ``[B, H, W]``."""
    windows = WindowDataset(dataset, transform)
    batch = collate_windows([windows[key] for key in keys])
    result = augment_on_device(to(batch, device), transform.crop)
    assert result["image"].dtype == torch.uint8
    assert result["mask"].dtype == torch.int64
    assert result["name"] == [dataset.name(key.index) for key in keys]
    images, masks = zip(*(transform(*dataset.read(key.index), key) for key in keys))
    return (
        np.stack(images).transpose(0, 3, 1, 2).astype(int),
        np.stack(masks).astype(int),
        result["image"].cpu().numpy().astype(int),
        result["mask"].cpu().numpy(),
    )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("crop", "scale"),
    [
        ([40, 56], [0.5, 2.0]),
        ([40, 56], [0.5, 0.6]),
        ([40, 56], [1.7, 2.0]),
        ([150, 170], [0.5, 2.0]),  # padded at all sides
        ([20, 200], [0.8, 1.2]),  # padded at two
    ],
)
def test_geometry_is_the_cpus(scenes, crop, scale, device):
    image, mask, device_image, device_mask = both(scenes, TrainTransform(crop, scale), device=device)
    assert np.abs(image - device_image).max() <= 1
    assert np.array_equal(mask == IGNORE_INDEX, device_mask == IGNORE_INDEX)
    different = (mask != device_mask).mean((1, 2))
    assert different.max() <= 0.02  # a row or column between two pixels, where it crosses borders
    assert different.mean() <= 0.003


@pytest.mark.parametrize("flip", [0, 1])
def test_without_scaling_crops_are_equal(scenes, flip):
    image, mask, device_image, device_mask = both(scenes, TrainTransform([50, 70], [1, 1], flip))
    assert np.array_equal(image, device_image)
    assert np.array_equal(mask, device_mask)
    assert (mask == IGNORE_INDEX).any()


@pytest.mark.parametrize("device", DEVICES)
def test_colours_are_the_cpus(scenes, device):
    settings = {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.05, "p": 0.8}
    image, _, device_image, _ = both(scenes, TrainTransform([40, 56], color_jitter=settings), device=device)
    difference = np.abs(image - device_image)
    assert difference.mean() <= 1.5
    assert (difference <= 4).mean() >= 0.995
    assert difference.max() <= 20
    plain = both(scenes, TrainTransform([40, 56]), device=device)[2]
    unchanged = (np.abs(device_image - plain) <= 1).all((1, 2, 3))
    assert 0 < unchanged.sum() < 12  # p


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue"])
def test_each_step_of_the_jitter_is_the_cpus(scenes, name):
    strength = 0.2 if name == "hue" else 0.5
    image, _, device_image, _ = both(scenes, TrainTransform([40, 56], color_jitter={name: strength}))
    plain = both(scenes, TrainTransform([40, 56]))[2]
    difference = np.abs(image - device_image)
    assert (difference <= (4 if name == "hue" else 2)).mean() >= 0.995
    assert difference.mean() < 0.2 * np.abs(device_image - plain).mean()


def image_by_image(image, factors, order):
    """The jitter as a series of kornia's functions."""
    brightness, contrast, saturation, hue = factors
    steps = [
        lambda x: kornia.enhance.adjust_brightness_accumulative(x, brightness),
        lambda x: kornia.enhance.adjust_contrast_with_mean_subtraction(x, contrast),
        lambda x: kornia.enhance.adjust_saturation_with_gray_subtraction(x, saturation),
        lambda x: kornia.enhance.adjust_hue(x, hue * 2 * pi),
    ]
    for step in order:
        image = steps[step](image)
    return image


def test_a_batch_in_all_orders_is_a_series_of_kornias_functions():
    rng = np.random.default_rng(0)
    orders = list(permutations(range(4)))
    factors = np.concatenate([rng.uniform(0.3, 1.9, (24, 3)), rng.uniform(-0.5, 0.5, (24, 1))], axis=1)
    images = torch.rand(24, 3, 9, 7, generator=torch.Generator().manual_seed(0))
    names = ("brightness", "contrast", "saturation", "hue")
    colors = [
        ColorDraws.of(Draws(1.0, (9, 7), None, (0, 0, 7, 9), False, {**dict(zip(names, row)), "order": order}))
        for row, order in zip(factors.tolist(), orders)
    ]
    blends, hue = (torch.stack(values) for values in zip(*colors))
    expected = [image_by_image(image[None], row, order) for image, row, order in zip(images, factors.tolist(), orders)]
    torch.testing.assert_close(jitter(images, blends, hue), torch.cat(expected), rtol=0, atol=1e-5)


@pytest.mark.parametrize("scaled", [(13, 20), (40, 31), (20, 24)])
@pytest.mark.parametrize("flip", [False, True])
def test_resampling_is_the_slow_reference(scaled, flip):
    generator = torch.Generator().manual_seed(0)
    size, crop, corner = (20, 24), (17, 25), (min(3, scaled[0] - 17), -2)
    image = torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator)
    mask = torch.randint(0, 9, size, dtype=torch.uint8, generator=generator)
    starts = (corner[0], corner[1] + crop[1] - 1) if flip else corner
    axes = torch.tensor([size, scaled, starts, (1, -1 if flip else 1), (0, 0)]).T
    result, labels = resample(image[None], mask[None], axes[None], crop)
    expected, expected_labels = np.zeros((3, *crop)), np.full(crop, IGNORE_INDEX)
    for row, column in np.ndindex(*crop):
        at = corner[0] + row, corner[1] + (crop[1] - 1 - column if flip else column)
        if any(not 0 <= place < length for place, length in zip(at, scaled)):
            continue
        places = [Fraction(2 * place + 1, 2) * Fraction(old, new) for place, old, new in zip(at, size, scaled)]
        expected_labels[row, column] = mask[floor(places[0]), floor(places[1])]
        first = [floor(place - Fraction(1, 2)) for place in places]
        for i, j in np.ndindex(2, 2):
            near = [min(max(base + offset, 0), old - 1) for base, offset, old in zip(first, (i, j), size)]
            rest = [float(place - Fraction(1, 2) - base) for place, base in zip(places, first)]
            weight = (rest[0] if i else 1 - rest[0]) * (rest[1] if j else 1 - rest[1])
            expected[:, row, column] += weight * image[:, near[0], near[1]].numpy() / 255
    assert np.array_equal(labels[0].numpy(), expected_labels)
    np.testing.assert_allclose(result[0].numpy(), expected, atol=1e-5)


def test_companions_in_the_batch_make_no_difference(scenes):
    transform = TrainTransform([40, 56], color_jitter={"contrast": 0.5, "hue": 0.1})
    windows = WindowDataset(scenes, transform)
    together = augment_on_device(collate_windows([windows[key] for key in KEYS]), transform.crop)
    for place, key in enumerate(KEYS):
        alone = augment_on_device(collate_windows([windows[key]]), transform.crop)
        assert torch.equal(alone["mask"][0], together["mask"][place])
        assert (alone["image"][0].int() - together["image"][place].int()).abs().max() <= 1  # the last bit of a float


def test_classes_next_to_the_ignore_index_and_ignored_pixels_are_kept():
    mask = torch.tensor([[0, 254, 255, 3]], dtype=torch.uint8)
    axes = torch.tensor([[1, 1, -1, 1, 0], [4, 4, -1, 1, 0]])
    _, labels = resample(torch.zeros(1, 3, 1, 4, dtype=torch.uint8), mask[None], axes[None], (3, 6))
    assert labels[0].tolist() == [[255] * 6, [255, 0, 254, 255, 3, 255], [255] * 6]


def test_scale_and_flip_follow_their_distributions():
    column = np.arange(120, dtype=np.uint8)

    class Ramp(Stripes):
        def read(self, index):
            return np.broadcast_to(column[None, :, None], (100, 120, 3)).copy(), np.zeros((100, 120), np.uint8)

    transform = TrainTransform([40, 40])
    windows = WindowDataset(Ramp(length=300), transform)
    rows = augment_on_device(collate_windows([windows[index] for index in range(300)]), transform.crop)
    slopes = np.array([np.polyfit(np.arange(30), row, 1)[0] for row in rows["image"][:, 0, 20, 5:35].numpy()])
    scales = 1 / np.abs(slopes)
    assert scales.min() == pytest.approx(0.5, abs=0.03)
    assert scales.max() == pytest.approx(2.0, abs=0.03)
    assert scales.mean() == pytest.approx(1.25, abs=0.08)
    assert (slopes < 0).mean() == pytest.approx(0.5, abs=0.1)


def test_no_value_is_read_on_the_host(scenes):
    transform = TrainTransform([40, 56], color_jitter={"brightness": 0.3, "hue": 0.1})
    windows = WindowDataset(scenes, transform)
    batch = collate_windows([windows[key] for key in KEYS[:3]])
    result = augment_on_device(to(batch, "meta"), transform.crop)  # tensors without values: reading one is an error
    assert result["image"].shape == (3, 3, 40, 56)
    assert result["mask"].shape == (3, 40, 56)

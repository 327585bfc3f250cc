import pickle
import random

import albumentations as A
import cv2
import numpy as np
import pytest

from contextrast.data import IGNORE_INDEX, SampleKey, TrainTransform
from contextrast.errors import ConfigError

ANGLES = np.linspace(0, 2 * np.pi, 11, endpoint=False)
# On a circle, so that no colour is a mixture of others and interpolation cannot imitate one.
COLORS = np.stack([128 + 100 * np.cos(ANGLES), 128 + 100 * np.sin(ANGLES), 0 * ANGLES], axis=1).astype(np.uint8)


def scene(height=60, width=80):
    """An image of rectangles in eleven colours, and the mask of their numbers."""
    rng = np.random.default_rng(0)
    mask = np.zeros((height, width), np.uint8)
    for train_id in range(11):
        top, left = rng.integers(0, height - 15), rng.integers(0, width - 20)
        mask[top : top + 15, left : left + 20] = train_id
    return COLORS[mask], mask


def ramp(height=60, width=80):
    """An image whose red and green channels are the column and the row, and a mask of zeros."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.arange(width)
    image[..., 1] = np.arange(height)[:, None]
    return image, np.zeros((height, width), np.uint8)


JITTER = {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.1}


def test_result_has_the_size_of_the_crop():
    for index in range(20):
        image, mask = TrainTransform([30, 50], color_jitter=JITTER)(*ramp(), SampleKey(0, index))
        assert image.shape == (30, 50, 3)
        assert mask.shape == (30, 50)
        assert image.dtype == mask.dtype == np.uint8


def test_same_key_same_result_in_any_order():
    image, mask = scene()
    keys = [SampleKey(epoch, index) for epoch in range(2) for index in range(4)]
    transform = TrainTransform([40, 40], color_jitter=JITTER, seed=5)
    forward = {key: transform(image, mask, key) for key in keys}
    backward = {key: TrainTransform([40, 40], color_jitter=JITTER, seed=5)(image, mask, key) for key in keys[::-1]}
    moved = pickle.loads(pickle.dumps(transform))
    for key in keys:
        for other in (backward[key], moved(image, mask, key)):
            assert np.array_equal(forward[key][0], other[0])
            assert np.array_equal(forward[key][1], other[1])


def test_keys_mean_what_they_mean_to_albumentations_own_pipeline():
    # `TrainTransform` draws first and applies afterwards; `A.Compose` does both at once
    pipeline = A.Compose(
        [
            A.RandomScale((-0.5, 1.0), cv2.INTER_LINEAR, cv2.INTER_NEAREST_EXACT, p=1.0),
            A.RandomCrop(50, 70, pad_if_needed=True, pad_position="random", fill_mask=IGNORE_INDEX),
            A.HorizontalFlip(p=0.5),
            A.ColorJitter(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1, p=0.7),
        ]
    )
    transform = TrainTransform([50, 70], color_jitter=JITTER | {"p": 0.7}, seed=7)
    for index in range(40):
        image, mask = scene(*((60, 80), (90, 40))[index % 2])
        words = np.random.SeedSequence((7, 2, index))
        pipeline.set_random_state(np.random.default_rng(words), random.Random(int(words.generate_state(1)[0])))
        expected = pipeline(image=image, mask=mask)
        result = transform(image, mask, SampleKey(2, index))
        assert np.array_equal(result[0], expected["image"])
        assert np.array_equal(result[1], expected["mask"])


def test_draws_describe_the_result():
    # without jitter and scaling, a crop is the padded image's pixels from the drawn corner on
    image, mask = ramp(30, 60)
    transform = TrainTransform([40, 50], scale=[1, 1])
    for index in range(20):
        draws = transform.draw((30, 60), SampleKey(0, index))
        assert draws.scaled == (30, 60)
        assert draws.jitter is None
        result = transform(image, mask, SampleKey(0, index))[0]
        result = result[:, ::-1] if draws.flip else result
        top, left = draws.corner
        assert -10 <= top <= 0
        assert 0 <= left <= 10
        assert np.array_equal(result[-top : 30 - top], image[:, left : left + 50])


def test_global_random_state_has_no_influence():
    image, mask = scene()
    transform = TrainTransform([40, 40], color_jitter=JITTER)
    results = []
    for seed in (1, 2):
        np.random.seed(seed)  # noqa: NPY002  # the state that other libraries draw from
        results.append(transform(image, mask, SampleKey(0, 0))[0])
    assert np.array_equal(*results)


def test_seed_epoch_and_index_all_matter():
    image, mask = scene()
    draws = [
        TrainTransform([40, 40], seed=seed)(image, mask, SampleKey(epoch, index))[0].tobytes()
        for seed in range(2)
        for epoch in range(2)
        for index in range(2)
    ]
    assert len(set(draws)) == 8


def test_image_and_mask_stay_together():
    image, mask = scene()
    transform = TrainTransform([50, 60])
    for index in range(30):
        image_out, mask_out = transform(image, mask, SampleKey(0, index))
        exact = (image_out[:, :, None] == COLORS).all(-1)  # [H, W, class]: not between two colours
        seen = exact.any(-1) & (mask_out != IGNORE_INDEX)
        assert np.array_equal(exact.argmax(-1)[seen], mask_out[seen])
        assert seen.sum() > 0.5 * (mask_out != IGNORE_INDEX).sum()


@pytest.mark.parametrize("factor", [0.37, 0.6, 1.0, 1.3, 1.7])
@pytest.mark.parametrize("edge", [17, 30, 44])
def test_borders_are_not_shifted_against_the_image(factor, edge):
    # After bilinear scaling a step edge lies where the image crosses one half; the mask has to change there.
    mask = np.zeros((61, 61), np.uint8)
    mask[:, edge:] = 1
    image = np.repeat(mask[..., None] * np.uint8(255), 3, axis=2)
    size = int(61 * factor)
    image_out, mask_out = TrainTransform([size, size], scale=[factor, factor], flip=0)(image, mask, SampleKey(0, 0))
    clear = np.abs(image_out[..., 0].astype(int) - 127.5) > 8  # not a tie
    assert np.array_equal((image_out[..., 0] > 127)[clear], mask_out[clear] == 1)
    assert clear.mean() > 0.9


def test_masks_get_no_new_values():
    mask = np.where(np.indices((60, 80)).sum(0) % 2, 9, 0).astype(np.uint8)
    values = set()
    for index in range(20):
        values |= set(np.unique(TrainTransform([50, 60])(ramp()[0], mask, SampleKey(0, index))[1]).tolist())
    assert values == {0, 9, IGNORE_INDEX}


def test_padding_is_ignored_and_the_image_complete():
    # a crop larger than the image: all of the image is in it, the rest is ignored
    image, mask = ramp(20, 30)
    image_out, mask_out = TrainTransform([50, 70], scale=[1, 1], flip=0)(image + np.uint8(1), mask, SampleKey(0, 0))
    inside = mask_out != IGNORE_INDEX
    assert inside.sum() == 20 * 30
    assert np.array_equal(image_out[inside].reshape(20, 30, 3), image + np.uint8(1))
    assert (mask_out[inside] == 0).all()
    assert (image_out[~inside] == 0).all()


def test_padding_lies_at_random_sides():
    image, mask = ramp(20, 30)
    transform = TrainTransform([40, 60], scale=[1, 1])
    places = [np.argwhere(transform(image, mask, SampleKey(0, index))[1] == 0)[0] for index in range(30)]
    tops, lefts = zip(*places, strict=True)
    assert len(set(tops)) > 10
    assert len(set(lefts)) > 10


def geometry(transform, keys):
    """Scale factor and flip of every draw, read off the column numbers of a ramp."""
    image, mask = ramp(100, 100)
    scales, flips = [], []
    for key in keys:
        row = transform(image, mask, key)[0][20, 5:35, 0].astype(float)
        slope = np.polyfit(np.arange(30), row, 1)[0]
        scales.append(1 / abs(slope))
        flips.append(slope < 0)
    return np.array(scales), np.array(flips)


def test_scale_and_flip_follow_their_distributions_independently():
    transform = TrainTransform([40, 40], scale=[0.5, 2.0], flip=0.5)
    scales, flips = geometry(transform, [SampleKey(0, index) for index in range(600)])
    assert scales.min() == pytest.approx(0.5, abs=0.03)
    assert scales.max() == pytest.approx(2.0, abs=0.03)
    assert scales.mean() == pytest.approx(1.25, abs=0.06)
    assert flips.mean() == pytest.approx(0.5, abs=0.07)
    # one seed for all steps would tie them to each other
    assert scales[flips].mean() == pytest.approx(scales[~flips].mean(), abs=0.12)


def test_flip_probability():
    for probability in (0, 1):
        _, flips = geometry(TrainTransform([40, 40], flip=probability), [SampleKey(0, index) for index in range(10)])
        assert set(flips) == {bool(probability)}


def test_jitter_changes_only_what_is_named():
    grey = np.full((20, 20, 3), 100, np.uint8)
    mask = np.zeros((20, 20), np.uint8)
    brightness = TrainTransform([20, 20], scale=[1, 1], color_jitter={"brightness": 0.5})
    levels = []
    for index in range(20):
        image, _ = brightness(grey, mask, SampleKey(0, index))
        assert (image == image[0, 0, 0]).all()  # hue and saturation are left alone: grey stays grey
        levels.append(int(image[0, 0, 0]))
    assert min(levels) >= 50
    assert max(levels) <= 150
    assert len(set(levels)) > 10

    red = np.zeros((20, 20, 3), np.uint8) + np.array([200, 40, 40], np.uint8)
    named_none = TrainTransform([20, 20], scale=[1, 1], color_jitter={})
    assert np.array_equal(named_none(red, mask, SampleKey(0, 0))[0], red)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"color_jitter": {"brightnes": 0.3}}, "data.color_jitter does not fit.*'brightnes' are not valid"),
        ({"color_jitter": {"contrast": -1}}, "data.color_jitter.*contrast.*non negative"),
        ({"flip": 1.5}, "data.flip does not fit.*less than or equal to 1"),
        ({"crop": [10.5, 10]}, "data.crop does not fit.*integer"),
        ({"crop": [0, 10]}, r"data.crop=\[0, 10\] is not a size"),
        ({"crop": 10}, "data.crop=10 has to be two numbers"),
        ({"crop": "10,10"}, "data.crop=10,10 has to be two numbers"),
        ({"scale": [2.0, 0.5]}, r"data.scale=\[2.0, 0.5\] is not a range"),
        ({"scale": [0, 1]}, r"data.scale=\[0, 1\] is not a range"),
    ],
)
def test_wrong_arguments_are_named(arguments, part):
    with pytest.raises(ConfigError, match=part):
        TrainTransform(**{"crop": [10, 10], **arguments})

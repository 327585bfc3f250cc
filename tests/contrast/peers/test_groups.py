"""The draw of equally many pixels from every (image, class) pair."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from contextrast.contrast.peers import GroupSampler
from contextrast.contrast.stages import StagePixels
from contextrast.errors import ConfigError
from tests.contrast.cases import label_maps
from tests.contrast.peers.reference import groups


def stage(seed=0, batch=2, size=(9, 11), num_classes=4, number=0, error=0.4, patch=3, ignored=0.2):
    """Pixels whose embedding has the direction (position, 1)."""
    generator = torch.Generator().manual_seed(seed)
    target, prediction = label_maps(generator, batch, *size, num_classes, error, ignored, patch)
    position = torch.arange(target.numel(), dtype=torch.float64).view(batch, 1, *size)
    embeddings = torch.cat([position, torch.ones_like(position)], 1)
    return StagePixels(embeddings, target.masked_fill(target == 255, num_classes), prediction, num_classes, number)


def drawn_by_group(sampler, pixels):
    """Positions drawn for each (image, class), in the order of slots."""
    positions, classes = sampler.draw(pixels)
    found = {}
    for position, label in zip(positions.tolist(), classes.tolist()):
        if label < pixels.num_classes:
            image = position // (pixels.grid[1] * pixels.grid[2])
            found.setdefault((image, label), []).append(position)
    return found


@pytest.mark.parametrize("hard_half", [True, False])
@given(
    seed=st.integers(0, 10**6),
    batch=st.integers(1, 3),
    size=st.tuples(st.integers(1, 10), st.integers(1, 10)),
    num_classes=st.integers(1, 5),
    min_pixels=st.integers(1, 12),
    max_views=st.integers(1, 12),
    max_samples=st.integers(15, 80),
    error=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
)
@settings(max_examples=80, deadline=None)
def test_every_group_gives_equally_many(
    hard_half, seed, batch, size, num_classes, min_pixels, max_views, max_samples, error
):
    pixels = stage(seed, batch, size, num_classes, error=error)
    sampler = GroupSampler(min_pixels, max_views, max_samples, hard_half, seed)
    expected = groups(pixels.classes.numpy(), num_classes, min_pixels)
    found = drawn_by_group(sampler, pixels)
    assert found.keys() == expected.keys()
    if not expected:
        return
    views = min(max_samples // len(expected), max_views, *(len(members) for members in expected.values()))
    wrong = (pixels.classes != pixels.predictions).flatten().numpy()
    for group, positions in found.items():
        assert len(positions) == len(set(positions)) == views
        assert set(positions) <= expected[group]
        if hard_half:
            hard = sum(wrong[position] for position in expected[group])
            easy = len(expected[group]) - hard
            wanted = views // 2  # hard ones, unless one side is short
            wanted = hard if hard < wanted else max(wanted, views - easy)
            assert sum(wrong[position] for position in positions) == wanted


@pytest.mark.parametrize("hard_half", [True, False])
def test_draws_are_uniform_within_a_group(hard_half):
    """Each of a side's pixels is drawn about equally often over many steps (five deviations around the mean)."""
    classes = torch.zeros(2, 5, 8, dtype=torch.long)
    classes[1] = 1
    predictions = classes.clone()
    predictions[:, :3] = 2  # 24 hard and 16 easy pixels in each image
    pixels = StagePixels(torch.zeros(*classes[:, None].shape), classes, predictions, 3, 0)
    sampler = GroupSampler(11, 10, 20, hard_half)
    counts = np.zeros(80)
    for _ in range(800):
        for positions in drawn_by_group(sampler, pixels).values():
            counts[positions] += 1
        sampler.update()
    share = np.where(np.arange(40) < 24, 5 / 24, 5 / 16) if hard_half else np.full(40, 10 / 40)
    deviation = np.sqrt(800 * share * (1 - share))
    assert (np.abs(counts.reshape(2, 40) - 800 * share) < 5 * deviation).all()


def test_draws_are_a_function_of_seed_step_and_stage():
    pixels = stage(size=(30, 30))
    sampler = GroupSampler(5, 6, 1000, False, seed=3)
    first = sampler.draw(pixels)[0]
    torch.testing.assert_close(GroupSampler(5, 6, 1000, False, seed=3).draw(pixels)[0], first, rtol=0, atol=0)
    restored = GroupSampler(5, 6, 1000, False, seed=3)
    sampler.update()
    restored.load_state_dict(sampler.state_dict())
    torch.testing.assert_close(restored.draw(pixels)[0], sampler.draw(pixels)[0], rtol=0, atol=0)
    for other in (
        sampler.draw(pixels)[0],
        GroupSampler(5, 6, 1000, False, seed=4).draw(pixels)[0],
        GroupSampler(5, 6, 1000, False, seed=3).draw(pixels._replace(stage=1))[0],
    ):
        assert (other != first).any()


def test_samples_are_the_drawn_pixels_and_know_which_are_wrong():
    pixels = stage()
    sampler = GroupSampler(5, 6, 1000, True)
    samples, wrong = sampler(pixels)
    positions, classes = sampler.draw(pixels)
    assert samples.filled.any()
    assert not samples.filled.all()
    filled = samples.filled
    torch.testing.assert_close(
        (samples.embeddings[:, 0] / samples.embeddings[:, 1])[filled], positions[filled].double()
    )
    torch.testing.assert_close(samples.classes, classes)
    torch.testing.assert_close(pixels.classes.flatten()[positions[filled]], classes[filled])
    torch.testing.assert_close(wrong[filled], (pixels.classes != pixels.predictions).flatten()[positions[filled]])
    assert not wrong[~filled].any()


@pytest.mark.parametrize("why", ["ignored", "rare"])
def test_without_groups_all_slots_are_empty(why):
    pixels = stage(ignored=1.0) if why == "ignored" else stage()
    samples, wrong = GroupSampler(10**6 if why == "rare" else 1, 6, 1000, True)(pixels)
    assert not samples.filled.any()
    assert not wrong.any()


def test_more_groups_than_samples_give_one_pixel_each_to_the_first():
    pixels = stage(batch=3, size=(20, 20), ignored=0.0)
    found = drawn_by_group(GroupSampler(1, 6, 5, False), pixels)
    assert list(found) == list(groups(pixels.classes.numpy(), 4, 1))[:5]
    assert {len(positions) for positions in found.values()} == {1}


@pytest.mark.parametrize("name", ["min_pixels", "max_views", "max_samples"])
def test_numbers_that_are_not_positive_are_refused(name):
    with pytest.raises(ConfigError, match=name):
        GroupSampler(**{"min_pixels": 1, "max_views": 1, "max_samples": 1, "hard_half": True, name: 0})

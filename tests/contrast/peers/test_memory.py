"""The memory of pixels and regions: what is stored, and what the released one gets wrong."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from contextrast.contrast.peers import PixelMemory
from contextrast.contrast.stages import StagePixels, as_rows
from contextrast.errors import ConfigError
from tests.contrast.cases import entries_of, label_maps


def tagged(seed, num_classes, batch=2, size=(8, 9), dim=6, error=0.5):
    """Pixels in unit length that carry their true class in the first value, whatever is predicted."""
    generator = torch.Generator().manual_seed(seed)
    target, prediction = label_maps(generator, batch, *size, num_classes, error, 0.2, patch=2)
    classes = target.masked_fill(target == 255, num_classes)
    rest = torch.nn.functional.normalize(
        torch.randn(classes.numel(), dim - 1, generator=generator, dtype=torch.float64), dim=1
    )
    tag = (classes.flatten().double() + 1) / 20
    rows = torch.cat([tag[:, None], rest * (1 - tag[:, None] ** 2).sqrt()], 1)
    maps = rows.view(batch, *size, dim).permute(0, 3, 1, 2)
    return StagePixels(maps, classes, prediction, num_classes, 0)


@given(
    seed=st.integers(0, 10**6), num_classes=st.integers(1, 6), size=st.integers(1, 30), pixels_a_step=st.integers(1, 12)
)
@settings(max_examples=40, deadline=None)
def test_classes_are_never_mixed(seed, num_classes, size, pixels_a_step):
    """A pixel's first value tells its class, so each stored pixel and region does, class 0's too."""
    memory = PixelMemory(num_classes, 6, size, pixels_a_step, seed).double()
    occurred = set()
    for step in range(3):
        pixels = tagged(seed + step, num_classes)
        memory.observe(pixels)
        memory.update()
        occurred |= set(pixels.classes.unique().tolist()) - {num_classes}
    for label in range(num_classes):
        tag = (label + 1) / 20
        stored = [int(value) for value in memory.stored[:, label]]
        assert (stored[0] > 0, stored[1] > 0) == (label in occurred,) * 2
        held_pixels = memory.queues[1, label][memory.filled()[1, label]]
        torch.testing.assert_close(held_pixels[:, 0], torch.full_like(held_pixels[:, 0], tag))
        held_regions = memory.queues[0, label][memory.filled()[0, label]]
        assert (held_regions[:, 0] >= tag - 1e-9).all()  # the mean is scaled up to unit length
        for held in (held_pixels, held_regions):
            torch.testing.assert_close(held.norm(dim=1), torch.ones(len(held), dtype=torch.float64))
        assert (memory.queues[:, label][~memory.filled()[:, label]] == 0).all()


def test_regions_are_the_means_of_each_image_and_pixels_are_drawn_without_repeats():
    pixels, memory = tagged(0, 3), PixelMemory(3, 6, 50, 10).double()
    memory.observe(pixels)
    memory.update()
    rows, labels = as_rows(pixels.embeddings).numpy().reshape(2, -1, 6), pixels.classes.numpy().reshape(2, -1)
    for label in range(3):
        means = [rows[b][labels[b] == label].mean(0) for b in range(2) if (labels[b] == label).any()]
        means = [mean / np.linalg.norm(mean) for mean in means]
        held = entries_of(memory.queues[0, label], int(memory.stored[0, label]))
        np.testing.assert_allclose(held, means, atol=1e-12)
        drawn = entries_of(memory.queues[1, label], int(memory.stored[1, label]))
        own = as_rows(pixels.embeddings)[pixels.classes.flatten() == label].numpy()
        assert len(drawn) == min(10, len(own))
        nearest = [np.abs(own - row).max(1) for row in np.array(drawn).reshape(-1, 6)]  # brought to unit length again
        assert all(distance.min() < 1e-12 for distance in nearest)
        assert len({int(distance.argmin()) for distance in nearest}) == len(drawn)


def test_every_slot_is_used_before_one_is_overwritten():
    """The pointer moves by what was stored: four steps of two pixels fill eight slots in order."""
    classes = torch.zeros(1, 1, 2, dtype=torch.long)
    memory = PixelMemory(1, 3, 8, 2)
    seen = []
    for step in range(5):
        rows = torch.nn.functional.normalize(torch.tensor([[1.0, step, 0], [1, 0, step]]), dim=1)
        memory.observe(StagePixels(rows.T.view(1, 3, 1, 2), classes, classes, 1, 0))
        memory.update()
        seen.append(memory.queues[1, 0].clone())
        assert int(memory.filled()[1].sum()) == min(8, 2 * (step + 1))
    for earlier, later, step in zip(seen[:3], seen[1:4], range(3)):
        torch.testing.assert_close(later[: 2 * step + 2], earlier[: 2 * step + 2])
    torch.testing.assert_close(seen[4][2:], seen[3][2:])
    assert (seen[4][:2] != seen[3][:2]).any()


def test_keys_are_the_filled_slots():
    memory = PixelMemory(3, 6, 4, 2).double()
    assert not memory.keys().filled.any()
    memory.observe(tagged(0, 3))
    assert not memory.keys().filled.any()  # not before the optimiser has stepped
    memory.update()
    keys = memory.keys()
    torch.testing.assert_close(keys.filled, memory.filled().flatten())
    torch.testing.assert_close(keys.embeddings.norm(dim=1) > 0, keys.filled)


def test_ignored_pixels_are_not_stored():
    pixels = tagged(0, 3)
    memory = PixelMemory(3, 6, 4).double()
    memory.observe(pixels._replace(classes=torch.full_like(pixels.classes, 3)))
    memory.update()
    assert (memory.stored == 0).all()
    assert (memory.queues == 0).all()


def test_a_restored_memory_goes_on_as_the_saved_one():
    memory, restored = PixelMemory(3, 6, 7, 4).double(), PixelMemory(3, 6, 7, 4).double()
    for step in range(3):
        memory.observe(tagged(step, 3))
        memory.update()
    restored.load_state_dict(memory.state_dict())
    for part in (memory, restored):
        part.observe(tagged(9, 3))
        part.update()
    assert restored.state_dict().keys() == {"queues", "stored", "step"}
    for name, value in memory.state_dict().items():
        torch.testing.assert_close(restored.state_dict()[name], value, rtol=0, atol=0)


def test_what_is_stored_is_detached():
    pixels, memory = tagged(0, 3), PixelMemory(3, 6, 7).double()
    memory.observe(pixels._replace(embeddings=pixels.embeddings.requires_grad_()))
    memory.update()
    assert not memory.queues.requires_grad
    assert not memory.keys().embeddings.requires_grad


@pytest.mark.parametrize("name", ["size", "pixels_a_step"])
def test_numbers_that_are_not_positive_are_refused(name):
    with pytest.raises(ConfigError, match=name):
        PixelMemory(3, **{name: 0})


def test_another_width_of_embeddings_is_refused():
    with pytest.raises(ConfigError, match="embedding_dim"):
        PixelMemory(3, 5).observe(tagged(0, 3))

"""The samplings that BANE is compared with."""

import numpy as np
import pytest
import torch

from contextrast.contrast import BoundaryAwareNegatives, RandomNegatives, SemiHardNegatives
from contextrast.contrast.sampling import draw, other_class
from contextrast.contrast.stages import StagePixels, as_rows
from tests.contrast.cases import label_maps, unit_embeddings


def stage(seed=0, num_classes=4, size=(20, 24), batch=3, number=0):
    generator = torch.Generator().manual_seed(seed)
    target, prediction = label_maps(generator, batch, *size, num_classes)
    classes = target.masked_fill(target == 255, num_classes)
    (embeddings,) = unit_embeddings(generator, batch, 6, [size])
    anchors = torch.nn.functional.normalize(
        torch.randn(num_classes, 6, generator=generator, dtype=torch.float64), dim=1
    )
    return StagePixels(embeddings, classes, prediction, num_classes, number), anchors


def drawn(sampler, pixels, anchors):
    return draw(sampler.candidates(pixels, anchors), sampler.keys(pixels), sampler.budget(pixels))


@pytest.mark.parametrize("error_map", ["predicted", "others", "literal"])
@pytest.mark.parametrize("sampler_class", [RandomNegatives, SemiHardNegatives])
def test_as_many_as_bane_takes_where_there_are_enough(sampler_class, error_map):
    pixels, anchors = stage()
    sampler = sampler_class(error_map=error_map)
    taken = drawn(sampler, pixels, anchors)
    selected = BoundaryAwareNegatives(error_map=error_map).select(pixels.classes, pixels.predictions, 4, None)
    for b in range(3):
        for n in range(4):
            bane = (selected[b] >= 0) & (selected[b] != n) if error_map == "others" else selected[b] == n
            available = int(sampler.candidates(pixels, anchors)[b, n].sum())
            assert int(taken[b, n].sum()) == min(int(bane.sum()), available)
            labels = pixels.classes[b][taken[b, n]]
            assert ((labels != n) & (labels < 4)).all()


def test_semi_hard_candidates_are_the_most_similar_tenth():
    pixels, anchors = stage(1)
    candidates = SemiHardNegatives().candidates(pixels, anchors)
    similarity = (as_rows(pixels.embeddings) @ anchors.T).numpy().reshape(3, -1, 4)
    eligible = other_class(pixels.classes, 4)
    for b in range(3):
        for n in range(4):
            allowed = eligible[b, n].flatten().numpy()
            number = int(np.ceil(allowed.sum() / 10))
            threshold = np.sort(similarity[b, allowed, n])[::-1][number - 1] if number else np.inf
            expected = allowed & (similarity[b, :, n] >= threshold)
            np.testing.assert_array_equal(candidates[b, n].flatten().numpy(), expected)


def test_draws_are_uniform_without_replacement():
    """Each of 30 candidates is drawn about equally often over many steps (five standard deviations around the mean)."""
    candidates = torch.zeros(1, 1, 5, 8, dtype=torch.bool)
    candidates[0, 0].view(-1)[:30] = True
    sampler = RandomNegatives()
    pixels = StagePixels(
        torch.zeros(1, 2, 5, 8), torch.zeros(1, 5, 8, dtype=torch.long), torch.zeros(1, 5, 8).long(), 1, 0
    )
    counts = torch.zeros(40)
    for _ in range(1500):
        taken = draw(candidates, sampler.keys(pixels), torch.tensor([[6]]))
        assert int(taken.sum()) == 6
        counts += taken.flatten()
        sampler.update()
    assert counts[30:].sum() == 0
    expected, deviation = 1500 * 6 / 30, (1500 * 0.2 * 0.8) ** 0.5
    assert (counts[:30] - expected).abs().max() < 5 * deviation


def test_draws_are_a_function_of_seed_step_stage_and_image():
    pixels, _ = stage()
    keys = RandomNegatives(seed=3).keys(pixels)
    torch.testing.assert_close(RandomNegatives(seed=3).keys(pixels), keys, rtol=0, atol=0)
    moved = RandomNegatives(seed=3)
    moved.update()
    others = [
        RandomNegatives(seed=4).keys(pixels),
        moved.keys(pixels),
        RandomNegatives(seed=3).keys(pixels._replace(stage=1)),
    ]
    assert all(float((other == keys).double().mean()) < 0.01 for other in [*others, keys.roll(1, 0)])


def test_a_restored_sampler_draws_as_the_saved_one():
    pixels, _ = stage()
    sampler = RandomNegatives(seed=5)
    for _ in range(3):
        sampler.update()
    restored = RandomNegatives(seed=5)
    restored.load_state_dict(sampler.state_dict())
    torch.testing.assert_close(restored.keys(pixels), sampler.keys(pixels), rtol=0, atol=0)

"""The contrast of pairs against loops over samples."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from contextrast.contrast.peers import Samples, pair_contrast, pairs
from contextrast.contrast.peers.diagnostics import mean_cosines
from tests.contrast.peers.reference import cosines, samples_contrast


def made(seed, number, num_classes, empty=0.2, dim=5, dtype=torch.float64):
    """Unit-length samples, some of whose slots are empty."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.nn.functional.normalize(torch.randn(number, dim, generator=generator, dtype=dtype), dim=1)
    classes = torch.randint(num_classes, (number,), generator=generator)
    void = torch.rand(number, generator=generator) < empty
    return Samples(rows.requires_grad_(), classes.masked_fill(void, num_classes), num_classes)


cases = given(
    seed=st.integers(0, 10**6),
    number=st.integers(1, 14),
    keys=st.none() | st.integers(1, 14),
    num_classes=st.integers(1, 5),
    temperature=st.sampled_from([0.02, 0.07, 0.1, 1.0]),
    empty=st.sampled_from([0.0, 0.3, 1.0]),
)


@cases
@settings(max_examples=80, deadline=None)
def test_loss_is_that_of_loops_over_samples(seed, number, keys, num_classes, temperature, empty):
    anchors = made(seed, number, num_classes, empty)
    others = None if keys is None else made(seed + 1, keys, num_classes, empty)
    loss = pair_contrast(anchors, others, temperature)
    assert loss.item() == pytest.approx(samples_contrast(anchors, others, temperature), rel=1e-9, abs=1e-12)


@cases
@settings(max_examples=40, deadline=None)
def test_cosines_are_those_of_loops_over_pairs(seed, number, keys, num_classes, temperature, empty):
    anchors = made(seed, number, num_classes, empty)
    others = None if keys is None else made(seed + 1, keys, num_classes, empty)
    found = [float(value) for value in mean_cosines(anchors, others)]
    assert found == pytest.approx(cosines(anchors, others), abs=1e-9)


@pytest.mark.parametrize("among_themselves", [True, False])
@pytest.mark.parametrize("temperature", [0.1, 0.7])
def test_gradient_is_that_of_finite_differences(among_themselves, temperature):
    anchors, keys = made(0, 9, 3), made(1, 7, 3)

    def loss(rows, key_rows):
        others = None if among_themselves else keys._replace(embeddings=key_rows)
        return pair_contrast(anchors._replace(embeddings=rows), others, temperature)

    assert torch.autograd.gradcheck(loss, (anchors.embeddings, keys.embeddings))


@pytest.mark.parametrize("among_themselves", [True, False])
@pytest.mark.parametrize(("rows", "cached"), [(1, 1), (7, 40), (10, 1000), (1000, 60)])
def test_blocks_do_not_change_the_result(monkeypatch, among_themselves, rows, cached):
    results = []
    for sizes in ((1000, 10**6), (rows, cached)):
        monkeypatch.setattr(pairs, "_BLOCK_ROWS", sizes[0])
        monkeypatch.setitem(pairs._BLOCK_PAIRS, "cpu", 1)
        monkeypatch.setitem(pairs._CACHE_PAIRS, "cpu", sizes[1])
        anchors, keys = made(0, 23, 4), made(1, 17, 4)
        loss = pair_contrast(anchors, None if among_themselves else keys, 0.1)
        wanted = [anchors.embeddings] if among_themselves else [anchors.embeddings, keys.embeddings]
        results.append([loss, *torch.autograd.grad(loss, wanted)])
    torch.testing.assert_close(results[1], results[0], rtol=1e-12, atol=1e-12)


def test_a_class_drawn_once_is_left_out_and_nothing_is_nan():
    """One sample a class, as with one view a group: no anchor has a positive."""
    rows = torch.eye(4, dtype=torch.float64, requires_grad=True)
    loss = pair_contrast(Samples(rows, torch.arange(4), 4), None, 0.1)
    loss.backward()
    assert loss == 0
    assert (rows.grad == 0).all()


def test_a_single_class_has_no_negatives_and_adds_nothing():
    anchors = made(0, 6, 1, 0.0)
    loss = pair_contrast(anchors, None, 0.1)
    loss.backward()
    assert loss == 0
    assert (anchors.embeddings.grad == 0).all()


def test_what_empty_slots_hold_does_not_matter():
    anchors, keys = made(0, 12, 3, 0.4), made(1, 12, 3, 0.4)
    results = []
    for filling in (0.0, 0.9):
        parts = [
            part._replace(embeddings=torch.where(part.filled[:, None], part.embeddings.detach(), filling))
            for part in (anchors, keys)
        ]
        results.append(torch.stack([pair_contrast(parts[0], None, 0.1), pair_contrast(*parts, 0.1)]))
    torch.testing.assert_close(results[0], results[1])


def test_float32_and_cold_temperatures_stay_finite():
    anchors = made(0, 40, 4, dtype=torch.float32)
    for temperature in (0.005, 0.01, 0.05):
        loss = pair_contrast(anchors, None, temperature)
        (grad,) = torch.autograd.grad(loss, [anchors.embeddings])
        assert torch.isfinite(grad).all()
        assert loss.item() == pytest.approx(samples_contrast(anchors, None, temperature), rel=1e-4)


def test_without_gradients_the_loss_is_the_same():
    anchors, keys = made(0, 12, 3), made(1, 12, 3)
    with torch.no_grad():
        alone = pair_contrast(anchors, keys, 0.1)
    torch.testing.assert_close(alone, pair_contrast(anchors, keys, 0.1).detach())
    frozen = keys._replace(embeddings=keys.embeddings.detach())
    pair_contrast(anchors, frozen, 0.1).backward()
    assert anchors.embeddings.grad.abs().sum() > 0
    assert frozen.embeddings.grad is None

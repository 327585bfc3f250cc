"""The anchor memory: queues, designs, selections and the anchor-anchor loss, each against a slow loop."""

from collections import deque

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from contextrast.benchmarks.operations import Operations
from contextrast.contrast import (
    AnchorMemory,
    BatchAnchors,
    ContextrastLoss,
    ContextualContrast,
    anchor_anchor_loss,
)
from contextrast.contrast.memory import DESIGNS, PIXELS_A_STEP, SELECTIONS
from contextrast.contrast.stages import StagePixels, to_grid
from contextrast.errors import ConfigError
from tests.contrast.cases import label_maps, unit_embeddings
from tests.contrast.reference import anchors_of, on_grid

SIZES = ((16, 20), (8, 10), (4, 5))


def batch_of(seed, num_classes=5, dim=6, missing_deep=None, dtype=torch.float64):
    """Embeddings and target; ``missing_deep`` is a class of a few pixels that the coarser grids lose."""
    generator = torch.Generator().manual_seed(seed)
    target, prediction = label_maps(generator, 2, 64, 80, num_classes, patch=8)
    if missing_deep is not None:
        target[target == missing_deep] = 0
        target[:, 2:4, 2:4] = missing_deep
    return unit_embeddings(generator, 2, dim, SIZES, dtype), target, prediction


def anchors_by_loop(embeddings, target, num_classes):
    """A list over stages of {class: anchor}, before fusion."""
    return [anchors_of(e.numpy(), on_grid(target, *e.shape[2:]), num_classes) for e in embeddings]


def selected_by_loop(stages, selection, num_classes):
    """S(c) of every class that occurs, at unit length."""
    chosen = {}
    for c in range(num_classes):
        found = [anchors[c] for anchors in stages if c in anchors]
        if found:
            value = {"deepest": found[-1], "earliest": found[0], "average": np.mean(found, 0)}[selection]
            chosen[c] = value / np.linalg.norm(value)
    return chosen


def loss_by_loop(queries, queues, temperature):
    """Contextrast++, Eq. 10, in the form of Eq. 4."""
    losses = []
    for c, query in queries.items():
        if not queues[c]:
            continue
        negative = [np.exp(query @ entry / temperature) for n, queue in queues.items() if n != c for entry in queue]
        positive = [np.exp(query @ entry / temperature) for entry in queues[c]]
        losses.append(np.mean([-np.log(p / (p + sum(negative))) for p in positive]))
    return float(np.mean(losses)) if losses else 0.0


@pytest.mark.parametrize("selection", SELECTIONS)
@given(seed=st.integers(0, 10**6), num_classes=st.integers(1, 6), size=st.integers(1, 4))
@settings(max_examples=10, deadline=None)
def test_loss_over_steps_is_the_loop(selection, seed, num_classes, size):
    contrast = ContextualContrast(
        num_classes, (0.1, 0.5, 1.0), memory=AnchorMemory(num_classes, 6, size, selection=selection).double()
    )
    queues = {c: deque(maxlen=size) for c in range(num_classes)}
    for step in range(4):
        embeddings, target, prediction = batch_of(seed + step, num_classes, missing_deep=(0, None)[step % 2])
        queries = selected_by_loop(anchors_by_loop(embeddings, target, num_classes), selection, num_classes)
        loss = contrast(embeddings, target, prediction)["anchor_anchor"]
        assert float(loss) == pytest.approx(loss_by_loop(queries, queues, 0.1), abs=1e-10)
        contrast.update()
        for c, query in queries.items():
            queues[c].append(query)
    for c, queue in queues.items():
        stored = contrast.memory.queues[c][contrast.memory.filled()[c]]
        assert sorted(map(tuple, stored.round(decimals=9).tolist())) == sorted(
            tuple(np.round(entry, 9) + 0.0) for entry in queue
        )


def test_nothing_is_stored_or_lost_before_the_first_update():
    embeddings, target, prediction = batch_of(0)
    contrast = ContextualContrast(5, (0.1, 0.5, 1.0), memory=AnchorMemory(5, 6).double())
    inputs = [embedding.requires_grad_() for embedding in embeddings]
    loss = contrast(inputs, target, prediction)["anchor_anchor"]
    assert loss == 0
    loss.backward()  # connected
    assert all((embedding.grad == 0).all() for embedding in inputs)
    assert contrast.memory.stored.sum() == 0
    contrast.update()
    assert contrast.memory.stored.tolist() == [1] * 5
    contrast.update()  # no forward in between: nothing new
    assert contrast.memory.stored.tolist() == [1] * 5


def test_evaluation_stores_nothing():
    embeddings, target, prediction = batch_of(0)
    contrast = ContextualContrast(5, (0.1, 0.5, 1.0), memory=AnchorMemory(5, 6).double()).eval()
    contrast(embeddings, target, prediction)
    contrast.update()
    assert contrast.memory.stored.sum() == 0


def entries_by_loop(design, embeddings, target, num_classes):
    """What a step stores, as {class: list of unit vectors}; for ``pixel`` all pixels that may be drawn."""
    stages = anchors_by_loop(embeddings, target, num_classes)
    entries = {c: [] for c in range(num_classes)}
    for c in range(num_classes):
        holding = [i for i, anchors in enumerate(stages) if c in anchors]
        if not holding:
            continue
        if design == "pixel":
            rows = embeddings[holding[-1]].permute(0, 2, 3, 1).numpy()
            entries[c] = list(rows[on_grid(target, *rows.shape[1:3]) == c])
            continue
        last = len(stages) - 1
        taken = {"class_prioritised": holding[-1:], "earliest": [i for i in holding if i == 0],
                 "deepest": [i for i in holding if i == last], "all": holding}[design]  # fmt: skip
        entries[c] = [stages[i][c] / np.linalg.norm(stages[i][c]) for i in taken]
    return entries


@pytest.mark.parametrize("design", DESIGNS)
@given(seed=st.integers(0, 10**6))
@settings(max_examples=8, deadline=None)
def test_every_design_stores_what_it_says_and_never_mixes_classes(design, seed):
    embeddings, target, prediction = batch_of(seed, missing_deep=2)
    contrast = ContextualContrast(5, (0.1, 0.5, 1.0), memory=AnchorMemory(5, 6, 50, design=design).double())
    contrast(embeddings, target, prediction)
    contrast.update()
    memory = contrast.memory
    for c, expected in entries_by_loop(design, embeddings, target, 5).items():
        stored = memory.queues[c][: int(memory.stored[c])].numpy()
        if design != "pixel":
            np.testing.assert_allclose(stored, np.array(expected).reshape(-1, 6), atol=1e-12)
            continue
        assert len(stored) == min(PIXELS_A_STEP, len(expected))
        nearest = [np.abs(np.array(expected) - row).max(1) for row in stored]
        assert all(distance.min() < 1e-12 for distance in nearest)
        assert len({int(distance.argmin()) for distance in nearest}) == len(stored), "a pixel was drawn twice"


def test_pixels_differ_from_step_to_step():
    embeddings, target, prediction = batch_of(3)
    contrast = ContextualContrast(5, (0.1, 0.5, 1.0), memory=AnchorMemory(5, 6, 20, design="pixel").double())
    for _ in range(2):
        contrast(embeddings, target, prediction)
        contrast.update()
    first, second = contrast.memory.queues[:, :10], contrast.memory.queues[:, 10:]
    assert not torch.equal(first, second)


def test_gradient_of_the_loss_is_the_finite_difference():
    generator = torch.Generator().manual_seed(0)
    queues = torch.nn.functional.normalize(torch.randn(3, 4, 5, generator=generator, dtype=torch.float64), dim=2)
    filled = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)
    queries = torch.randn(3, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    present = torch.tensor([True, True, True])
    assert torch.autograd.gradcheck(lambda q: anchor_anchor_loss(q, present, queues, filled, 0.5), (queries,))


def test_a_query_without_negatives_adds_zero_and_counts():
    generator = torch.Generator().manual_seed(1)
    queues = torch.nn.functional.normalize(torch.randn(2, 3, 4, generator=generator), dim=2)
    queries = torch.nn.functional.normalize(torch.randn(2, 4, generator=generator), dim=1).requires_grad_()
    only_first = torch.tensor([[True] * 3, [False] * 3])
    loss = anchor_anchor_loss(queries, torch.tensor([True, True]), queues, only_first, 0.1)
    loss.backward()
    assert loss == 0
    assert torch.isfinite(queries.grad).all()


def test_diagnostics_are_cosines_and_shares():
    embeddings, target, prediction = batch_of(5)
    contrast = ContextualContrast(5, (0.1, 0.5, 1.0), memory=AnchorMemory(5, 6, 4).double())
    contrast(embeddings, target, prediction)
    contrast.update()
    queries = selected_by_loop(anchors_by_loop(embeddings, target, 5), "deepest", 5)
    values = contrast.diagnose(embeddings, target, prediction)
    cosines = np.array([[queries[c] @ queries[n] for n in queries] for c in queries])
    assert values["memory_filled"] == pytest.approx(0.25)
    assert values["memory_positive_cosine"] == pytest.approx(1.0)
    assert values["memory_negative_cosine"] == pytest.approx(cosines[~np.eye(5, dtype=bool)].mean())


def test_state_is_saved_and_moves_with_the_module():
    embeddings, target, prediction = batch_of(0, dtype=torch.float32)
    contrast = ContextualContrast(5, (0.1, 0.5, 1.0), memory=AnchorMemory(5, 6, 3))
    for _ in range(2):
        contrast(embeddings, target, prediction)
        contrast.update()
    again = ContextualContrast(5, (0.1, 0.5, 1.0), memory=AnchorMemory(5, 6, 3))
    again.load_state_dict(contrast.state_dict())
    assert {"memory.queues", "memory.stored", "memory.step"} <= set(contrast.state_dict())
    assert (
        contrast(embeddings, target, prediction)["anchor_anchor"]
        == again(embeddings, target, prediction)["anchor_anchor"]
    )
    assert {buffer.device.type for buffer in again.to("meta").buffers()} == {"meta"}


def test_the_whole_loss_adds_both_terms_and_completes_a_partial_memory():
    torch.manual_seed(0)
    _, target, _ = batch_of(0)
    features = [torch.randn(2, 4, *size) for size in SIZES]
    logits = torch.randn(2, 5, *target.shape[1:])
    loss = ContextrastLoss(5, [4, 4, 4], (0.1, 0.5, 1.0), alpha=0.3, embedding_dim=8, memory=AnchorMemory)
    loss(logits, target, features)
    loss.update()
    terms = loss(logits, target, features)
    assert terms["anchor_anchor"] > 0
    expected = terms["cross_entropy"] + 0.3 * (terms["pixel_anchor"] + terms["anchor_anchor"])
    torch.testing.assert_close(terms.total, expected)


@pytest.mark.parametrize("design", DESIGNS)
def test_no_host_reads(design):
    embeddings, target, prediction = batch_of(0, dtype=torch.float32)
    inputs = [embedding.requires_grad_() for embedding in embeddings]
    contrast = ContextualContrast(5, (0.1, 0.5, 1.0), memory=AnchorMemory(5, 6, 3, design=design))
    with Operations() as operations:
        for _ in range(2):
            torch.stack(list(contrast(inputs, target, prediction).values())).sum().backward()
            contrast.update()
    assert len(operations.names) > 100
    assert not operations.host_reads()


def test_all_ignored_is_a_connected_zero():
    embeddings, target, prediction = batch_of(0)
    inputs = [embedding.requires_grad_() for embedding in embeddings]
    contrast = ContextualContrast(5, (0.1, 0.5, 1.0), memory=AnchorMemory(5, 6).double())
    contrast(inputs, target, prediction)
    contrast.update()
    loss = contrast(inputs, torch.full_like(target, 255), prediction)["anchor_anchor"]
    loss.backward()
    assert loss == 0
    assert all(torch.isfinite(embedding.grad).all() for embedding in inputs)


@pytest.mark.parametrize(
    ("options", "named"),
    [({"size": 0}, "size"), ({"design": "stack"}, "class_prioritised"), ({"selection": "last"}, "earliest")],
)
def test_wrong_options_are_named(options, named):
    with pytest.raises(ConfigError, match=named):
        AnchorMemory(3, 4, **options)


def test_another_width_is_named():
    pixels = StagePixels(
        torch.randn(1, 6, 2, 2), to_grid(torch.zeros(1, 2, 2, dtype=torch.long), 2, 2),
        torch.zeros(1, 2, 2, dtype=torch.long), 3, 0,
    )  # fmt: skip
    batch = BatchAnchors([pixels], torch.zeros(1, 3, 6), torch.ones(1, 3, dtype=torch.bool))
    with pytest.raises(ConfigError, match=r"D = 4.*D = 6"):
        AnchorMemory(3, 4)(batch, 0.1)

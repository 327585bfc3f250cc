"""The contrastive term against the slow reference, and its properties."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from contextrast.contrast import (
    AllNegatives,
    BoundaryAwareNegatives,
    ContextualContrast,
    RandomNegatives,
    RunningAnchors,
    Stateful,
    StaticFusion,
)
from contextrast.errors import ConfigError
from tests.contrast.cases import every_sampling, label_maps, unit_embeddings
from tests.contrast.reference import anchors_of, on_grid, pixel_anchor, selected_regions

SIZES = ((16, 20), (8, 10), (4, 5), (2, 3))
WEIGHTS = (0.1, 0.4, 0.7, 1.0)


def make(seed, num_classes=5, batch=2, dim=6, sizes=SIZES, **options):
    generator = torch.Generator().manual_seed(seed)
    target, prediction = label_maps(generator, batch, 4 * sizes[0][0], 4 * sizes[0][1], num_classes, patch=8, **options)
    return unit_embeddings(generator, batch, dim, sizes), target, prediction


@pytest.fixture(autouse=True)
def compile_anew():
    """Of one function the compiler keeps few versions, however many tests ask for one."""
    torch.compiler.reset()


def numpied(embeddings):
    return [embedding.numpy() for embedding in embeddings]


@pytest.mark.parametrize("error_map", ["predicted", "others", "literal", "all"])
@given(
    seed=st.integers(0, 10**6), num_classes=st.integers(1, 6), percentage=st.integers(0, 100), normalize=st.booleans()
)
@settings(max_examples=15, deadline=None)
def test_loss_is_the_reference(error_map, seed, num_classes, percentage, normalize):
    embeddings, target, prediction = make(seed, num_classes)
    negatives = AllNegatives() if error_map == "all" else BoundaryAwareNegatives(percentage, error_map)
    contrast = ContextualContrast(
        num_classes, WEIGHTS, negatives=negatives, fusion=StaticFusion(0.3, 0.7), normalize_anchors=normalize
    )
    loss = contrast(embeddings, target, prediction)["pixel_anchor"]
    expected = pixel_anchor(
        numpied(embeddings), target.numpy(), prediction.numpy(), num_classes, WEIGHTS,
        percentage=percentage, error_map=error_map, weight_low=0.3, weight_high=0.7, normalize=normalize,
    )  # fmt: skip
    torch.testing.assert_close(loss, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("reduce_negatives", ["sum", "mean"])
@pytest.mark.parametrize("error_map", ["predicted", "others", "all"])
@given(seed=st.integers(0, 10**6), num_classes=st.integers(1, 6), weight=st.sampled_from([0.0, 0.3, 2.0]))
@settings(max_examples=8, deadline=None)
def test_options_of_the_partition_are_the_reference(error_map, reduce_negatives, seed, num_classes, weight):
    embeddings, target, prediction = make(seed, num_classes)
    negatives = AllNegatives() if error_map == "all" else BoundaryAwareNegatives(error_map=error_map)
    contrast = ContextualContrast(
        num_classes, WEIGHTS, negatives=negatives, anchor_negatives=weight, reduce_negatives=reduce_negatives
    )
    expected = pixel_anchor(
        numpied(embeddings), target.numpy(), prediction.numpy(), num_classes, WEIGHTS,
        error_map=error_map, anchor_negatives=weight, reduce_negatives=reduce_negatives,
    )  # fmt: skip
    loss = contrast(embeddings, target, prediction)["pixel_anchor"]
    torch.testing.assert_close(loss, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("reduce_negatives", ["sum", "mean"])
class TestAnchorNegatives:
    def test_no_present_class_is_silent(self, reduce_negatives):
        """Where nothing is mistaken BANE has no negatives: as published no class is pushed, with the option each is."""
        embeddings, target, _ = make(3)
        right = torch.where(target == 255, 0, target)
        pushed = []
        for weight in (0.0, 1.0):
            inputs = [embedding.clone().requires_grad_() for embedding in embeddings]
            contrast = ContextualContrast(5, WEIGHTS, anchor_negatives=weight, reduce_negatives=reduce_negatives)
            contrast(inputs, target, right)["pixel_anchor"].backward()
            classes = torch.nn.functional.interpolate(target[:, None].double(), SIZES[0], mode="nearest-exact")[:, 0]
            moved = inputs[0].grad.abs().sum(1)
            pushed.append([bool((moved[classes == n] > 0).all()) for n in range(5)])
        assert pushed == [[False] * 5, [True] * 5]

    def test_gradient_is_the_finite_difference(self, reduce_negatives):
        embeddings, target, prediction = make(0, 3, dim=3, sizes=((4, 6), (2, 3)))
        contrast = ContextualContrast(
            3, (0.4, 1.0), temperature=0.5, anchor_negatives=0.7, reduce_negatives=reduce_negatives
        )
        inputs = tuple(embedding.requires_grad_() for embedding in embeddings)
        assert torch.autograd.gradcheck(
            lambda *e: contrast(e, target, prediction)["pixel_anchor"], inputs, rtol=1e-6, atol=1e-9
        )

    @pytest.mark.parametrize("target", [torch.full((2, 64, 80), 255), torch.zeros(2, 64, 80, dtype=torch.long)])
    def test_fewer_than_two_classes_give_a_finite_connected_zero(self, reduce_negatives, target):
        embeddings, _, _ = make(1)
        inputs = [embedding.requires_grad_() for embedding in embeddings]
        contrast = ContextualContrast(5, WEIGHTS, anchor_negatives=1.0, reduce_negatives=reduce_negatives)
        loss = contrast(inputs, target, torch.zeros_like(target))["pixel_anchor"]
        loss.backward()
        assert loss == 0
        assert all(torch.isfinite(e.grad).all() for e in inputs)

    def test_compiled_in_one_graph_it_is_the_same(self, reduce_negatives):
        embeddings, target, prediction = make(2, sizes=((8, 8), (4, 4)))
        contrast = ContextualContrast(5, (0.4, 1.0), anchor_negatives=1.0, reduce_negatives=reduce_negatives)
        compiled = torch.compile(contrast, fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled(embeddings, target, prediction), contrast(embeddings, target, prediction))


@every_sampling
class TestEverySampling:
    def test_gradient_is_the_finite_difference(self, negatives):
        sizes = ((4, 6), (2, 3))
        embeddings, target, prediction = make(0, 3, dim=3, sizes=sizes)
        contrast = ContextualContrast(3, (0.4, 1.0), temperature=0.5, negatives=negatives)
        inputs = tuple(embedding.requires_grad_() for embedding in embeddings)
        assert torch.autograd.gradcheck(
            lambda *e: contrast(e, target, prediction)["pixel_anchor"], inputs, rtol=1e-6, atol=1e-9
        )

    @pytest.mark.parametrize("case", ["no_error", "one_class", "ignored", "missing_deep", "batch_of_one"])
    def test_degenerate_batches_give_a_finite_connected_loss(self, negatives, case):
        embeddings, target, prediction = make(1, batch=1 if case == "batch_of_one" else 2)
        if case == "no_error":
            prediction = torch.where(target == 255, 0, target)
        elif case == "one_class":
            target = torch.full_like(target, 2)
        elif case == "ignored":
            target = torch.full_like(target, 255)
        elif case == "missing_deep":
            target, prediction = target.clone(), prediction.clone()
            target[:, :3, :3] = 4
            target[:, 4:][target[:, 4:] == 4] = 0
        inputs = [embedding.requires_grad_() for embedding in embeddings]
        loss = ContextualContrast(5, WEIGHTS, negatives=negatives)(inputs, target, prediction)["pixel_anchor"]
        loss.backward()
        assert torch.isfinite(loss)
        assert loss >= 0
        assert all(torch.isfinite(e.grad).all() for e in inputs)
        if case in ("no_error", "one_class") and isinstance(negatives, BoundaryAwareNegatives):
            assert (loss > 0) == (case == "one_class" and negatives.error_map == "literal")
        if case == "ignored":
            assert loss == 0
            assert all((e.grad == 0).all() for e in inputs)

    def test_compiled_in_one_graph_it_is_the_same(self, negatives):
        embeddings, target, prediction = make(2, sizes=((8, 8), (4, 4)))
        contrast = ContextualContrast(5, (0.4, 1.0), negatives=negatives)
        results = []
        for function in (contrast, torch.compile(contrast, fullgraph=True, backend="eager")):
            inputs = [embedding.clone().requires_grad_() for embedding in embeddings]
            loss = function(inputs, target, prediction)["pixel_anchor"]
            results.append((loss.detach(), *torch.autograd.grad(loss, inputs)))
        torch.testing.assert_close(results[0], results[1])


@pytest.mark.slow
def test_compiled_by_inductor_it_is_the_same():
    embeddings, target, prediction = make(2, sizes=((8, 8), (4, 4)))
    contrast = ContextualContrast(5, (0.4, 1.0))
    results = []
    for function in (contrast, torch.compile(contrast, fullgraph=True)):
        inputs = [embedding.clone().requires_grad_() for embedding in embeddings]
        loss = function(inputs, target, prediction)["pixel_anchor"]
        results.append((loss.detach(), *torch.autograd.grad(loss, inputs)))
    torch.testing.assert_close(results[0], results[1])


@given(seed=st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_order_of_images_and_names_of_classes_do_not_matter(seed):
    embeddings, target, prediction = make(seed, num_classes=4, batch=3)
    contrast = ContextualContrast(4, WEIGHTS)
    loss = contrast(embeddings, target, prediction)["pixel_anchor"]
    images = torch.randperm(3, generator=torch.Generator().manual_seed(seed))
    shuffled = contrast([e[images] for e in embeddings], target[images], prediction[images])["pixel_anchor"]
    torch.testing.assert_close(shuffled, loss)
    names = torch.cat([torch.randperm(4, generator=torch.Generator().manual_seed(seed)), torch.full((252,), 255)])
    renamed = contrast(embeddings, names[target], names[prediction])["pixel_anchor"]
    torch.testing.assert_close(renamed, loss)


def test_ignored_pixels_change_nothing():
    embeddings, target, prediction = make(5)
    contrast = ContextualContrast(5, WEIGHTS)
    loss = contrast(embeddings, target, prediction)["pixel_anchor"]
    ignored = target == 255
    noise = torch.randint(5, prediction.shape, generator=torch.Generator().manual_seed(0))
    changed = []
    for embedding in embeddings:
        cell = torch.nn.functional.interpolate(
            ignored[:, None].double(), size=embedding.shape[2:], mode="nearest-exact"
        )
        changed.append(torch.where(cell.bool(), torch.roll(embedding, 1, 1), embedding))
    other = contrast(changed, target, torch.where(ignored, noise, prediction))["pixel_anchor"]
    assert ignored.any()
    torch.testing.assert_close(other, loss, rtol=0, atol=0)


def test_another_ignore_index_and_none_at_all():
    embeddings, target, prediction = make(6, num_classes=4)
    expected = ContextualContrast(4, WEIGHTS)(embeddings, target, prediction)["pixel_anchor"]
    zero_first = torch.where(target == 255, 0, target + 1)  # 0 is void, as in many tools
    moved = ContextualContrast(5, WEIGHTS, ignore_index=0)(embeddings, zero_first, prediction + 1)["pixel_anchor"]
    torch.testing.assert_close(moved, expected)
    filled = torch.where(target == 255, 3, target)
    everything = ContextualContrast(4, WEIGHTS, ignore_index=None)(embeddings, filled, prediction)["pixel_anchor"]
    torch.testing.assert_close(
        everything, ContextualContrast(4, WEIGHTS)(embeddings, filled, prediction)["pixel_anchor"]
    )


def test_half_precision_is_computed_in_float32_under_autocast():
    embeddings, target, prediction = make(7)
    single = [embedding.float() for embedding in embeddings]
    contrast = ContextualContrast(5, WEIGHTS)
    expected = contrast(single, target, prediction)["pixel_anchor"]
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(contrast(single, target, prediction)["pixel_anchor"], expected, rtol=0, atol=0)
        rounded = contrast([e.bfloat16() for e in single], target, prediction)["pixel_anchor"]
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, expected, rtol=0.05, atol=0.05)


def test_anchors_carry_gradient_unless_detached():
    embeddings, target, prediction = make(8, error=0.0)
    target[:, :16] = 0
    prediction[:, :32] = 1
    grads = []
    for detach in (False, True):
        inputs = [embedding.clone().requires_grad_() for embedding in embeddings]
        loss = ContextualContrast(5, WEIGHTS, detach_anchors=detach)(inputs, target, prediction)["pixel_anchor"]
        grads.append(torch.autograd.grad(loss, inputs)[0])
    assert not torch.allclose(grads[0], grads[1])


def test_running_anchors_follow_the_batches_and_fill_in_for_missing_classes():
    embeddings, target, prediction = make(9, num_classes=3)
    running = RunningAnchors(4, 3, embedding_dim=6, momentum=0.9, fill_deepest=True)
    contrast = ContextualContrast(3, WEIGHTS, running_anchors=running)
    first = contrast(embeddings, target, prediction)["pixel_anchor"]
    assert not running.seen.any()  # nothing moves before update()
    contrast.update()
    again = [embedding.roll(1, 0) for embedding in embeddings]
    before = running.anchors.clone()
    contrast(again, target, prediction)
    deposited = running.batch_anchors.clone()
    contrast.update()
    both = running.seen.unsqueeze(-1) & (deposited.abs().sum(-1, keepdim=True) > 0)
    torch.testing.assert_close(
        running.anchors[both.expand_as(before)], (0.9 * before + 0.1 * deposited)[both.expand_as(before)]
    )
    # a class that the deepest stage lost is fused with its running anchor
    lost = target.clone()
    lost[lost == 2] = 0
    lost[:, :4, :4] = 2  # one cell of the shallowest stage, none of the deepest
    filled = contrast(embeddings, lost, prediction)["pixel_anchor"]
    running.fill_deepest = False
    assert not torch.allclose(filled, contrast(embeddings, lost, prediction)["pixel_anchor"])
    assert torch.isfinite(first)


def test_evaluation_mode_leaves_running_anchors_alone():
    embeddings, target, prediction = make(10)
    contrast = ContextualContrast(5, WEIGHTS, running_anchors=RunningAnchors(4, 5, 6)).eval()
    contrast(embeddings, target, prediction)
    contrast.update()
    assert not contrast.running_anchors.seen.any()


def test_diagnostics_are_counts_and_means():
    embeddings, target, prediction = make(11, num_classes=3)
    contrast = ContextualContrast(3, WEIGHTS, negatives=AllNegatives())
    diagnostics = contrast.diagnose(embeddings, target, prediction)
    deepest = torch.nn.functional.interpolate(target[:, None].double(), size=SIZES[-1], mode="nearest-exact")[:, 0]
    predicted = torch.nn.functional.interpolate(prediction[:, None].double(), size=SIZES[-1], mode="nearest-exact")[
        :, 0
    ]
    valid = deepest != 255
    rows, labels = embeddings[-1].permute(0, 2, 3, 1)[valid], deepest[valid]
    anchors = {int(n): torch.nn.functional.normalize(rows[labels == n].mean(0), dim=0) for n in labels.unique()}
    positive = torch.stack([row @ anchors[int(n)] for row, n in zip(rows, labels)])
    negative = torch.stack([row @ a for row, n in zip(rows, labels) for m, a in anchors.items() if m != n])
    assert diagnostics["error_share"][-1] == pytest.approx(float((predicted[valid] != labels).double().mean()))
    assert diagnostics["classes_present"][-1] == len(anchors)
    assert diagnostics["positive_cosine"][-1] == pytest.approx(float(positive.mean()))
    if len(anchors) == 3:
        assert diagnostics["negatives"][-1].tolist() == [int((labels != n).sum()) for n in range(3)]
        assert diagnostics["negative_cosine"][-1] == pytest.approx(float(negative.mean()))


def test_silent_share_is_that_of_the_present_classes_without_a_negative():
    embeddings, target, prediction = make(12)
    prediction[prediction >= 3] = 0  # nothing is mistaken for classes 3 and 4
    diagnostics = ContextualContrast(5, WEIGHTS).diagnose(embeddings, target, prediction)
    grids = [on_grid(labels.numpy(), *SIZES[0]) for labels in (target, prediction)]
    selected = selected_regions(*grids, 5, 50, "predicted")
    numbers = [int((selected == n).sum()) for n in range(5)]
    assert diagnostics["negatives"][0].tolist() == numbers
    assert numbers[3] == numbers[4] == 0
    present = [n for n in range(5) if (grids[0] == n).any()]
    assert diagnostics["silent_share"][0] == pytest.approx(sum(numbers[n] == 0 for n in present) / len(present))


def test_running_anchors_tell_how_far_classes_are_apart():
    embeddings, target, prediction = make(13)
    contrast = ContextualContrast(5, WEIGHTS, running_anchors=RunningAnchors(4, 5, 6).double())
    assert contrast.diagnose(embeddings, target, prediction)["anchor_cosine"].tolist() == [0.0] * 4
    contrast(embeddings, target, prediction)
    contrast.update()
    means = anchors_of(embeddings[1].numpy(), on_grid(target.numpy(), *SIZES[1]), 5)
    unit = [mean / np.linalg.norm(mean) for mean in means.values()]
    expected = np.mean([one @ other for one, other in itertools.permutations(unit, 2)])
    assert contrast.diagnose(embeddings, target, prediction)["anchor_cosine"][1] == pytest.approx(expected)


def test_state_moves_on_wherever_it_is_held():
    class Counting(Stateful):
        def __init__(self):
            super().__init__()
            self.updates = 0

        def update(self):
            self.updates += 1

    class Holding(torch.nn.Module):
        """No state of its own, but a part that has some."""

        def __init__(self):
            super().__init__()
            self.part, self.static = Counting(), StaticFusion()

        def forward(self, anchors, counts):
            return self.static(anchors, counts)

    fusion, negatives = Holding(), RandomNegatives()
    contrast = ContextualContrast(5, WEIGHTS, fusion=fusion, negatives=negatives)
    contrast.update()
    contrast.update()
    assert fusion.part.updates == negatives.step == 2


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda e, t, p: (e[:2], t, p), "stage weights"),
        (lambda e, t, p: (e, t[0], p[0]), r"\[B, H, W\]"),
        (lambda e, t, p: (e, t, p[:, :4]), r"\[B, H, W\]"),
        (lambda e, t, p: (e, t[:1], p[:1]), "batch"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(change, word):
    with pytest.raises(ConfigError, match=word):
        ContextualContrast(5, WEIGHTS)(*change(*make(0)))


@pytest.mark.parametrize(
    "options",
    [{"stage_weights": ()}, {"temperature": 0.0}, {"anchor_negatives": -1.0}, {"reduce_negatives": "median"}],
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ConfigError):
        ContextualContrast(5, **options)
    with pytest.raises(ConfigError):
        StaticFusion(0.5, 0.6)

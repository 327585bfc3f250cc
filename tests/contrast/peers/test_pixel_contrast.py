"""Pixel contrast against loops over the drawn samples, and what its release gets wrong."""

import pytest
import torch
import torch.nn.functional as F

from contextrast.contrast import CrossEntropy
from contextrast.contrast.peers import PixelContrast, PixelContrastLoss, PixelMemory
from contextrast.contrast.stages import stage_labels, stage_pixels
from contextrast.errors import ConfigError
from tests.contrast.cases import label_maps, unit_embeddings
from tests.contrast.peers.reference import groups, samples_contrast


def inputs(seed=0, num_classes=4, ignore=255, dtype=torch.float64, patch=4):
    """One embedding map of an eighth of the labels' size."""
    generator = torch.Generator().manual_seed(seed)
    target, prediction = label_maps(generator, 2, 64, 80, num_classes, patch=patch * 8, ignore=ignore)
    return unit_embeddings(generator, 2, 6, [(16, 20)], dtype)[0].requires_grad_(), target, prediction


def drawn(contrast, embedding, target, prediction):
    """The samples that a contrast draws."""
    labels = stage_labels([embedding], target, prediction, contrast.num_classes, contrast.ignore_index)
    (pixels,) = stage_pixels([embedding], labels)
    return contrast.sampler(pixels)[0]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("temperature", [0.1, 0.07])
def test_loss_is_that_of_loops_over_the_samples(seed, temperature):
    embedding, target, prediction = inputs(seed)
    contrast = PixelContrast(4, temperature, max_samples=40, max_views=5, seed=seed)
    loss = contrast([embedding], target, prediction)["pixel_contrast"]
    samples = drawn(contrast, embedding, target, prediction)
    assert samples.filled.sum() > 10
    expected = samples_contrast(samples, None, temperature) * temperature / 0.07
    assert loss.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_with_a_memory_the_samples_are_compared_with_all_that_it_holds(seed):
    contrast = PixelContrast(4, 0.1, max_samples=40, max_views=5, memory=PixelMemory(4, 6, 12, 3)).double()
    for step in range(3):
        embedding, target, prediction = inputs(10 * seed + step)
        loss = contrast([embedding], target, prediction)["pixel_contrast"]
        samples = drawn(contrast, embedding, target, prediction)
        keys = contrast.memory.keys()
        assert loss.item() == pytest.approx(samples_contrast(samples, keys, 0.1) * 0.1 / 0.07, rel=1e-9)
        loss.backward()
        assert (embedding.grad.abs().sum() > 0) == (step > 0)  # nothing is stored at the first
        contrast.update()
    assert not keys.filled.all()  # zero slots are there, and count nowhere


def test_a_memory_stores_true_pixels_in_training_after_the_optimiser_alone():
    embedding, target, prediction = inputs()
    contrast = PixelContrast(4, memory=PixelMemory(4, 6, 12, 3)).double()
    contrast([embedding], target, 3 - prediction)
    assert (contrast.memory.stored == 0).all()
    contrast.update()
    stored = contrast.memory.stored.clone()
    assert (stored[:, 0] > 0).all()
    own = embedding.detach().permute(0, 2, 3, 1).reshape(-1, 6)
    labels = drawn_labels(target)
    for label in range(4):
        held = contrast.memory.queues[1, label][contrast.memory.filled()[1, label]]
        nearest = (held @ own.T).argmax(1)
        assert (labels[nearest] == label).all()
    contrast.eval()
    contrast([embedding], target, prediction)
    contrast.update()
    torch.testing.assert_close(contrast.memory.stored, stored)


def drawn_labels(target):
    """Labels at a quarter of the size, by torch's own interpolation."""
    return F.interpolate(target[:, None].double(), size=(16, 20), mode="nearest-exact").long().flatten()


def test_half_of_a_group_is_misclassified_and_diagnostics_say_so():
    embedding, target, _ = inputs(ignore=255)
    contrast = PixelContrast(4, max_samples=1000, max_views=5)
    for prediction, share in ((target, 0.0), ((target + 1) % 4, 1.0)):
        diagnostics = contrast.diagnose([embedding], target, prediction)
        assert float(diagnostics["hard_share"]) == share
    expected = groups(drawn_labels(target).view(2, -1).numpy(), 4, 6)
    assert int(diagnostics["samples"]) == 5 * len(expected)
    assert int(diagnostics["classes_sampled"]) == len({label for _, label in expected})
    assert "memory_filled" not in diagnostics
    assert all(value.ndim == 0 and not value.requires_grad for value in diagnostics.values())


def test_gradient_is_that_of_finite_differences():
    _, target, prediction = inputs()
    contrast = PixelContrast(4, 0.5, max_samples=12, max_views=2)
    generator = torch.Generator().manual_seed(1)
    small = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64, requires_grad=True)

    def loss(embedding):
        return contrast([F.normalize(embedding, dim=1)], target, prediction)["pixel_contrast"]

    assert float(loss(small).detach()) > 0
    assert torch.autograd.gradcheck(loss, (small,))


@pytest.mark.parametrize("memory", [False, True])
@pytest.mark.parametrize("case", ["all_ignored", "all_rare", "one_class", "one_view"])
def test_degenerate_batches_give_a_connected_zero(case, memory):
    """The release crashes where no class is sampled, and gives NaN for a class sampled once."""
    embedding, target, prediction = inputs()
    views = 1 if case == "one_view" else 5
    if case == "all_ignored":
        target = torch.full_like(target, 255)
    if case == "all_rare":
        views = 10**4
    if case in ("one_class", "one_view"):
        target = torch.zeros_like(target)
        target[1] = 0 if case == "one_class" else 1
    contrast = PixelContrast(
        4, max_views=views, max_samples=10**5, memory=PixelMemory(4, 6, 5) if memory else None
    ).double()
    for _ in range(2 if case != "one_view" or not memory else 1):
        embedding.grad = None
        loss = contrast([embedding], target, prediction)["pixel_contrast"]
        loss.backward()
        assert loss == 0
        assert (embedding.grad == 0).all()
        contrast.update()


def test_any_ignore_index_will_do():
    """The release needs -1 or 255, and leaves class 0 out of its memory."""
    losses = []
    for ignore in (255, -1, 7, 4):
        embedding, target, prediction = inputs(ignore=ignore)
        contrast = PixelContrast(4, max_samples=60, max_views=5, ignore_index=ignore)
        losses.append(contrast([embedding], target, prediction)["pixel_contrast"].item())
    assert losses == pytest.approx([losses[0]] * 4)


def test_a_class_can_be_the_ignored_one_or_none_is():
    embedding, target, prediction = inputs()
    target = torch.where(target == 255, 0, target)
    without = PixelContrast(4, max_samples=60, max_views=5, ignore_index=0)
    assert set(drawn(without, embedding, target, prediction).classes.tolist()) == {1, 2, 3, 4}
    everything = PixelContrast(4, max_samples=60, max_views=5, ignore_index=None)
    assert set(drawn(everything, embedding, target, prediction).classes.tolist()) <= {0, 1, 2, 3, 4}
    assert (drawn(everything, embedding, target, prediction).classes == 0).any()
    assert everything([embedding], target, prediction)["pixel_contrast"] > 0


def make(**options):
    torch.manual_seed(0)
    return PixelContrastLoss(4, [6, 5], **{"embedding_dim": 8, "max_views": 4, "max_samples": 60, **options})


def batch(seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    target, _ = label_maps(generator, 2, 32, 32, 4, patch=8)
    logits = torch.randn(2, 4, 32, 32, generator=generator, dtype=dtype, requires_grad=True)
    features = [
        torch.randn(2, c, s, s, generator=generator, dtype=dtype, requires_grad=True) for c, s in ((6, 8), (5, 4))
    ]
    return logits, target, features


def test_the_weight_is_0_before_its_step_and_alpha_from_there_in_a_single_process():
    """Without a distributed launch the release keeps the weight at 0."""
    logits, target, features = batch()
    loss = make(start_step=3, alpha=0.3)
    weights = []
    for _ in range(5):
        terms = loss(logits, target, features)
        weights.append(((terms.total - terms["cross_entropy"]) / terms["pixel_contrast"]).item())
        loss.update()
    assert weights == pytest.approx([0, 0, 0, 0.3, 0.3], abs=1e-6)
    assert set(terms) == {"total", "cross_entropy", "pixel_contrast"}


@pytest.mark.parametrize("memory", [False, True])
def test_gradient_reaches_features_and_head_and_training_lowers_the_term(memory):
    logits, target, features = batch()
    queues = (lambda **sizes: PixelMemory(**sizes, size=20, pixels_a_step=5)) if memory else None
    loss = make(alpha=1.0, start_step=0, memory=queues)
    optimizer = torch.optim.Adam([logits, *features, *loss.parameters()], lr=0.05)
    history = []
    for _ in range(30):
        optimizer.zero_grad()
        terms = loss(logits, target, features)
        terms.total.backward()
        diagnostics = terms.diagnose()
        optimizer.step()
        loss.update()
        history.append(terms["pixel_contrast"].item())
    for tensor in (*features, *loss.parameters()):
        assert torch.isfinite(tensor.grad).all()
        assert tensor.grad.abs().sum() > 0
    assert history[-1] < 0.8 * history[1]
    assert diagnostics["positive_cosine"] > diagnostics["negative_cosine"]
    assert ("memory_filled" in diagnostics) == memory


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    embedding, target, prediction = inputs(dtype=torch.float32)
    contrast = PixelContrast(4, max_samples=60, max_views=5, memory=PixelMemory(4, 6, 9))
    half = embedding.detach().to(dtype).requires_grad_()
    for part in (half, half.detach().float()):
        contrast([part], target, prediction)
        contrast.update()
    result = contrast([half], target, prediction)["pixel_contrast"]
    result.backward()
    assert result.dtype == torch.float32
    assert half.grad.dtype == dtype
    torch.testing.assert_close(result, contrast([half.detach().float()], target, prediction)["pixel_contrast"])


def test_under_autocast_the_loss_is_float32_and_finite():
    logits, target, features = batch()
    loss = make(start_step=0)
    with torch.autocast("cpu", torch.bfloat16):
        terms = loss(logits, target, features)
    terms.total.backward()
    assert terms["pixel_contrast"].dtype == torch.float32
    torch.testing.assert_close(
        terms["pixel_contrast"], loss(logits, target, features)["pixel_contrast"], rtol=0.1, atol=0
    )
    assert torch.isfinite(features[0].grad).all()


def test_a_loss_without_any_ignore_index_trains_on_every_pixel():
    logits, target, features = batch()
    target = torch.where(target == 255, 0, target)
    terms = make(ignore_index=None, start_step=0)(logits, target, features)
    torch.testing.assert_close(terms["cross_entropy"], F.cross_entropy(logits, target))
    assert torch.isfinite(terms.total)


def test_state_is_saved_and_restored():
    loss = make(memory=lambda **sizes: PixelMemory(**sizes, size=9), start_step=0)
    for seed in range(2):
        loss(*batch(seed))
        loss.update()
    restored = make(memory=lambda **sizes: PixelMemory(**sizes, size=9), start_step=0)
    restored.load_state_dict(loss.state_dict())
    assert float(restored.current_alpha()) == float(loss.current_alpha())
    torch.testing.assert_close(restored(*batch(5)).total, loss(*batch(5)).total)
    assert restored.contrast.memory.filled().any()


@pytest.mark.parametrize("memory", [False, True])
def test_compiled_in_one_graph_it_is_the_same(memory):
    embedding, target, prediction = inputs()
    contrast = PixelContrast(4, max_samples=60, max_views=5, memory=PixelMemory(4, 6, 9) if memory else None).double()
    for _ in range(2):  # so that something is stored
        contrast([embedding], target, prediction)
        contrast.update()
    results = []
    for function in (contrast, torch.compile(contrast, fullgraph=True, backend="eager")):
        loss = function([embedding], target, prediction)["pixel_contrast"]
        results.append((loss.detach(), *torch.autograd.grad(loss, [embedding])))
    torch.testing.assert_close(results[0], results[1])


def test_stages_are_concatenated_at_the_shallowest_ones_size():
    _, _, features = batch()
    for stages, channels, size in ((None, 11, 8), ([-1], 5, 4), ([0], 6, 8), ([0, 1], 11, 8)):
        head = make(stages=stages).heads
        (embedding,) = head(features)
        assert embedding.shape == (2, 8, size, size)
        assert head.head[0].in_channels == head.head[0].out_channels == channels
        torch.testing.assert_close(embedding.norm(dim=1), torch.ones(2, size, size))
    coarse = features[1].detach().requires_grad_()
    make().heads([features[0], coarse])[0].sum().backward()
    assert coarse.grad.abs().sum() > 0


def test_the_head_over_hrnets_branches_is_the_published_one():
    """720 channels to 720 to 256; batch norm stands in for the first bias."""
    loss = PixelContrastLoss(19, [48, 96, 192, 384])
    assert sum(p.numel() for p in loss.parameters()) == 720 * 720 + 2 * 720 + 720 * 256 + 256
    assert [type(layer).__name__ for layer in loss.heads.head] == ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d"]


@pytest.mark.parametrize(
    ("build", "word"),
    [
        (lambda: make(stages=[2]), "stages"),
        (lambda: make(stages=[]), "stages"),
        (lambda: make(temperature=0.0), "temperature"),
        (lambda: make(base_temperature=-1.0), "temperature"),
        (lambda: make(max_views=0), "max_views"),
        (lambda: PixelContrast(4)([inputs()[0]] * 2, *inputs()[1:]), "one map"),
        (lambda: PixelContrast(4)([inputs()[0]], inputs()[1][:1], inputs()[2][:1]), "target"),
    ],
)
def test_options_that_do_not_fit_are_refused(build, word):
    with pytest.raises(ConfigError, match=word):
        build()


def test_the_base_is_the_given_one():
    logits, target, features = batch()
    loss = make(base=CrossEntropy([1.0, 2.0, 3.0, 4.0]))
    torch.testing.assert_close(
        loss(logits, target, features)["cross_entropy"], CrossEntropy([1.0, 2.0, 3.0, 4.0])(logits, target)
    )

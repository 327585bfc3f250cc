"""Multi-scale contrast against loops over the drawn samples, and where its release breaks."""

import pytest
import torch
import torch.nn.functional as F

from contextrast.contrast.peers import MultiscaleContrast, MultiscaleHead, MultiscaleLoss
from contextrast.contrast.stages import stage_labels, stage_pixels
from contextrast.errors import ConfigError
from tests.contrast.cases import label_maps, unit_embeddings
from tests.contrast.peers.reference import groups, samples_contrast

SIZES = ((16, 20), (8, 10), (4, 5), (2, 3))


def inputs(seed=0, num_classes=3, ignore=255, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    target, prediction = label_maps(generator, 2, 64, 80, num_classes, patch=24, ignore=ignore)
    return [part.requires_grad_() for part in unit_embeddings(generator, 2, 6, SIZES, dtype)], target, prediction


def drawn(contrast, embeddings, target, prediction):
    """The samples that a contrast draws, a stage."""
    labels = stage_labels(embeddings, target, prediction, contrast.num_classes, contrast.ignore_index)
    return [contrast.sampler(pixels)[0] for pixels in stage_pixels(embeddings, labels)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("max_samples", [24, 10000])
def test_all_six_terms_are_those_of_loops_over_the_samples(seed, max_samples):
    embeddings, target, prediction = inputs(seed)
    contrast = MultiscaleContrast(3, min_pixels=2, max_samples=max_samples, seed=seed)
    terms = contrast(embeddings, target, prediction)
    samples = drawn(contrast, embeddings, target, prediction)
    within = [w * samples_contrast(one, None, 0.1) for w, one in zip((1.0, 0.7, 0.4, 0.1), samples)]
    across = [samples_contrast(samples[0], samples[keys], 0.1) for keys in (3, 2)]
    assert terms["within_stages"].item() == pytest.approx(sum(within), rel=1e-9)
    assert terms["across_stages"].item() == pytest.approx(sum(across), rel=1e-9)
    assert sum(across) > 0


def test_groups_have_five_pixels_and_give_as_many_as_the_smallest():
    embeddings, target, prediction = inputs()
    contrast = MultiscaleContrast(3)
    diagnostics = contrast.diagnose(embeddings, target, prediction)
    for i, (sample, size) in enumerate(zip(drawn(contrast, embeddings, target, prediction), SIZES)):
        labels = F.interpolate(target[:, None].double(), size=size, mode="nearest-exact").long()[:, 0]
        expected = groups(labels.numpy(), 3, 5)
        number = len(expected) * min(map(len, expected.values()), default=0)
        assert int(sample.filled.sum()) == int(diagnostics["samples"][i]) == number
    assert all(value.shape == (4,) and not value.requires_grad for value in diagnostics.values())


def test_gradients_flow_to_both_scales_of_a_pair():
    embeddings, target, prediction = inputs()
    terms = MultiscaleContrast(3, min_pixels=1)(embeddings, target, prediction)
    gradients = torch.autograd.grad(terms["across_stages"], embeddings, allow_unused=True, retain_graph=True)
    sums = [0.0 if gradient is None else float(gradient.abs().sum()) for gradient in gradients]
    assert [value > 0 for value in sums] == [True, False, True, True]
    gradients = torch.autograd.grad(terms["within_stages"], embeddings)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_gradient_is_that_of_finite_differences():
    _, target, prediction = inputs()
    contrast = MultiscaleContrast(3, (1.0, 0.5), [(0, 1)], temperature=0.5, min_pixels=2, max_samples=12)
    generator = torch.Generator().manual_seed(1)
    maps = [
        torch.randn(2, 3, h, w, generator=generator, dtype=torch.float64, requires_grad=True)
        for h, w in ((4, 5), (2, 3))
    ]

    def loss(*maps):
        return sum(contrast([F.normalize(part, dim=1) for part in maps], target, prediction).values())

    assert torch.autograd.gradcheck(loss, maps)


def test_stages_and_steps_draw_independently():
    embeddings, target, prediction = inputs()
    contrast = MultiscaleContrast(3, (1.0, 1.0), [], max_samples=30)
    same = [embeddings[0], embeddings[0]]
    first, second = drawn(contrast, same, target, prediction)
    assert (first.embeddings != second.embeddings).any()
    contrast.update()
    assert (drawn(contrast, same, target, prediction)[0].embeddings != first.embeddings).any()
    assert set(contrast(same, target, prediction)) == {"within_stages"}


@pytest.mark.parametrize("case", ["all_ignored", "all_rare", "one_class"])
def test_degenerate_batches_give_a_connected_zero(case):
    """The release crashes where no class is sampled."""
    embeddings, target, prediction = inputs()
    if case == "all_ignored":
        target = torch.full_like(target, 255)
    if case == "one_class":
        target = torch.full_like(target, 0)
    contrast = MultiscaleContrast(3, min_pixels=10**6 if case == "all_rare" else 5)
    loss = sum(contrast(embeddings, target, prediction).values())
    loss.backward()
    assert loss == 0
    assert all((part.grad == 0).all() for part in embeddings)


def test_a_class_that_is_missing_from_the_coarse_scale_is_left_out_across():
    """Four pixels of class 2 at stride 4 are none at stride 32."""
    embeddings, target, prediction = inputs()
    target = torch.zeros_like(target)
    target[:, :, 40:] = 1
    target[:, :12, :12] = 2
    contrast = MultiscaleContrast(3, min_pixels=1)
    samples = drawn(contrast, embeddings, target, prediction)
    assert (samples[0].classes == 2).any()
    assert not (samples[3].classes == 2).any()
    expected = sum(samples_contrast(samples[0], samples[keys], 0.1) for keys in (3, 2))
    assert contrast(embeddings, target, prediction)["across_stages"].item() == pytest.approx(expected, rel=1e-9)


def test_any_ignore_index_will_do_and_none_too():
    losses = []
    for ignore in (255, -1, 3):
        embeddings, target, prediction = inputs(ignore=ignore)
        contrast = MultiscaleContrast(3, min_pixels=1, ignore_index=ignore)
        losses.append(sum(contrast(embeddings, target, prediction).values()).item())
    assert losses == pytest.approx([losses[0]] * 3)
    filled = torch.where(target == 3, 0, target)
    without = MultiscaleContrast(3, min_pixels=1, ignore_index=None)
    other = MultiscaleContrast(3, min_pixels=1, ignore_index=77)
    torch.testing.assert_close(without(embeddings, filled, prediction), other(embeddings, filled, prediction))
    assert (drawn(without, embeddings, filled, prediction)[0].classes == 0).any()


CHANNELS = (6, 5, 4, 3)


def batch(seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    target, _ = label_maps(generator, 2, 64, 64, 3, patch=16)
    logits = torch.randn(2, 3, 64, 64, generator=generator, dtype=dtype, requires_grad=True)
    features = [
        torch.randn(2, c, 16 >> i, 16 >> i, generator=generator, dtype=dtype, requires_grad=True)
        for i, c in enumerate(CHANNELS)
    ]
    return logits, target, features


def make(**options):
    torch.manual_seed(0)
    return MultiscaleLoss(3, CHANNELS, **{"embedding_dim": 8, "min_pixels": 1, **options})


def test_total_is_cross_entropy_plus_alpha_times_all_terms_from_the_first_step():
    logits, target, features = batch()
    terms = make(alpha=0.2)(logits, target, features)
    torch.testing.assert_close(
        terms.total, terms["cross_entropy"] + 0.2 * (terms["within_stages"] + terms["across_stages"])
    )


def test_training_lowers_the_terms_and_reaches_every_parameter():
    logits, target, features = batch()
    loss = make(alpha=1.0)
    optimizer = torch.optim.SGD([logits, *features, *loss.parameters()], lr=1.0)
    history = []
    for _ in range(20):
        optimizer.zero_grad()
        terms = loss(logits, target, features)
        terms.total.backward()
        optimizer.step()
        loss.update()
        history.append((terms["within_stages"] + terms["across_stages"]).item())
    for tensor in (*features, *loss.parameters()):
        assert torch.isfinite(tensor.grad).all()
        assert tensor.grad.abs().sum() > 0
    assert history[-1] < 0.8 * history[0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    embeddings, target, prediction = inputs(dtype=torch.float32)
    contrast = MultiscaleContrast(3)
    half = [part.detach().to(dtype).requires_grad_() for part in embeddings]
    result = sum(contrast(half, target, prediction).values())
    result.backward()
    assert result.dtype == torch.float32
    assert all(torch.isfinite(part.grad).all() for part in half)
    torch.testing.assert_close(
        result, sum(contrast([part.detach().float() for part in half], target, prediction).values())
    )


def test_under_autocast_the_loss_is_float32_and_finite():
    logits, target, features = batch()
    with torch.autocast("cpu", torch.bfloat16):
        terms = make()(logits, target, features)
    terms.total.backward()
    assert terms["within_stages"].dtype == torch.float32
    assert torch.isfinite(features[0].grad).all()


def test_state_is_saved_and_restored():
    loss, restored = make(start_step=1), make(start_step=1)
    assert float(loss.current_alpha()) == 0
    loss(*batch())
    loss.update()
    restored.load_state_dict(loss.state_dict())
    assert float(restored.current_alpha()) == pytest.approx(0.1)
    torch.testing.assert_close(restored(*batch(5)).total, loss(*batch(5)).total)


def test_compiled_in_one_graph_it_is_the_same():
    embeddings, target, prediction = inputs()
    embeddings, contrast = embeddings[1:3], MultiscaleContrast(3, (1.0, 0.7), [(0, 1)], min_pixels=1)
    results = []
    for function in (contrast, torch.compile(contrast, fullgraph=True, backend="eager")):
        loss = sum(function(embeddings, target, prediction).values())
        results.append((loss.detach(), *torch.autograd.grad(loss, embeddings)))
    torch.testing.assert_close(results[0], results[1])


def test_heads_are_the_published_ones():
    head = MultiscaleHead(48, 256)
    assert [type(layer).__name__ for layer in head] == ["Conv2d", "ReLU", "BatchNorm2d", "Conv2d"]
    assert head[0].bias is None
    assert head[2].momentum == 0.0003
    for embedding, feature in zip(make().heads(batch()[2]), batch()[2]):
        assert embedding.shape == (2, 8, *feature.shape[2:])
        torch.testing.assert_close(embedding.norm(dim=1), torch.ones(2, *feature.shape[2:]))


@pytest.mark.parametrize(
    ("build", "word"),
    [
        (lambda: make(stage_weights=(1.0, 1.0)), "stage_weights"),
        (lambda: make(cross_stages=[(0, 4)]), "cross_stages"),
        (lambda: make(cross_stages=[(0, 1, 2)]), "cross_stages"),
        (lambda: make(temperature=0.0), "temperature"),
        (lambda: make(max_samples=0), "max_samples"),
        (lambda: MultiscaleContrast(3)(inputs()[0][:2], *inputs()[1:]), "stage weights"),
    ],
)
def test_options_that_do_not_fit_are_refused(build, word):
    with pytest.raises(ConfigError, match=word):
        build()

"""The whole loss: cross-entropy with its options, the weighted sum, state that outlives a step."""

from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from contextrast import ContextrastLoss
from contextrast.contrast import AnchorMemory, ContextualContrast, CrossEntropy, CrossEntropyLoss
from contextrast.errors import ConfigError
from tests.contrast.cases import label_maps


def batch(seed=0, num_classes=4, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    target, _ = label_maps(generator, 2, 32, 32, num_classes)
    logits = torch.randn(2, num_classes, 32, 32, generator=generator, dtype=dtype, requires_grad=True)
    features = [
        torch.randn(2, c, s, s, generator=generator, dtype=dtype, requires_grad=True) for c, s in ((6, 8), (5, 4))
    ]
    return logits, target, features


def make(**options):
    torch.manual_seed(0)
    return ContextrastLoss(4, [6, 5], (0.4, 1.0), embedding_dim=8, **options)


@pytest.mark.parametrize("weights", [None, [1.0, 0.2, 3.0, 0.5]])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_torchs(weights, smoothing):
    logits, target, _ = batch()
    expected = F.cross_entropy(
        logits, target, None if weights is None else torch.tensor(weights), ignore_index=255, label_smoothing=smoothing
    )
    torch.testing.assert_close(CrossEntropy(weights, smoothing)(logits, target), expected)


def test_cross_entropy_of_ignored_pixels_only_is_a_connected_zero():
    logits, target, _ = batch()
    loss = CrossEntropy()(logits, torch.full_like(target, 255))
    loss.backward()
    assert loss == 0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize(("threshold", "share"), [(0.2, 0.0), (0.2, 0.5), (1.0, 0.1), (0.0, 0.25)])
def test_ohem_keeps_the_hard_pixels(threshold, share):
    logits, target, _ = batch(1, dtype=torch.float64)
    loss = CrossEntropy(ohem_threshold=threshold, ohem_min_share=share)(logits, target)
    rows, labels = logits.detach().permute(0, 2, 3, 1).reshape(-1, 4).numpy(), target.flatten().numpy()
    rows, labels = rows[labels != 255], labels[labels != 255]
    probability = (np.exp(rows) / np.exp(rows).sum(1, keepdims=True))[np.arange(len(labels)), labels]
    number = int(len(labels) * share)
    limit = max(threshold, np.sort(probability)[number - 1]) if number else max(threshold, probability.min())
    kept = probability <= limit
    assert kept.any()
    assert float(loss) == pytest.approx(float(-np.log(probability[kept]).mean()))


def test_total_is_cross_entropy_plus_alpha_times_the_contrast():
    logits, target, features = batch()
    loss = make(alpha=0.3)
    terms = loss(logits, target, features)
    contrast = ContextualContrast(4, (0.4, 1.0))(loss.heads(features), target, logits.argmax(1))["pixel_anchor"]
    torch.testing.assert_close(terms["pixel_anchor"], contrast)
    torch.testing.assert_close(terms.total, terms["cross_entropy"] + 0.3 * contrast)
    assert set(terms) == {"total", "cross_entropy", "pixel_anchor"}
    assert terms["total"] is terms.total
    assert terms.diagnose()["error_share"].shape == (2,)
    torch.testing.assert_close(terms.weighted["base"], terms["cross_entropy"])
    torch.testing.assert_close(terms.weighted["contrast"], 0.3 * contrast)


@pytest.mark.parametrize("memory", [False, True])
def test_terms_and_gradients_are_the_same_without_diagnostics(memory):
    seen = []
    for diagnose in (True, False):
        logits, target, features = batch()
        loss = make(memory=partial(AnchorMemory, size=3) if memory else None)
        for _ in range(2):  # the second step has a filled memory
            terms = loss(logits, target, features)
            if diagnose:
                assert not any(value.requires_grad for value in terms.diagnose().values())
            terms.total.backward()
            loss.update()
        seen.append([*terms.values(), logits.grad, *(feature.grad for feature in features)])
    for diagnosed, plain in zip(*seen):
        assert torch.equal(diagnosed, plain)


def test_gradient_reaches_logits_features_and_heads():
    logits, target, features = batch()
    loss = make()
    loss(logits, target, features).total.backward()
    for tensor in (logits, *features, *loss.parameters()):
        assert tensor.grad is not None
        assert torch.isfinite(tensor.grad).all()
    assert features[0].grad.abs().sum() > 0


def test_warm_up_rises_to_alpha_and_stays():
    loss = make(alpha=0.5, start_step=2, warmup_steps=4)
    alphas = []
    for _ in range(8):
        alphas.append(float(loss.current_alpha()))
        loss.update()
    assert alphas == pytest.approx([0.0, 0.0, 0.125, 0.25, 0.375, 0.5, 0.5, 0.5])
    assert float(make(alpha=0.5).current_alpha()) == 0.5


def test_state_that_outlives_a_step_is_saved_and_restored():
    logits, target, features = batch()
    loss = make(warmup_steps=10)
    loss(logits, target, features)
    loss.update()
    restored = make(warmup_steps=10)
    restored.load_state_dict(loss.state_dict())
    assert float(restored.current_alpha()) == float(loss.current_alpha()) == pytest.approx(0.02)
    torch.testing.assert_close(restored.contrast.running_anchors.anchors, loss.contrast.running_anchors.anchors)
    assert restored.contrast.running_anchors.seen.any()


def test_heads_have_the_published_number_of_parameters():
    """HRNet-W48 grows from 65.86 M to 66.24 M parameters."""
    loss = ContextrastLoss(19, [48, 96, 192, 384])
    assert sum(p.numel() for p in loss.parameters()) / 1e6 == pytest.approx(0.38, abs=0.005)


def test_embeddings_have_unit_length():
    _, _, features = batch()
    for embedding, feature in zip(make().heads(features), features):
        assert embedding.shape == (2, 8, *feature.shape[2:])
        torch.testing.assert_close(embedding.norm(dim=1), torch.ones(2, *feature.shape[2:]))


def test_the_baseline_has_the_same_interface():
    logits, target, features = batch()
    loss = CrossEntropyLoss(num_classes=4, in_channels=[6, 5])
    terms = loss(logits, target, features)
    torch.testing.assert_close(terms.total, F.cross_entropy(logits, target, ignore_index=255))
    loss.update()
    assert list(loss.parameters()) == []


def test_a_training_loop_in_plain_torch_lowers_both_terms():
    logits, target, features = batch()
    loss = make()
    parameters = [logits, *features, *loss.parameters()]
    optimizer = torch.optim.SGD([p.requires_grad_() for p in parameters], lr=0.5)
    history = []
    for _ in range(40):
        optimizer.zero_grad()
        terms = loss(logits, target, features)
        terms.total.backward()
        optimizer.step()
        loss.update()
        history.append(terms)
    # few errors remain at the end, so the pixel-anchor term has few negatives left; compare with the first steps
    assert history[-1]["cross_entropy"] < history[0]["cross_entropy"]
    assert history[-1]["pixel_anchor"] < history[0]["pixel_anchor"]


@pytest.mark.parametrize(
    ("build", "word"),
    [
        (lambda: ContextrastLoss(4, [6, 5, 3], (1.0, 1.0)), "stage_weights"),
        (lambda: CrossEntropy(label_smoothing=2.0), "label_smoothing"),
        (lambda: CrossEntropy(ohem_threshold=-1.0), "ohem_threshold"),
        (lambda: CrossEntropy([1.0])(*batch()[:2]), "class_weights"),
    ],
)
def test_options_that_do_not_fit_are_refused(build, word):
    with pytest.raises(ConfigError, match=word):
        build()

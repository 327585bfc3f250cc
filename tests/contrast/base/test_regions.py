"""Lovász, Dice and Tversky against loops over pixels, segmentation_models_pytorch and the bound that they promise."""

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch

from contextrast.benchmarks.operations import Operations
from contextrast.contrast import CrossEntropy, LovaszSoftmax, SoftDice, SoftTversky
from contextrast.contrast.base.lovasz import jaccard_shares
from contextrast.errors import ConfigError
from tests.contrast.base.reference import CLASSES, batch, labelled, lovasz_extension, lovasz_softmax, tversky

LOSSES = {
    "lovasz": LovaszSoftmax,
    "dice": SoftDice,
    "tversky": SoftTversky,
    "focal": lambda: CrossEntropy([1.0, 0.3, 2.0, 1.0, 0.7], 0.1, focal_gamma=1.5),
}
every_loss = pytest.mark.parametrize("name", LOSSES)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("certain", [0.0, 3.0, 30.0])
@pytest.mark.parametrize("levels", [1, 3, 64, 1024])
def test_lovasz_is_below_the_exact_loss_by_a_level_at_most(seed, certain, levels):
    logits, target = batch(seed, certain=certain)
    missing = lovasz_softmax(logits, target) - float(LovaszSoftmax(levels)(logits.detach(), target))
    assert -1e-12 < missing < 1 / levels


def test_lovasz_of_many_levels_is_that_of_others():
    logits, target = batch(1, dtype=torch.float32)
    loss = LovaszSoftmax(1 << 16)(logits, target)
    (ours,) = torch.autograd.grad(loss, logits)
    exact = smp.losses.LovaszLoss("multiclass", ignore_index=255)(logits, target)
    (theirs,) = torch.autograd.grad(exact, logits)
    torch.testing.assert_close(loss, exact, rtol=1e-5, atol=0)
    assert (ours - theirs).norm() < 1e-3 * theirs.norm()


def counts(errors, own, levels):
    """Pixels of the class and others by level, ``[1, K]`` each, and every pixel's level."""
    level = np.minimum((errors * levels).astype(int), levels - 1)
    return *(torch.from_numpy(np.bincount(level[kind], minlength=levels))[None] for kind in (own, ~own)), level


def test_shares_of_pixels_with_a_level_of_their_own_are_exact():
    generator = np.random.default_rng(0)
    own = generator.random(40) < 0.3
    errors = generator.permutation(40) / 40 + 1e-3
    foreground, background, level = counts(errors, own, 40)
    shares = jaccard_shares(foreground, background, torch.float64)[:, 0].numpy()
    expected = lovasz_extension(errors, own)[1]
    np.testing.assert_allclose(np.where(own, *shares[:, level]), expected, rtol=1e-12)


@pytest.mark.parametrize("levels", [2, 7])
def test_the_gradient_is_a_subgradient_at_errors_that_are_rounded(levels):
    """L(x) ≥ Σ x·g for every x, and = at the errors rounded to the middle of their level."""
    generator = np.random.default_rng(levels)
    for _ in range(20):
        own, errors = generator.random(30) < 0.4, generator.random(30)
        foreground, background, level = counts(errors, own, levels)
        shares = np.where(own, *jaccard_shares(foreground, background, torch.float64)[:, 0].numpy()[:, level])
        rounded = (level + 0.5) / levels
        assert np.abs(rounded - errors).max() <= 0.5 / levels
        assert rounded @ shares == pytest.approx(lovasz_extension(rounded, own)[0], rel=1e-12)
        for other in generator.random((20, 30)):
            assert other @ shares <= lovasz_extension(other, own)[0] + 1e-12


@pytest.mark.parametrize(("alpha", "beta"), [(0.3, 0.7), (0.5, 0.5), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0)])
def test_tversky_is_the_papers(alpha, beta):
    logits, target = batch(2)
    expected = tversky(logits, target, alpha, beta)
    assert float(SoftTversky(alpha, beta)(logits.detach(), target)) == pytest.approx(expected, rel=1e-12)
    if alpha == beta == 0.5:
        assert float(SoftDice()(logits.detach(), target)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (SoftDice(), smp.losses.DiceLoss("multiclass", ignore_index=255)),
        (SoftTversky(0.2, 0.9), smp.losses.TverskyLoss("multiclass", ignore_index=255, alpha=0.2, beta=0.9)),
    ],
)
def test_overlap_is_that_of_others_but_for_the_classes_that_do_not_occur(ours, theirs):
    logits, target = batch(3)
    present = len(target[target != 255].unique())
    assert present == CLASSES - 1
    expected = theirs(logits, target) * CLASSES / present
    torch.testing.assert_close(ours(logits, target), expected)
    (gradient,) = torch.autograd.grad(ours(logits, target), logits)
    torch.testing.assert_close(gradient, *torch.autograd.grad(expected, logits))


@every_loss
def test_gradient(name):
    logits, target = batch(4, (3, 4))
    assert torch.autograd.gradcheck(lambda given: LOSSES[name]()(given, target), logits, eps=1e-8, atol=1e-5)


@every_loss
def test_ignored_pixels_say_nothing(name):
    logits, target = batch(5)
    other = logits.detach().clone()
    other[(target == 255).unsqueeze(1).expand_as(other)] = 7.0
    other.requires_grad_()
    losses = [LOSSES[name]()(given, target) for given in (logits, other)]
    torch.testing.assert_close(*losses, rtol=1e-12, atol=0)
    (gradient,) = torch.autograd.grad(losses[0], logits)
    assert (gradient.movedim(1, -1)[target == 255] == 0).all()
    assert gradient.abs().sum() > 0


@every_loss
def test_without_labelled_pixels_it_is_a_connected_zero(name):
    logits, target = batch(6, dtype=torch.float32)
    loss = LOSSES[name]()(logits, torch.full_like(target, 255))
    loss.backward()
    assert loss == 0
    assert (logits.grad == 0).all()


@every_loss
@pytest.mark.parametrize("scale", [200.0, -200.0])
def test_certain_predictions_have_finite_gradients(name, scale):
    """All right, and all wrong: probabilities are 0 and 1 exactly."""
    _, target = batch(7, dtype=torch.float32)
    certain = scale * (target.unsqueeze(1) == torch.arange(CLASSES)[:, None, None])
    certain = certain.requires_grad_()
    loss = LOSSES[name]()(certain, target)
    loss.backward()
    assert torch.isfinite(certain.grad).all()
    if name != "focal":
        assert float(loss.detach()) == pytest.approx(0 if scale > 0 else 1, abs=1e-6)


@every_loss
def test_what_is_no_number_makes_a_loss_that_is_none(name):
    """It has to be told as such, and not to end in an index out of range."""
    logits, target = batch(8, dtype=torch.float32)
    logits.data[target.unsqueeze(1).expand_as(logits) != 255] = float("nan")
    loss = LOSSES[name]()(logits, target)
    assert loss.isnan()
    loss.backward()


@every_loss
def test_half_precision_is_raised_under_autocast_too(name):
    logits, target = batch(9, (64, 64), dtype=torch.float32)
    half = logits.detach().bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = LOSSES[name]()(half, target)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, LOSSES[name]()(half.float(), target))


@every_loss
def test_memory_format_and_type_of_labels_do_not_matter(name):
    logits, target = batch(10)
    loss = LOSSES[name]()
    expected = loss(logits, target)
    torch.testing.assert_close(loss(logits.to(memory_format=torch.channels_last), target.to(torch.uint8)), expected)


@every_loss
def test_nothing_is_read_on_the_host(name):
    logits, target = batch(11)
    with Operations() as operations:
        LOSSES[name]()(logits, target).backward()
    assert len(operations.names) > 10
    assert not operations.host_reads()


@every_loss
def test_it_compiles_as_one_graph(name):
    logits, target = batch(12, dtype=torch.float32)
    loss = LOSSES[name]()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(logits, target), loss(logits, target))
    (ours,) = torch.autograd.grad(compiled(logits, target), logits)
    torch.testing.assert_close(ours, *torch.autograd.grad(loss(logits, target), logits))


def test_more_pixels_than_float32_counts():
    """A sum of single float32 ones ends at 2^24."""
    pixels = torch.tensor([[1 << 24, 1 << 24]])
    shares = jaccard_shares(pixels, 3 * pixels, torch.float64)
    sums = (shares[0] * pixels + shares[1] * 3 * pixels).sum()
    assert float(sums) == pytest.approx(1, rel=1e-12)


def test_probabilities_of_the_reference_are_softmax():
    logits, target = batch(13)
    expected = logits.softmax(1).movedim(1, -1)[target != 255].detach().numpy()
    np.testing.assert_allclose(labelled(logits, target)[0], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("build", "word"),
    [
        (lambda: LovaszSoftmax(0), "levels"),
        (lambda: SoftTversky(-0.1, 0.5), "alpha"),
        (lambda: SoftTversky(0.0, 0.0), "alpha"),
        (lambda: SoftTversky(float("nan"), 1.0), "alpha"),
    ],
)
def test_options_that_do_not_fit_are_refused(build, word):
    with pytest.raises(ConfigError, match=word):
        build()

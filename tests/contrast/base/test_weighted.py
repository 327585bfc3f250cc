"""Losses by name and weight, focal weights, weights of classes, and bases of others under a contrast."""

import math

import pytest
import segmentation_models_pytorch as smp
import torch
from segmentation_models_pytorch.losses._functional import softmax_focal_loss_with_logits
from torch import nn

from contextrast.contrast import (
    ContextrastLoss,
    CrossEntropy,
    CrossEntropyLoss,
    LovaszSoftmax,
    SoftDice,
    WeightedLosses,
    balanced_weights,
)
from contextrast.errors import ConfigError
from tests.contrast.base.reference import CLASSES, batch


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_focal_loss_is_that_of_others(gamma):
    logits, target = batch(0)
    rows, labels = logits.movedim(1, -1)[target != 255], target[target != 255]
    expected = softmax_focal_loss_with_logits(rows, labels, gamma)
    torch.testing.assert_close(CrossEntropy(focal_gamma=gamma)(logits, target), expected)
    (ours,) = torch.autograd.grad(CrossEntropy(focal_gamma=gamma)(logits, target), logits)
    torch.testing.assert_close(ours, *torch.autograd.grad(expected, logits))


def test_focal_weights_class_weights_and_smoothing_multiply():
    logits, target = batch(1)
    weights = torch.tensor([1.0, 2.0, 0.5, 1.0, 3.0], dtype=torch.float64)
    rows, labels = logits.movedim(1, -1)[target != 255].log_softmax(1), target[target != 255]
    losses = 0.0
    for row, label in zip(rows, labels, strict=True):
        smoothed = torch.full((CLASSES,), 0.2 / CLASSES, dtype=torch.float64)
        smoothed[label] += 0.8
        losses = losses - (1 - row[label].exp()) ** 2 * (smoothed * weights * row).sum()
    expected = losses / weights[labels].sum()
    found = CrossEntropy(weights.tolist(), label_smoothing=0.2, focal_gamma=2.0)(logits, target)
    torch.testing.assert_close(found, expected)


def test_the_total_is_the_weighted_sum_and_the_terms_are_not_weighted():
    logits, target = batch(2)
    base = WeightedLosses({"lovasz": 0.5, "cross_entropy": 2.0}, cross_entropy=CrossEntropy(), lovasz=LovaszSoftmax())
    terms = base.terms(logits, target)
    torch.testing.assert_close(terms["lovasz"], LovaszSoftmax()(logits, target))
    torch.testing.assert_close(terms["cross_entropy"], CrossEntropy()(logits, target))
    expected = 2 * terms["cross_entropy"] + 0.5 * terms["lovasz"]
    torch.testing.assert_close(base(logits, target), expected)
    torch.testing.assert_close(base.total(terms), expected)
    (found,) = torch.autograd.grad(base(logits, target), logits)
    torch.testing.assert_close(found, *torch.autograd.grad(expected, logits))


@pytest.mark.parametrize(
    ("base", "name"),
    [
        (None, "cross_entropy"),
        (CrossEntropy(), "cross_entropy"),
        (SoftDice(), "soft_dice"),
        (smp.losses.LovaszLoss("multiclass", ignore_index=255), "lovasz_loss"),
        (nn.CrossEntropyLoss(ignore_index=255), "cross_entropy_loss"),
    ],
)
def test_any_module_of_logits_and_target_is_a_base(base, name):
    logits, target = batch(3, (32, 32), dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    features = [torch.randn(2, 3, size, size, generator=generator, requires_grad=True) for size in (8, 4)]
    loss = ContextrastLoss(CLASSES, [3, 3], (0.4, 1.0), embedding_dim=8, alpha=0.1, base=base)
    terms = loss(logits, target, features)
    expected = (CrossEntropy() if base is None else base)(logits, target)
    torch.testing.assert_close(terms[name], expected)
    torch.testing.assert_close(terms.total, expected + 0.1 * terms["pixel_anchor"])
    terms.total.backward()
    for tensor in (logits, *features, *loss.parameters()):
        assert torch.isfinite(tensor.grad).all()


def test_a_base_without_contrast_has_its_terms_by_name():
    logits, target = batch(4)
    base = WeightedLosses({"cross_entropy": 1.0, "dice": 0.3}, cross_entropy=CrossEntropy(), dice=SoftDice())
    terms = CrossEntropyLoss(CLASSES, base=base)(logits, target)
    assert set(terms) == {"total", "cross_entropy", "dice"}
    torch.testing.assert_close(terms.total, terms["cross_entropy"] + 0.3 * terms["dice"])


def test_parameters_of_a_base_are_trained():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, logits, target):
            return CrossEntropy()(self.scale * logits, target)

    logits, target = batch(5)
    loss = CrossEntropyLoss(CLASSES, base=Scaled())
    loss(logits, target).total.backward()
    (parameter,) = loss.parameters()
    assert parameter.grad != 0


@pytest.mark.parametrize(
    ("weights", "losses", "word"),
    [
        ({}, {}, "none"),
        ({"cross_entropy": 1.0}, {"cross_entropy": CrossEntropy(), "dice": SoftDice()}, "dice"),
        ({"cross_entropy": 1.0, "lovas": 1.0}, {"cross_entropy": CrossEntropy()}, "lovas"),
        ({"dice": -1.0}, {"dice": SoftDice()}, r"weights\.dice"),
        ({"dice": math.inf}, {"dice": SoftDice()}, r"weights\.dice"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weights, losses, word):
    with pytest.raises(ConfigError, match=word):
        WeightedLosses(weights, **losses)


@pytest.mark.parametrize("options", [{"focal_gamma": -1.0}, {"class_weights": "auto"}, {"class_weights": "automatic"}])
def test_options_of_cross_entropy_that_do_not_fit_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        CrossEntropy(**options)


def test_balanced_weights_are_enets():
    """At the ends of the range, too, 1.4 and 50.5."""
    found = balanced_weights([1.0, 0.25, 0.0])
    assert found == pytest.approx([1 / math.log(2.02), 1 / math.log(1.27), 1 / math.log(1.02)])
    assert found[0] == pytest.approx(1.42, abs=0.01)
    assert found[2] == pytest.approx(50.5, abs=0.01)
    with pytest.raises(ConfigError, match=r"0\.\.1"):
        balanced_weights([1.2])


def test_none_leaves_a_loss_out_with_its_weight():
    logits, target = batch(0)
    left = WeightedLosses({"cross_entropy": 1.0, "dice": 0.5}, cross_entropy=None, dice=SoftDice())
    torch.testing.assert_close(left(logits, target), 0.5 * SoftDice()(logits, target))
    assert list(left.terms(logits, target)) == ["dice"]
    with pytest.raises(ConfigError, match="one for each of the losses, none"):
        WeightedLosses({"cross_entropy": 1.0}, cross_entropy=None)

"""Weights of pixels, as pseudo-labels have them, against the slow reference and against leaving pixels out."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from contextrast import ContextrastLoss
from contextrast.contrast import BoundaryAwareNegatives, ContextualContrast, CrossEntropy, CrossEntropyLoss
from contextrast.contrast.base import LovaszSoftmax
from contextrast.contrast.peers import PixelContrastLoss
from contextrast.errors import ConfigError
from tests.contrast.reference import pixel_anchor
from tests.contrast.test_contextual import WEIGHTS, make, numpied


@pytest.mark.parametrize("error_map", ["predicted", "others"])
@given(seed=st.integers(0, 10**6), num_classes=st.integers(1, 6))
@settings(max_examples=8, deadline=None)
def test_means_over_positives_are_the_reference_s(error_map, seed, num_classes):
    embeddings, target, prediction = make(seed, num_classes)
    weight = torch.rand(target.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.01
    contrast = ContextualContrast(num_classes, WEIGHTS, negatives=BoundaryAwareNegatives(error_map=error_map))
    expected = pixel_anchor(
        numpied(embeddings), target.numpy(), prediction.numpy(), num_classes, WEIGHTS, error_map=error_map,
        pixel_weight=weight.numpy(),
    )  # fmt: skip
    found = contrast(embeddings, target, prediction, weight)["pixel_anchor"]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-12)


def inputs(seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 4, 32, 32, generator=generator)
    target = torch.randint(0, 4, (2, 8, 8), generator=generator).repeat_interleave(4, 1).repeat_interleave(4, 2)
    features = [torch.randn(2, c, s, s, generator=generator) for c, s in ((6, 8), (5, 4))]
    return logits, target, features


def loss(**options):
    torch.manual_seed(0)
    return ContextrastLoss(4, [6, 5], embedding_dim=8, **options)


def test_equal_weights_change_nothing_and_none_leaves_pixels_out():
    logits, target, features = inputs()
    plain = loss()(logits, target, features)
    for weight in (torch.ones(target.shape), torch.full(target.shape, 0.25)):
        for name, value in loss()(logits, target, features, weight=weight).items():
            torch.testing.assert_close(value, plain[name], msg=name)
    sure = torch.rand(target.shape, generator=torch.Generator().manual_seed(1)) > 0.4
    left_out = loss()(logits, target.masked_fill(~sure, 255), features)
    for name, value in loss()(logits, target, features, weight=sure.float()).items():
        torch.testing.assert_close(value, left_out[name], msg=name)
    nothing = loss()(logits, target, features, weight=torch.zeros(target.shape))
    assert nothing.total == 0
    nothing.total.backward()


@pytest.mark.parametrize("class_weights", [None, [1.0, 2.0, 0.5, 3.0]])
def test_the_base_is_a_weighted_mean(class_weights):
    logits, target, _ = inputs()
    weight = torch.rand(target.shape, generator=torch.Generator().manual_seed(1))
    base = CrossEntropy(class_weights)
    found = CrossEntropyLoss(4, base=base)(logits, target, weight=weight).total
    rows, labels = logits.permute(0, 2, 3, 1).reshape(-1, 4), target.flatten()
    own = weight.flatten() * (1 if class_weights is None else torch.tensor(class_weights)[labels])
    expected = (F.cross_entropy(rows, labels, reduction="none") * own / own.sum()).sum()
    torch.testing.assert_close(found, expected)


def test_peers_leave_pixels_without_weight_out():
    logits, target, features = inputs()
    sure = torch.rand(target.shape, generator=torch.Generator().manual_seed(1)) > 0.4
    found = []
    for arguments in ({"weight": sure.float()}, {}):
        torch.manual_seed(0)
        peer = PixelContrastLoss(4, [6, 5], embedding_dim=8, start_step=0)
        labels = target if arguments else target.masked_fill(~sure, 255)
        found.append(peer(logits, labels, features, **arguments).total)
    torch.testing.assert_close(*found)


@pytest.mark.parametrize(
    ("weight", "options", "words"),
    [
        (torch.ones(2, 4, 4), {}, r"weight must be floating \[B, H, W\] = \[2, 32, 32\], got \[2, 4, 4\]"),
        (torch.ones(2, 32, 32, dtype=torch.long), {}, "weight must be floating"),
        (torch.full((2, 32, 32), -1.0), {}, "weight must hold numbers of 0 or more"),
        (torch.full((2, 32, 32), torch.nan), {}, "weight must hold numbers of 0 or more"),
        (torch.ones(2, 32, 32), {"ignore_index": None}, "weight needs an ignore_index"),
        (torch.ones(2, 32, 32), {"base": LovaszSoftmax()}, "lovasz_softmax does not weigh pixels"),
    ],
)
def test_weights_that_cannot_be_used_are_refused(weight, options, words):
    logits, target, features = inputs()
    with pytest.raises(ConfigError, match=words):
        loss(**options)(logits, target, features, weight=weight)

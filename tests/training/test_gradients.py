"""How the terms of a loss pull at shared maps, against gradients of the terms one by one."""

import pytest
import torch

from contextrast.contrast import ContextrastLoss, CrossEntropyLoss
from contextrast.training.gradients import compare_gradients


def test_ratio_and_cosine_are_those_of_the_terms_own_gradients():
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(4, (2, 16, 16), generator=generator)
    image = torch.randn(2, 3, 4, 4, generator=generator)
    weight = torch.randn(4, 3, generator=generator)
    loss = ContextrastLoss(4, [3], (1.0,), alpha=0.3, embedding_dim=8).eval()

    def terms():
        features = [image.clone().requires_grad_()]
        logits = torch.nn.functional.interpolate(
            torch.einsum("nc,bchw->bnhw", weight, features[0]), size=(16, 16), mode="bilinear"
        )
        return loss(logits, target, features), features

    seen, features = terms()
    compared = compare_gradients(seen.weighted, features)
    seen.total.backward()  # the graph is still there
    assert torch.isfinite(features[0].grad).all()
    alone = []
    for name in ("cross_entropy", "pixel_anchor"):
        seen, features = terms()
        seen[name].backward()
        alone.append(features[0].grad.flatten().double())
    base, contrast = alone[0], 0.3 * alone[1]
    assert compared["ratio"].tolist() == pytest.approx([float(contrast.norm() / base.norm())], rel=1e-4)
    assert compared["cosine"].tolist() == pytest.approx([float(torch.cosine_similarity(base, contrast, 0))], rel=1e-4)


def test_a_loss_without_a_contrast_has_nothing_to_compare():
    logits = torch.randn(2, 4, 8, 8, requires_grad=True)
    terms = CrossEntropyLoss(4)(logits, torch.zeros(2, 8, 8, dtype=torch.long))
    assert compare_gradients(terms.weighted, [logits]) == {}

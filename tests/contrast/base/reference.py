"""The losses of regions as their papers write them: loops over classes and pixels, numpy in double precision."""

import numpy as np
import torch

from tests.contrast.cases import label_maps

CLASSES, IGNORE = 5, 255


def batch(seed=0, size=(13, 17), certain=2.0, dtype=torch.float64, classes=CLASSES):
    """Logits and target with ignored pixels; class 3 does not occur, the network predicts it all the same."""
    generator = torch.Generator().manual_seed(seed)
    target, prediction = label_maps(generator, 2, *size, classes)
    target[target == 3] = IGNORE
    logits = torch.randn(2, classes, *size, generator=generator, dtype=dtype)
    logits += certain * (prediction.unsqueeze(1) == torch.arange(classes)[:, None, None])
    return logits.requires_grad_(), target


def labelled(logits, target):
    """Probabilities ``[P, N]`` and classes ``[P]`` of the pixels that are not ignored."""
    rows = logits.detach().double().movedim(1, -1).reshape(-1, logits.shape[1])[target.flatten() != IGNORE].numpy()
    rows = np.exp(rows - rows.max(1, keepdims=True))
    return rows / rows.sum(1, keepdims=True), target.flatten()[target.flatten() != IGNORE].numpy()


def jaccard_loss(wrong, own):
    """Δ of a set of wrong pixels (Berman et al., Eq. 3): 1 - |own and right| / |own or wrong|."""
    return 1 - (own & ~wrong).sum() / (own | wrong).sum()


def lovasz_extension(errors, own):
    """Σ e·g with g_i = Δ of the i worst pixels - Δ of the i - 1 worst, pixel by pixel; and g."""
    wrong, before = np.zeros(len(own), dtype=bool), 0.0
    shares = np.zeros(len(own))
    for pixel in np.argsort(-errors, kind="stable"):
        wrong[pixel] = True
        after = jaccard_loss(wrong, own)
        shares[pixel], before = after - before, after
    return float(errors @ shares), shares


def lovasz_softmax(logits, target):
    """Mean over the classes that occur (Berman et al., Eq. 12)."""
    probabilities, classes = labelled(logits, target)
    losses = []
    for number in np.unique(classes):
        own = classes == number
        errors = np.where(own, 1 - probabilities[:, number], probabilities[:, number])
        losses.append(lovasz_extension(errors, own)[0])
    return float(np.mean(losses))


def tversky(logits, target, alpha, beta):
    """1 - TP / (TP + α·FP + β·FN) (Salehi et al., Eq. 3), mean over the classes that occur."""
    probabilities, classes = labelled(logits, target)
    losses = []
    for number in np.unique(classes):
        hit = false = missing = 0.0
        for p, label in zip(probabilities[:, number], classes, strict=True):
            hit, false, missing = (hit + p, false, missing + 1 - p) if label == number else (hit, false + p, missing)
        losses.append(1 - hit / (hit + alpha * false + beta * missing))
    return float(np.mean(losses))

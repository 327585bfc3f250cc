"""Counting pixels by class, on the device that holds them: no value is read on the host."""

import torch
from torch import Tensor


def to_ids(preds: Tensor, target: Tensor, num_classes: int) -> Tensor:
    """Predicted ids, from themselves or from logits.

    Args:
        preds: Logits, floating point ``[B, N, H, W]``, or predicted ids, integer ``[B, H, W]``.
        target: Train ids, integer ``[B, H, W]``.
        num_classes: N.

    Returns:
        Integer ``[B, H, W]``.

    Raises:
        ValueError: If the shapes do not belong together.
    """
    if preds.is_floating_point():
        expected = (target.shape[0], num_classes, *target.shape[1:])
        if preds.shape != expected:
            msg = f"logits beside labels {tuple(target.shape)} must have shape {expected}, got {tuple(preds.shape)}"
            raise ValueError(msg)
        # max() runs along the class axis several times faster than argmax() on CPU tensors in NCHW layout.
        return preds.max(dim=1).indices
    if preds.shape != target.shape:
        msg = f"predicted ids must have the labels' shape {tuple(target.shape)}, got {tuple(preds.shape)}"
        raise ValueError(msg)
    return preds


def is_class(ids: Tensor, num_classes: int, ignore_index: int | None = None) -> Tensor:
    """Where ids are classes, boolean, in their shape: 0..N-1 and not ``ignore_index``."""
    inside = (ids >= 0) & (ids < num_classes)
    return inside if ignore_index is None else inside & (ids != ignore_index)


def histogram(values: Tensor, counted: Tensor, bins: int) -> Tensor:
    """How often each whole number occurs.

    Args:
        values: Integers of any shape; 0..bins-1 where they are counted, anything elsewhere.
        counted: Boolean, in the same shape.
        bins: Number of bins.

    Returns:
        int64 ``[bins]``.
    """
    # What is not counted goes to a bin of its own. Boolean indexing and torch.bincount would make a CUDA device report
    # sizes to the host.
    cells = torch.where(counted, values.long(), bins).flatten()
    counts = torch.zeros(bins + 1, dtype=torch.long, device=cells.device)
    return counts.scatter_add_(0, cells, torch.ones_like(cells))[:bins]


def confusion_counts(prediction: Tensor, target: Tensor, num_classes: int, ignore_index: int | None = None) -> Tensor:
    """Pixels of each class by what they were predicted as, ``[N, N + 1]``: `image_confusion_counts` of all images."""
    return image_confusion_counts(prediction, target, num_classes, ignore_index).sum(0)


def image_confusion_counts(
    prediction: Tensor, target: Tensor, num_classes: int, ignore_index: int | None = None
) -> Tensor:
    """Pixels of each class by what they were predicted as.

    Args:
        prediction: Predicted ids, integer ``[B, H, W]``; one outside 0..N-1 is a prediction of no class.
        target: Train ids, integer ``[B, H, W]``; what is no class takes part in nothing.
        num_classes: N.
        ignore_index: A class that takes part in nothing, if there is one.

    Returns:
        int64 ``[B, N, N + 1]`` for each image: row = labelled class, column = predicted class, the last one for
        predictions of no class.
    """
    columns = num_classes + 1
    predicted = torch.where(is_class(prediction, num_classes), prediction.long(), num_classes)
    place = torch.arange(len(target), device=target.device).view(-1, 1, 1) * (num_classes * columns)
    cells = place + predicted + target.long() * columns
    counted = is_class(target, num_classes, ignore_index)
    return histogram(cells, counted, len(target) * num_classes * columns).view(len(target), num_classes, columns)


def iou_from_counts(counts: Tensor) -> Tensor:
    """IoU of each class, TP / (TP + FP + FN), from `confusion_counts`.

    Args:
        counts: ``[..., N, N + 1]``.

    Returns:
        float64 ``[..., N]``; NaN for a class that occurs neither in the labels nor in the predictions.
    """
    true_positive = counts.diagonal(dim1=-2, dim2=-1)
    union = counts.sum(-1) + counts[..., :-1].sum(-2) - true_positive
    return true_positive.double() / union  # 0 / 0 is NaN by IEEE 754, which is just what an absent class should be

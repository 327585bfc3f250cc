"""mIoU by the size of ground-truth objects (Contextrast++, section IV-B), with false positives shared out once."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from contextrast.metrics.counts import to_ids
from contextrast.metrics.measure import Measure, Report

SCALES: Final = ("tiny", "small", "medium", "large")
"""Objects of up to 16x16 pixels, up to 32x32, up to 96x96, and larger ones."""

LARGEST_AREAS: Final = (16**2, 32**2, 96**2)
"""Largest area in pixels of all scales but the last."""

_EIGHT_NEIGHBOURS: Final = np.ones((3, 3), dtype=np.uint8)

Ids = NDArray[np.integer[Any]]
Mask = NDArray[np.bool_]
Counts = NDArray[np.int64]


def object_scale_counts(prediction: Ids, target: Ids, num_classes: int) -> Counts:
    """True positives, false positives and false negatives of each class and object scale: the partition convention.

    An object is an 8-connected component of a class's labelled pixels, and its scale that of its area. TP and FN of a
    scale are the pixels of its objects that are, or are not, predicted as the class. For false positives each
    8-connected component of the pixels predicted as the class, ignored ones left out, is taken whole: its wrong
    pixels go to the scale of the object of that class with which it shares most pixels (the first in raster order where
    several share as many), or, if it touches none, to the scale of its own area. So a class's counts over all
    scales add up to its counts in the confusion matrix, and each error is charged once.

    Args:
        prediction: Predicted ids ``[H, W]``.
        target: Train ids ``[H, W]``, at the resolution of the labels; others than 0..N-1 are ignored.
        num_classes: N.

    Returns:
        int64 ``[4, N, 3]``: by scale and class TP, FP, FN.
    """
    counts: Counts = np.zeros((len(SCALES), num_classes, 3), dtype=np.int64)
    valid = (target >= 0) & (target < num_classes)
    for train_id in np.union1d(target[valid], prediction[valid]):
        if 0 <= train_id < num_classes:
            labelled, predicted = (target == train_id) & valid, (prediction == train_id) & valid
            counts[:, train_id] = _class_counts(*_cropped(labelled, predicted))
    return counts


class ObjectScaleIoU(Measure):
    """mIoU over the objects of each scale, by `object_scale_counts`; counts summed over the images, then divided.

    Components are found on the CPU, so that every batch is copied there once.

    Args:
        num_classes: N.
        **kwargs: Passed to ``torchmetrics.Metric``.
    """

    counts: Tensor

    def __init__(self, num_classes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes
        counts = torch.zeros(len(SCALES), num_classes, 3, dtype=torch.long)
        self.add_state("counts", counts, dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count one batch; see `Measure`."""
        both = torch.stack([to_ids(preds, target, self.num_classes).long(), target.long()], 1).cpu().numpy()
        counts = sum(object_scale_counts(p, t, self.num_classes) for p, t in both)
        self.counts += torch.as_tensor(counts, device=self.counts.device)

    def compute(self) -> Tensor:
        """IoU of each scale and class, float64 ``[4, N]``; NaN where a scale has no pixel of a class."""
        return self.counts[..., 0].double() / self.counts.sum(-1)

    def report(self, classes: Sequence[str]) -> Report:
        """Scores ``miou_tiny`` to ``miou_large``; each class's counts and IoUs go to files."""
        iou: Tensor = self.compute()
        means = dict(zip(SCALES, iou.nanmean(1).tolist(), strict=True))
        numbers = (~iou.isnan()).sum(1).tolist()
        details = {
            f"iou_{scale}": dict(zip(classes, row, strict=True))
            for scale, row in zip(SCALES, iou.tolist(), strict=True)
        }
        return Report(
            convention="partition: objects are 8-connected components of the labels, tiny up to 16x16 pixels, small up "
            "to 32x32, medium up to 96x96; false positives go to the scale of the object that their component "
            "overlaps most, or of the component itself if it overlaps none",
            scores={f"miou_{scale}": mean for scale, mean in means.items()},
            groups={s: {"mIoU": mean, "classes": n} for (s, mean), n in zip(means.items(), numbers, strict=True)},
            details=details,
        )


def _class_counts(labelled: Mask, predicted: Mask) -> Counts:
    """TP, FP, FN ``[4, 3]`` of one class in one image, from its masks ``[H, W]``."""
    objects, number = ndimage.label(labelled, _EIGHT_NEIGHBOURS)
    pieces, pieces_number = ndimage.label(predicted, _EIGHT_NEIGHBOURS)
    area = np.bincount(objects.ravel(), minlength=number + 1)
    hits = np.bincount(objects[predicted], minlength=number + 1)
    wrong = np.bincount(pieces[~labelled], minlength=pieces_number + 1)
    scale = _scales(area)
    charged = _scales(np.bincount(pieces.ravel()))  # where a piece touches no object
    touched, chosen = _largest_overlap(pieces, objects)
    charged[touched] = scale[chosen]
    columns = ((scale, hits), (charged, wrong), (scale, area - hits))
    # Number 0 is the background of both kinds of components.
    return np.stack([np.bincount(s[1:], n[1:], len(SCALES)) for s, n in columns], axis=1).astype(np.int64)


def _scales(area: Ids) -> Ids:
    """Position in `SCALES` of each area in pixels."""
    return np.searchsorted(LARGEST_AREAS, area)


def _largest_overlap(pieces: Ids, objects: Ids) -> tuple[Ids, Ids]:
    """The pieces that touch an object, and the object that each shares most pixels with (the first if equal)."""
    shared = (pieces > 0) & (objects > 0)
    base = int(objects.max(initial=0)) + 1
    pairs, pixels = np.unique(pieces[shared].astype(np.int64) * base + objects[shared], return_counts=True)
    piece, touched = np.divmod(pairs, base)
    order = np.lexsort((touched, -pixels, piece))  # the last key counts most
    numbers, first = np.unique(piece[order], return_index=True)
    return numbers, touched[order][first]


def _cropped(labelled: Mask, predicted: Mask) -> tuple[Mask, Mask]:
    """Both masks, cut to the rows and columns in which either has a pixel."""
    either = labelled | predicted
    rows, columns = (np.flatnonzero(either.any(axis)) for axis in (1, 0))
    window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return labelled[window], predicted[window]

"""BANE's distance and selection against kornia and scipy."""

import statistics

import kornia.contrib
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from contextrast.benchmarks.inputs import label_maps
from contextrast.benchmarks.measuring import CONSOLE, spread, table, timed
from contextrast.contrast import BoundaryAwareNegatives
from contextrast.contrast.distance import region_edges


def distance(repetitions: int) -> dict[str, float]:
    """Distance and selection of stage 1 (8x128x256, 19 classes) against kornia on class-wise maps and scipy."""
    target, prediction = label_maps(8, 128, 256, 19)
    bane = BoundaryAwareNegatives()
    ours = timed(lambda: bane.select(target, prediction, 19), repetitions)
    regions = BoundaryAwareNegatives(percentage=100).select(target, prediction, 19)
    classwise = torch.stack([region_edges(torch.where(regions == n, n, -1)) for n in range(19)], 1).float()
    theirs = timed(lambda: kornia.contrib.distance_transform(classwise), max(1, repetitions // 3))
    selected = bane.select(target, prediction, 19)
    expected = scipy_selection(regions.numpy(), 19, bane.percentage)
    numbers = {
        "seconds": statistics.median(ours),
        "seconds_kornia_classwise": statistics.median(theirs),
        "times_faster": statistics.median(theirs) / statistics.median(ours),
        "selected": int((selected >= 0).sum()),
        "differing_from_scipy": int((selected.numpy() != expected).sum()),
    }
    shown = table("Distance and selection, 8x128x256, 19 classes", "method", "median s", "range s")
    shown.add_row("one exact transform, with selection", *spread(ours))
    shown.add_row("kornia.contrib.distance_transform, class by class", *spread(theirs))
    CONSOLE.print(shown)
    CONSOLE.print(f"{numbers['times_faster']:.0f} times faster; {numbers['selected']} pixels selected, "
                  f"{numbers['differing_from_scipy']} of them other than by scipy's class-wise transform")  # fmt: skip
    return numbers


def scipy_selection(regions: NDArray[np.int64], num_classes: int, percentage: int) -> NDArray[np.int64]:
    """BANE's selection, class by class and image by image, with scipy's exact transform."""
    cross = ndimage.generate_binary_structure(2, 1)
    selected = np.full_like(regions, -1)
    for image, result in zip(regions, selected, strict=True):
        for n in range(num_classes):
            region = image == n
            edges = region & ~ndimage.binary_erosion(region, cross, border_value=1)
            squared = np.rint(ndimage.distance_transform_edt(~edges) ** 2) if edges.any() else np.zeros(region.shape)
            if region.any():
                threshold = np.sort(squared[region])[(int(region.sum()) - 1) * percentage // 100]
                result[region & (squared <= threshold)] = n
    return selected

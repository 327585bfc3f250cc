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
    """Distance and selection of stage 1 (8x128x256, 19 classes) against kornia, in one pass or by class, and scipy."""
    target, prediction = label_maps(8, 128, 256, 19)
    exact, kornias = BoundaryAwareNegatives(), BoundaryAwareNegatives(transform="kornia")
    regions = BoundaryAwareNegatives(percentage=100).select(target, prediction, 19)
    classwise = torch.stack([region_edges(torch.where(regions == n, n, -1)) for n in range(19)], 1).float()
    slow = max(1, repetitions // 3)
    seconds = {
        "exact, with selection": timed(lambda: exact.select(target, prediction, 19), repetitions),
        "kornia in one pass, with selection": timed(lambda: kornias.select(target, prediction, 19), slow),
        "kornia class by class": timed(lambda: kornia.contrib.distance_transform(classwise), slow),
        "scipy class by class, with selection": timed(lambda: scipy_selection(regions.numpy(), 19, 50), slow),
    }
    expected = scipy_selection(regions.numpy(), 19, exact.percentage)
    selected = {"exact": exact.select(target, prediction, 19), "kornia": kornias.select(target, prediction, 19)}
    numbers = {f"{name} seconds": statistics.median(values) for name, values in seconds.items()}
    numbers["times faster"] = numbers["kornia class by class seconds"] / numbers["exact, with selection seconds"]
    numbers["selected by scipy"] = int((expected >= 0).sum())
    numbers |= {f"{name} differing": int((found.numpy() != expected).sum()) for name, found in selected.items()}
    shown = table("Distance and selection, 8x128x256, 19 classes", "method", "median s", "range s")
    for name, values in seconds.items():
        shown.add_row(name, *spread(values))
    CONSOLE.print(shown)
    CONSOLE.print(f"exact: {numbers['times faster']:.0f} times as fast as kornia class by class", soft_wrap=True)
    others = ", ".join(f"{name} otherwise {numbers[f'{name} differing']}" for name in selected)
    CONSOLE.print(f"{numbers['selected by scipy']} pixels selected by scipy's transform; {others}", soft_wrap=True)
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

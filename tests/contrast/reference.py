"""The method written slowly with numpy and scipy, loop by loop, straight from the equations."""

import numpy as np
import torch
from scipy import ndimage

CROSS = ndimage.generate_binary_structure(2, 1)


def on_grid(labels, height, width, exact=False):
    """nearest-exact, by torch's own interpolation; of labels, or of exact numbers."""
    resized = torch.nn.functional.interpolate(
        torch.as_tensor(labels)[:, None].double(), size=(height, width), mode="nearest-exact"
    )
    return resized[:, 0].numpy() if exact else resized[:, 0].long().numpy()


def region_of(target, prediction, n, error_map, ignore):
    """Eq. 6 for one image and class: pixels mistaken for n, or pixels of n mistaken for something else."""
    valid = target != ignore
    if error_map == "predicted":
        return valid & (prediction == n) & (target != n)
    return valid & (target == n) & (prediction != n)


def select(region, percentage):
    """Eq. 7 and the selection for one region of one image."""
    count = int(region.sum())
    if count == 0:
        return region
    edges = region & ~ndimage.binary_erosion(region, CROSS, border_value=1)
    if not edges.any():
        return region
    squared = np.rint(ndimage.distance_transform_edt(~edges) ** 2).astype(int)
    threshold = np.sort(squared[region])[(count - 1) * percentage // 100]
    return region & (squared <= threshold)


def selected_regions(target, prediction, num_classes, percentage, error_map, ignore=255):
    """Class of the region a selected pixel belongs to, -1 elsewhere; class by class, image by image."""
    result = np.full(target.shape, -1)
    present = set(np.unique(target[target != ignore]))
    for b in range(len(target)):
        for n in range(num_classes):
            if error_map == "predicted" and n not in present:
                continue
            region = region_of(target[b], prediction[b], n, error_map, ignore)
            result[b][select(region, percentage)] = n
    return result


def negatives_of(n, target, selected, error_map, ignore=255):
    """Boolean map of the negatives of anchor n over the whole batch."""
    if error_map == "all":
        return (target != ignore) & (target != n)
    if error_map == "others":
        return (selected >= 0) & (selected != n)
    return selected == n


def anchors_of(embedding, target, num_classes, ignore=255):
    """Eq. 1."""
    rows = embedding.transpose(0, 2, 3, 1)
    return {
        n: np.mean([v for v, label in zip(rows.reshape(-1, rows.shape[-1]), target.ravel()) if label == n], axis=0)
        for n in range(num_classes)
        if (target == n).any() and n != ignore
    }


def pixel_anchor(
    embeddings,
    target,
    prediction,
    num_classes,
    weights,
    temperature=0.1,
    percentage=50,
    error_map="predicted",
    weight_low=0.5,
    weight_high=0.5,
    normalize=True,
    ignore=255,
    anchor_negatives=0.0,
    reduce_negatives="sum",
    pixel_weight=None,
):
    """Eqs. 1 to 4 with static fusion, and the options of Z: the pixel-anchor loss of all stages."""
    reduce = {"sum": np.sum, "mean": np.mean}[reduce_negatives]
    grids = [(on_grid(target, *e.shape[2:]), on_grid(prediction, *e.shape[2:])) for e in embeddings]
    anchors = [anchors_of(e, g, num_classes, ignore) for e, (g, _) in zip(embeddings, grids)]
    total = 0.0
    for i, (embedding, (truth, predicted)) in enumerate(zip(embeddings, grids)):
        selected = None
        if error_map != "all":
            selected = selected_regions(truth, predicted, num_classes, percentage, error_map, ignore)
        rows = embedding.transpose(0, 2, 3, 1)
        fused = {}
        for n, anchor in anchors[i].items():
            if i < len(embeddings) - 1 and n in anchors[-1]:
                anchor = weight_low * anchor + weight_high * anchors[-1][n]
            fused[n] = anchor / np.linalg.norm(anchor) if normalize else anchor
        stage = 0.0
        for n, anchor in fused.items():
            negative = rows[negatives_of(n, truth, selected, error_map, ignore)] @ anchor / temperature
            positive = rows[truth == n] @ anchor / temperature
            z = reduce(np.exp(negative)) if len(negative) else 0.0
            others = [np.exp(anchor @ other / temperature) for m, other in fused.items() if m != n]
            z += anchor_negatives * reduce(others) if others else 0.0
            losses = [-np.log(np.exp(s) / (np.exp(s) + z)) for s in positive]
            of_pixels = (
                None if pixel_weight is None else on_grid(pixel_weight, *truth.shape[1:], exact=True)[truth == n]
            )
            stage += np.average(losses, weights=of_pixels)
        total += weights[i] * stage / max(1, len(anchors[i]))
    return total

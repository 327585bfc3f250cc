"""The peers' losses written slowly with numpy, sample by sample, straight from the equations."""

import numpy as np

from contextrast.contrast.peers import Samples


def contrast(anchors, classes, keys, key_classes, temperature, empty, themselves=False):
    """Mean over the anchors with a positive of -1/|P| Σ log(exp(s+) / (exp(s+) + Σ exp(s-)))."""
    losses = []
    for i, (anchor, label) in enumerate(zip(anchors, classes)):
        positives, negatives = [], []
        for j, (key, other) in enumerate(zip(keys, key_classes)):
            if other == empty or (themselves and i == j):
                continue
            (positives if other == label else negatives).append(float(np.dot(anchor, key)) / temperature)
        if label == empty or not positives:
            continue
        losses.append(np.mean([np.logaddexp.reduce([s, *negatives]) - s for s in positives]))
    return float(np.mean(losses)) if losses else 0.0


def samples_contrast(samples: Samples, keys: Samples | None, temperature):
    """As above, of :class:`Samples`."""
    others = samples if keys is None else keys
    arrays = [value.detach().double().numpy() for value in (samples.embeddings, others.embeddings)]
    labels = [value.tolist() for value in (samples.classes, others.classes)]
    return contrast(arrays[0], labels[0], arrays[1], labels[1], temperature, samples.num_classes, keys is None)


def cosines(samples: Samples, keys: Samples | None):
    """Mean cosine over positive and over negative pairs, pair by pair."""
    others = samples if keys is None else keys
    found = ([], [])
    for i, label in enumerate(samples.classes.tolist()):
        for j, other in enumerate(others.classes.tolist()):
            if samples.num_classes in (label, other) or (keys is None and i == j):
                continue
            found[label != other].append((samples.embeddings[i] @ others.embeddings[j]).item())
    return [float(np.mean(part)) if part else 0.0 for part in found]


def groups(classes, num_classes, min_pixels):
    """Positions of the pixels of every (image, class) pair with enough of them, by image, then class."""
    found = {}
    for image, labels in enumerate(classes.reshape(len(classes), -1)):
        for label in range(num_classes):
            where = np.flatnonzero(labels == label)
            if len(where) >= min_pixels:
                found[image, label] = set((where + image * labels.size).tolist())
    return found

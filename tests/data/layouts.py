"""Tiny copies of the official layouts of PASCAL-Context and COCO-Stuff 10k, written into a folder."""

import numpy as np
import scipy.io
from PIL import Image

from .conftest import grey, save

# Every label of the two datasets' label maps: label v occurs v + 1 times.
ALL_459 = np.repeat(np.arange(460), np.arange(1, 461)).reshape(230, 461).astype(np.uint16)
ALL_182 = np.repeat(np.arange(183), np.arange(1, 184)).reshape(92, 183)


def save_map(path, **variables):
    """Writes a .mat file as MATLAB does, compressed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, variables, do_compression=True)
    return path


def save_list(path, names, tail=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}{tail}\n" for name in names))
    return path


def save_image(path, shape):
    save(path.with_suffix(".png"), grey(3, *shape)).unlink()  # makes the folder
    Image.fromarray(grey(3, *shape)).save(path)
    return path


def pascal_official(root, maps):
    """``maps`` gives each split's label maps by name; VOC2010 holds images besides, as it does."""
    voc = root / "VOCdevkit" / "VOC2010"
    for split, named in maps.items():
        save_list(voc / "ImageSets" / "Main" / f"{split}.txt", named, tail=" ")
        for name, labels in named.items():
            save_image(voc / "JPEGImages" / f"{name}.jpg", labels.shape)
            save_map(root / "trainval" / f"{name}.mat", LabelMap=labels)
    save_image(voc / "JPEGImages" / "2010_999999.jpg", (4, 6))
    return root


def cells(*texts):
    """A MATLAB cell of texts."""
    content = np.empty((len(texts), 1), dtype=object)
    content[:, 0] = texts
    return content


def coco_map(path, labels, names=182):
    """A label map with all the variables of the original, of version 1.1 or with 172 names of 1.0."""
    captions = cells("a street", "a road with cars")
    return save_map(
        path, S=labels, names=cells(*(f"name {i}" for i in range(names))), captions=captions,
        regionMapStuff=np.ones(labels.shape), regionLabelsStuff=np.ones((3, 1)),
    )  # fmt: skip


def coco_official(root, maps):
    """``maps`` gives the label maps by name under the names of the lists, train and test."""
    for name_list, named in maps.items():
        save_list(root / "imageLists" / f"{name_list}.txt", named)
        for name, labels in named.items():
            save_image(root / "images" / f"{name}.jpg", labels.shape)
            coco_map(root / "annotations" / f"{name}.mat", labels)
    return root

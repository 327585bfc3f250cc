"""Figures of what trained networks learned, as the papers have them, from checkpoints of contextrast-train.

  error_distance  mean cosine of error pixels to their class's anchor, by the distance to the error boundary
  tsne            pixels of each stage in the plane, in the colours of their classes
  feature_maps    the first three principal components of each stage's features as red, green and blue
  grad_cam        where each stage speaks for a class

Several checkpoints, with the same classes and stages, are compared in one figure. The dataset is the first one's.
tsne and grad_cam need: pip install '.[analysis]' in a clone
"""

import argparse
from pathlib import Path
from typing import Final

from contextrast.cli.app import reporting_errors
from contextrast.cli.described import add_version
from contextrast.cli.entry import function_at

FIGURES: Final = ("error_distance", "tsne", "feature_maps", "grad_cam")


def main() -> None:
    """Console script: exits with 1 and one message where something is wrong that the user can mend."""
    arguments = parser().parse_args()
    with reporting_errors("train"):
        function_at("contextrast.tasks.analyze:analyze")(arguments)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    described = argparse.ArgumentParser(
        "contextrast-analyze", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = described.add_argument
    add("checkpoints", nargs="+", type=Path, metavar="CHECKPOINT", help="a run's checkpoints/last.ckpt or best.ckpt")
    add("--names", nargs="+", metavar="NAME", help="what figures call them; default: what their paths differ in")
    add("--data-root", metavar="PATH", help="folder of the dataset; default: as in training")
    add("--split", default="val", help="val, test or train; default: val")
    add("--images", type=int, metavar="N", help="analyse N images, evenly spread over the split; default: all")
    add("--figures", nargs="+", choices=FIGURES, default=list(FIGURES), help="default: all of them")
    add("--space", choices=("features", "embeddings"), help="where cosines and t-SNE are taken: the encoder's stages, "
        "or behind the loss's heads; default: embeddings if all checkpoints have heads, else features")  # fmt: skip
    add("--pictures", type=int, default=4, metavar="N", help="images in feature_maps and grad_cam; default: 4")
    add("--class", dest="class_name", metavar="NAME", help="class of grad_cam, in images with it; default: the one "
        "that the first network misses in most of an image's pixels")  # fmt: skip
    add("--points", type=int, default=2000, help="pixels in a t-SNE, shared among the classes; default: 2000")
    add("--seed", type=int, default=0, help="of the pixels in a t-SNE and of where they begin; default: 0")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: auto, a GPU where there is one")
    add("--output", type=Path, metavar="FOLDER", help="default: runs/analyze/TIME")
    add_version(described)
    return described


if __name__ == "__main__":
    main()

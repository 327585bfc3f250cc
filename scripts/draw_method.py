"""Draw what boundary-aware sampling picks: a network's prediction, its error map and the sampled negatives.

python scripts/draw_method.py RUN/checkpoints/last.ckpt docs/method.png --split val --indices 3 42
"""

import argparse
from pathlib import Path

import torch
from PIL import Image

from contextrast.assembly import build_datamodule
from contextrast.callbacks.pictures import boundary_picture
from contextrast.checkpoint import load_checkpoint
from contextrast.contrast import BoundaryAwareNegatives
from contextrast.reporting import figures


def main() -> None:
    """Predict the chosen images of the checkpoint's dataset and draw them, a row each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--indices", type=int, nargs="+", default=[0, 1])
    arguments = parser.parse_args()
    checkpoint = load_checkpoint(arguments.checkpoint)
    labels, network = checkpoint.labels, checkpoint.network()
    dataset = build_datamodule(checkpoint.config["data"]).dataset(arguments.split)
    rows = []
    for index in arguments.indices:
        sample = dataset[index]
        with torch.inference_mode():
            prediction = network(network.normalize(sample["image"][None])).max(1).indices[0].numpy()
        image, target = sample["image"].permute(1, 2, 0).numpy(), sample["mask"].numpy()
        rows.append(
            [
                image,
                labels.colorize(target),
                labels.colorize(prediction),
                figures.error_map(target, prediction, labels.num_classes),
                boundary_picture(image, target, prediction, labels.num_classes, BoundaryAwareNegatives()),
            ]
        )
    titles = ["image", "ground truth", "prediction", "error map", "sampled negatives"]
    legend = [*figures.class_legend(labels), *figures.ERROR_LEGEND]
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(figures.contact_sheet(rows, titles, legend)).save(arguments.output, optimize=True)


if __name__ == "__main__":
    main()

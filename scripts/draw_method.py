"""Draw what boundary-aware sampling picks: a network's prediction, and the negatives sampled from its errors.

python scripts/draw_method.py RUN/checkpoints/last.ckpt docs/method.png --split val --indices 3 42
python scripts/draw_method.py RUN/checkpoints/last.ckpt docs/method.png --indices 8 --crop 170 100 308 212 --scale 3

The second drew the README's, with the run of `make train`. Titles and legend are legible where the sheet is shown at
half its width, as a page of 830 pixels shows one of 1660.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from contextrast.callbacks.pictures import boundary_picture
from contextrast.checkpoints.contents import load_checkpoint
from contextrast.contrast import BoundaryAwareNegatives
from contextrast.reporting import figures
from contextrast.training.assembly import build_datamodule

FONT_SIZE = 28


def main() -> None:
    """Predict the chosen images of the checkpoint's dataset and draw them, one per row."""
    arguments = _parse()
    checkpoint = load_checkpoint(arguments.checkpoint)
    labels, network = checkpoint.labels, checkpoint.network()
    dataset = build_datamodule(checkpoint.config["data"]).dataset(arguments.split)
    rows, shown = [], set()
    for index in arguments.indices:
        sample = dataset[index]
        with torch.inference_mode():
            prediction = network(network.normalize(sample["image"][None])).max(1).indices[0].numpy()
        image, target = sample["image"].permute(1, 2, 0).numpy(), sample["mask"].numpy()
        sampled = boundary_picture(image, target, prediction, labels.num_classes, BoundaryAwareNegatives())
        left, top, right, bottom = arguments.crop or (0, 0, image.shape[1], image.shape[0])
        window = slice(top, bottom), slice(left, right)
        pictures = [image, labels.colorize(target), labels.colorize(prediction), sampled]
        rows.append([_enlarged(picture[window], arguments.scale) for picture in pictures])
        shown |= {*np.unique(target[window]).tolist(), *np.unique(prediction[window]).tolist()}
    classes = [labels.classes[number] for number in shown if number < labels.num_classes]
    legend = [(name, color) for name, color in figures.class_legend(labels) if name in classes]
    titles = ["image", "ground truth", "prediction", "sampled negatives"]
    sheet = figures.contact_sheet(rows, titles, [*legend, *figures.ERROR_LEGEND], 960, FONT_SIZE)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(arguments.output, optimize=True)


def _enlarged(picture: figures.Picture, scale: int) -> figures.Picture:
    """Pixels stay squares, so that single ones can be seen."""
    return picture.repeat(scale, axis=0).repeat(scale, axis=1)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--indices", type=int, nargs="+", default=[0, 1])
    corners = ("LEFT", "TOP", "RIGHT", "BOTTOM")
    parser.add_argument("--crop", type=int, nargs=4, metavar=corners, help="window of the image (default: all)")
    parser.add_argument("--scale", type=int, default=1, help="how many times as large pixels are drawn")
    return parser.parse_args()


if __name__ == "__main__":
    main()

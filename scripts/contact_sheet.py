"""Shows what a configured dataset looks like: a grid of its first samples, image beside coloured mask, as one PNG.

    python scripts/contact_sheet.py --split test --output sheet.png data=camvid data.root=PATH
    python scripts/contact_sheet.py --speed      # reads a second on one core, no picture

What follows the options are overrides as ``contextrast-train`` takes them.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from contextrast.config import instantiate
from contextrast.data import SegmentationDataModule, SegmentationDataset
from contextrast.errors import ContextrastError
from contextrast.runs.composition import compose


def configured_dataset(overrides: list[str], split: str) -> SegmentationDataset:
    """Make the dataset that a training run with these overrides would read."""
    datamodule: SegmentationDataModule = instantiate(compose("train", overrides).data)
    return datamodule.dataset(split)


def contact_sheet(dataset: SegmentationDataset, count: int, columns: int) -> Image.Image:
    """Draw the first samples in rows of ``columns``; samples of another size are scaled to the first one's."""
    pictures = [Image.fromarray(dataset.picture(index)) for index in range(min(count, len(dataset)))]
    width, height = pictures[0].size
    sheet = Image.new("RGB", (width * columns, height * -(-len(pictures) // columns)))
    for position, picture in enumerate(pictures):
        sheet.paste(picture.resize((width, height)), (position % columns * width, position // columns * height))
    return sheet


def reads_per_second(dataset: SegmentationDataset, count: int) -> tuple[float, float]:
    """Read samples one after another on one core.

    Returns:
        Samples per second of processor time, and per second on the clock (lower where the machine is busy).
    """
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    dataset.read(0)  # what is prepared once is not counted
    clock, processor = time.perf_counter(), time.process_time()
    for index in range(count):
        dataset.read(index % len(dataset))
    return count / (time.process_time() - processor), count / (time.perf_counter() - clock)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--split", default="train", help="train, val or test")
    parser.add_argument("--count", type=int, default=12, help="samples to draw")
    parser.add_argument("--columns", type=int, default=2, help="samples side by side")
    parser.add_argument("--output", type=Path, default=Path("contact_sheet.png"), help="the PNG to write")
    parser.add_argument("--speed", action="store_true", help="time reading 1000 samples instead")
    parser.add_argument("overrides", nargs="*", help="for example data=camvid data.root=PATH")
    arguments = parser.parse_args()
    try:
        dataset = configured_dataset(arguments.overrides, arguments.split)
    except ContextrastError as error:
        sys.exit(f"{error}")
    if arguments.speed:
        processor, clock = reads_per_second(dataset, 1000)
        height, width = np.shape(dataset.read(0)[1])
        print(f"{dataset.labels.name} {width}x{height} on one of {os.cpu_count()} cores:", end=" ")
        print(f"{processor:.0f} images per second of processor time, {clock:.0f} on the clock")
        return
    contact_sheet(dataset, arguments.count, arguments.columns).save(arguments.output)
    print(f"wrote {arguments.output}")


if __name__ == "__main__":
    main()

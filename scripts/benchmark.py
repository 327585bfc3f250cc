"""Time and memory of the method, with the numbers that the README quotes.

    python scripts/benchmark.py loss        # one call of the loss, forward and backward, on four stages
    python scripts/benchmark.py distance    # one transform and selection against kornia, class by class
    python scripts/benchmark.py depthwise   # a bfloat16 step on a CPU, depthwise backward passes in float32 or not
    python scripts/benchmark.py loader data=camvid data.root=PATH   # training samples a second; overrides as to train

Inputs are seeded; times are medians over repetitions in one process, with their range.
"""

import argparse
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import kornia.contrib
import numpy as np
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from numpy.typing import NDArray
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table
from scipy import ndimage
from torch import Tensor

from contextrast.assembly import build_datamodule
from contextrast.config import config_directory, instantiate
from contextrast.contrast import BoundaryAwareNegatives, ContextualContrast
from contextrast.contrast.distance import region_edges
from contextrast.data.throughput import device_seconds, processor_seconds, samples_per_second
from contextrast.errors import ContextrastError
from contextrast.models import use_float32_depthwise_backward

CONSOLE = Console()


def main() -> None:
    """Run the benchmark that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, run in (("loss", loss), ("distance", distance), ("depthwise", depthwise), ("loader", loader)):
        command = commands.add_parser(name, help=(run.__doc__ or "").splitlines()[0])
        command.add_argument("--repetitions", type=int, default=7)
        command.add_argument("--json", type=Path, help="also write the numbers to this file")
        command.set_defaults(run=run)
    commands.choices["loader"].add_argument("overrides", nargs="*", help="for example data=camvid data.root=PATH")
    options = vars(parser.parse_args())
    run, path, _ = (options.pop(key) for key in ("run", "json", "command"))
    try:
        numbers = run(**options)
    except ContextrastError as error:
        sys.exit(f"{error}")
    if path is not None:
        path.write_text(json.dumps({"threads": torch.get_num_threads(), **numbers}, indent=1) + "\n")


def loss(repetitions: int) -> dict[str, float]:
    """One call of the contrastive term, forward and backward: batch 4, D 256, strides 4 to 32 of 512x1024 pixels."""
    table = Table(title=f"Contrastive term, forward + backward, {torch.get_num_threads()} threads")
    for heading in ("classes", "median s", "range s", "added memory MB"):
        table.add_column(heading, justify="right")
    numbers: dict[str, float] = {}
    for num_classes in (19, 171):
        call = _loss_call(num_classes)
        seconds = timed(call, repetitions)
        megabytes = added_memory(call)
        numbers |= {f"seconds_{num_classes}": statistics.median(seconds), f"megabytes_{num_classes}": megabytes}
        table.add_row(str(num_classes), *_spread(seconds), f"{megabytes:.0f}")
    numbers["ratio_171_to_19"] = numbers["seconds_171"] / numbers["seconds_19"]
    CONSOLE.print(table)
    CONSOLE.print(f"171 classes / 19 classes: {numbers['ratio_171_to_19']:.2f}")
    return numbers


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
    table = Table(title=f"Distance and selection, 8x128x256, 19 classes, {torch.get_num_threads()} threads")
    for heading in ("method", "median s", "range s"):
        table.add_column(heading, justify="left" if heading == "method" else "right")
    table.add_row("one exact transform, with selection", *_spread(ours))
    table.add_row("kornia.contrib.distance_transform, class by class", *_spread(theirs))
    CONSOLE.print(table)
    CONSOLE.print(f"{numbers['times_faster']:.0f} times faster; {numbers['selected']} pixels selected, "
                  f"{numbers['differing_from_scipy']} of them other than by scipy's class-wise transform")  # fmt: skip
    return numbers


def depthwise(repetitions: int) -> dict[str, float]:
    """A training step of the default network on a CPU in bfloat16 (8x256x320), with the float32 depthwise backward."""
    torch.manual_seed(0)
    image = torch.randn(8, 3, 256, 320).to(memory_format=torch.channels_last)
    target = torch.randint(0, 11, (8, 256, 320))
    settings = OmegaConf.load(config_directory() / "model" / "fpn_lite0.yaml").model
    seconds: dict[str, list[float]] = {"torch's": [], "float32": []}
    steps = []
    for name in seconds:
        network = instantiate(settings, num_classes=11).to(memory_format=torch.channels_last).train()
        if name == "float32":
            use_float32_depthwise_backward(network)
        steps.append((name, network))
    for repetition in range(repetitions + 1):  # alternating, so that a busy machine slows both; the first warms up
        for name, network in steps:
            start = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16):
                logits = network(image)
            loss_value: Tensor = F.cross_entropy(logits.float(), target)
            loss_value.backward()  # type: ignore[no-untyped-call]
            network.zero_grad()
            if repetition:
                seconds[name].append(time.perf_counter() - start)
    table = Table(title=f"Forward + backward of the default network, bfloat16, {torch.get_num_threads()} threads")
    for heading in ("depthwise backward", "median s", "range s"):
        table.add_column(heading, justify="right")
    for name, values in seconds.items():
        table.add_row(name, *_spread(values))
    CONSOLE.print(table)
    ratio = statistics.median(seconds["float32"]) / statistics.median(seconds["torch's"])
    CONSOLE.print(f"float32 / torch's: {ratio:.2f}")
    return {"ratio": ratio, **{f"seconds {name}": statistics.median(values) for name, values in seconds.items()}}


def loader(repetitions: int, overrides: list[str]) -> dict[str, float]:
    """Training samples a second that the configured loader delivers, and the processor time that one takes."""
    with initialize_config_dir(str(config_directory().resolve()), version_base="1.3"):
        data = build_datamodule(compose("train", overrides).data)
    torch.set_num_threads(1)  # as in a loader's worker
    speeds, seconds = samples_per_second(data, repetitions), processor_seconds(data, repetitions)
    numbers = {"samples_per_second": statistics.median(speeds), "processor_seconds": statistics.median(seconds)}
    CONSOLE.print(f"{numbers['samples_per_second']:.0f} samples a second ({min(speeds):.0f} to {max(speeds):.0f}), "
                  f"{data.num_workers} workers, augment={data.augment}", soft_wrap=True)  # fmt: skip
    CONSOLE.print(f"{1e3 * numbers['processor_seconds']:.2f} ms of processor time a sample in one process: "
                  f"{1 / numbers['processor_seconds']:.0f} a second on a free core", soft_wrap=True)  # fmt: skip
    if data.augment == "gpu":
        numbers["device_seconds"] = statistics.median(device_seconds(data, repetitions))
        CONSOLE.print(f"{1e3 * numbers['device_seconds']:.2f} ms a sample on the device")
    return numbers


def label_maps(batch: int, height: int, width: int, num_classes: int) -> tuple[Tensor, Tensor]:
    """Target and prediction of blob-like regions, 30 % of the blobs mistaken; seeded."""
    generator = torch.Generator().manual_seed(0)

    def blobs(cells: int) -> Tensor:
        noise = torch.randn(batch, num_classes, cells, 2 * cells, generator=generator)
        return F.interpolate(noise, size=(height, width), mode="bicubic").argmax(1)

    target = blobs(8)
    mistaken = F.interpolate(torch.rand(batch, 1, 8, 16, generator=generator), size=(height, width))[:, 0] < 0.3
    return target, torch.where(mistaken, blobs(8), target)


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


def timed(call: Callable[[], object], repetitions: int) -> list[float]:
    """Seconds of each repetition, after one to warm up."""
    call()
    seconds = []
    for _ in range(repetitions):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds


def added_memory(call: Callable[[], object]) -> float:
    """Megabytes by which one call raises the process's resident memory at its peak, sampled every millisecond."""
    page = os.sysconf("SC_PAGE_SIZE")
    peak, done = 0, threading.Event()

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * page

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.001):
            peak = max(peak, resident())

    before = resident()
    watcher = threading.Thread(target=watch)
    watcher.start()
    call()
    done.set()
    watcher.join()
    return max(0.0, (peak - before) / 2**20)


def _loss_call(num_classes: int) -> Callable[[], None]:
    """A call on unit-length embeddings whose gradients are freed afterwards."""
    generator = torch.Generator().manual_seed(0)
    contrast = ContextualContrast(num_classes)
    target, prediction = label_maps(4, 512, 1024, num_classes)
    embeddings = [
        F.normalize(torch.randn(4, 256, 128 >> i, 256 >> i, generator=generator), dim=1)
        .to(memory_format=torch.channels_last)
        .requires_grad_()
        for i in range(4)
    ]

    def call() -> None:
        contrast(embeddings, target, prediction)["pixel_anchor"].backward()
        for embedding in embeddings:
            embedding.grad = None

    return call


def _spread(seconds: list[float]) -> tuple[str, str]:
    return f"{statistics.median(seconds):.3f}", f"{min(seconds):.3f} to {max(seconds):.3f}"


if __name__ == "__main__":
    main()

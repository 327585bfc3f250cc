"""The networks of conf/model as a Markdown table: parameters, operations, contrast stages and licences.

    python scripts/list_networks.py                        # all of them
    python scripts/list_networks.py hrnet_w48 mobilenet_v2

Numbers are counted, not typed: networks are built as configured (with random weights), operations are those that
``torch.utils.flop_counter`` sees in a forward pass, on tensors without content. Licences are the line
``# Licence: ...`` of each file.
"""

import argparse
import re
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from contextrast.callbacks.summary import count_parameters
from contextrast.config import instantiate
from contextrast.contrast.heads import EmbeddingHeads
from contextrast.errors import ConfigError
from contextrast.folders import config_directory
from contextrast.models import Segmenter

NUM_CLASSES = 19
SIZE = (512, 1024)
FOLDER = config_directory() / "model"


def main() -> None:
    """Print the table of the networks that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", help="names of files in conf/model; all complete ones if none is given")
    names = parser.parse_args().networks or complete()
    print("\n".join(table(names)))


def complete() -> list[str]:
    """Names of the configurations that say which network they are; the free form leaves that to the user."""
    paths = sorted(FOLDER.glob("[!_]*.yaml"))
    return [path.stem for path in paths if not OmegaConf.is_missing(OmegaConf.load(path).model, "architecture")]


def table(names: list[str]) -> list[str]:
    """Lines of the table."""
    return [
        f"Parameters in millions for {NUM_CLASSES} classes; GFLOPs of the deployed network at {SIZE[0]}×{SIZE[1]}, a "
        "multiply-add counted as two; contrast stages as number: channels / stride.",
        "",
        "| `model=` | deployed | with heads | GFLOPs | contrast stages | licence |",
        "|---|---:|---:|---:|---|---|",
        *map(row, names),
    ]


def row(name: str) -> str:
    """One network's line."""
    path = FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise ConfigError(f"There is no {path}. Networks: {', '.join(complete())}.")
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        config = compose("train", [f"model={name}", "model.encoder_weights=null"]).model
    network: Segmenter = instantiate(config, num_classes=NUM_CLASSES)
    deployed = count_parameters(network.network)
    heads = count_parameters(EmbeddingHeads(network.stage_channels))
    sizes = zip(network.stages, network.stage_channels, network.stage_strides, strict=True)
    stages = ", ".join(f"{number}: {channels} / {stride}" for number, channels, stride in sizes)
    gflops = operations(network.network) / 1e9
    counts = f"{deployed / 1e6:.2f} | {(deployed + heads) / 1e6:.2f} | {gflops:.1f}"
    return f"| `{name}` | {counts} | {stages} | {licence(path)} |"


def operations(network: nn.Module) -> int:
    """Floating-point operations of one image in evaluation; the network's weights are given up."""
    network = network.to("meta").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.empty(1, 3, *SIZE, device="meta"))
    return int(counter.get_total_flops())


def licence(path: Path) -> str:
    """What a configuration says about licences.

    Raises:
        ConfigError: If it says nothing.
    """
    found = re.search(r"^# Licence: (.+)$", path.read_text(), re.MULTILINE)
    if found is None:
        raise ConfigError(f"{path} has no line '# Licence: ...'. Add whose terms network and weights come under.")
    return found[1]


if __name__ == "__main__":
    main()

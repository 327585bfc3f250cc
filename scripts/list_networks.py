"""The networks of conf/model as a Markdown table: parameters, operations, memory, contrasted maps and licences.

    python scripts/list_networks.py                        # all of them
    python scripts/list_networks.py hrnet_w48 mobilenet_v2
    python scripts/list_networks.py --weights hrnet_w48    # which file it starts from, and where people get it

Numbers are counted, not typed: networks are built as configured (with random weights), operations are those that
``torch.utils.flop_counter`` sees in a forward pass, memory is what autograd keeps for the backward pass, both on
tensors without content unless a network's code looks at it. Published numbers, licences and weights are the lines
``# Published: ...``, ``# Licence: ...`` and ``# Weights: ...`` of each file.
"""

import argparse
import hashlib
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from contextrast.callbacks.summary import count_parameters
from contextrast.config import instantiate
from contextrast.contrast.heads import EmbeddingHeads
from contextrast.errors import ConfigError, WeightsError
from contextrast.folders import config_directory
from contextrast.models import Segmenter

NUM_CLASSES = 19
SIZE = (512, 1024)
FOLDER = config_directory() / "model"
_PUBLISHED = re.compile(r"(?P<encoder>encoder )?(?P<millions>[\d.]+) M(?: for (?P<classes>\d+) classes)?(?P<source>.*)")


def main() -> None:
    """Print the table of the networks that are asked for, or what they start from."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", help="names of files in conf/model; all complete ones if none is given")
    parser.add_argument(
        "--weights", action="store_true", help="show which weight files they take and where they are from"
    )
    parser.add_argument("--file", type=Path, help="with --weights and one network: verify this file, or folder, for it")
    arguments = parser.parse_args()
    names = arguments.networks or complete()
    print("\n".join(weights(names) if arguments.weights else table(names)))
    if arguments.file is not None:
        if len(names) != 1:
            raise ConfigError("--file is verified for one network: list_networks.py NETWORK --weights --file PATH")
        print(verified(names[0], arguments.file))


def complete() -> list[str]:
    """Names of the configurations that say which network they are; the free form leaves that to the user."""
    paths = sorted(FOLDER.glob("[!_]*.yaml"))
    return [path.stem for path in paths if not OmegaConf.is_missing(OmegaConf.load(path).model, "architecture")]


def table(names: list[str]) -> list[str]:
    """Lines of the table."""
    return [
        f"Parameters in millions for {NUM_CLASSES} classes; published: ours at the classes of the published number, "
        f"and that; GFLOPs of the deployed network at {SIZE[0]}×{SIZE[1]} or the next size that its stride divides, a "
        "multiply-add counted as two; GB that training keeps for the backward pass per image of that size, in float32 "
        "and without the loss; contrasted maps as name or number: channels / stride.",
        "",
        "| `model=` | deployed | published | with heads | GFLOPs | GB | contrasted maps | licence |",
        "|---|---:|---|---:|---:|---:|---|---|",
        *map(row, names),
    ]


def weights(names: list[str]) -> list[str]:
    """For each network the files it takes, by setting, and the licence that they come under."""
    lines: list[str] = []
    for name in names:
        path = existing(name)
        lines += [f"{name}: {licence(path)}", *(f"  model.{text}" for text in stated(path, "Weights")), ""]
    return lines[:-1]


def verified(name: str, path: Path) -> str:
    """What is found of a file for a network: that it is as its name says, and that the network takes it.

    Args:
        name: Of the network.
        path: A file of its encoder or of the whole network, or a folder.

    Raises:
        WeightsError: If the hash is not that in its name, as torchvision has it, or the network takes it as neither.
    """
    said = "a folder"
    if path.is_file():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        marked = re.search(r"-([0-9a-f]{8,})\.", path.name)
        if marked is not None and not digest.startswith(marked[1]):
            raise WeightsError(
                f"{path} has SHA-256 {digest}, its name says {marked[1]}...: it is damaged, fetch it again."
            )
        said = f"SHA-256 {digest}{', as its name says' if marked else ''}"
    try:
        network, kind = _built(name, encoder_weights=str(path)), "encoder_weights"
        entries = len(network.encoder.state_dict())
    except WeightsError as error:
        try:
            network, kind = _built(name, weights=str(path), allow_class_mismatch=True), "weights"
        except WeightsError:
            raise error from None
        entries = len(network.network.state_dict())
    return f"{path}: {said}; model.{kind} takes it, its {entries} entries fit"


def _built(name: str, **settings: Any) -> Segmenter:
    """A network as configured, with other settings."""
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        config = compose("train", [f"model={name}", "model.encoder_weights=null"]).model
    network: Segmenter = instantiate(OmegaConf.merge(config, settings), num_classes=NUM_CLASSES)
    return network


def row(name: str) -> str:
    """One network's line."""
    path = existing(name)
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        config = compose("train", [f"model={name}", "model.encoder_weights=null"]).model
    network: Segmenter = instantiate(config, num_classes=NUM_CLASSES)
    deployed = count_parameters(network.network)
    heads = count_parameters(EmbeddingHeads(network.stage_channels))
    names = [str(number) for number in network.stages] or [one.rpartition("encoder.")[2] for one in network.stage_names]
    sizes = zip(names, network.stage_channels, network.stage_strides, strict=True)
    stages = ", ".join(f"{one}: {channels} / {stride}" for one, channels, stride in sizes)
    published = compared(path, config, network)
    size = tuple(side + -side % network.stride for side in SIZE)
    gflops, kept = operations(network.network, size) / 1e9, kept_for_backward(network.network, size) / 1e9
    counts = f"{deployed / 1e6:.2f} | {published} | {(deployed + heads) / 1e6:.2f} | {gflops:.1f} | {kept:.1f}"
    return f"| `{name}` | {counts} | {stages} | {licence(path)} |"


def compared(path: Path, config: DictConfig, network: Segmenter) -> str:
    """Our number of parameters beside the one that is published of the same thing; a dash where none is."""
    found = _PUBLISHED.fullmatch(next(iter(stated(path, "Published")), ""))
    if found is None:
        return "–"
    ours = network
    if found["classes"] is not None and int(found["classes"]) != NUM_CLASSES:
        ours = instantiate(config, num_classes=int(found["classes"]))
    counted = count_parameters(ours.encoder if found["encoder"] else ours.network)
    return f"{counted / 1e6:.2f} / {found['millions']}{' (encoder)' if found['encoder'] else ''}"


def operations(network: nn.Module, size: Sequence[int] = SIZE) -> int:
    """Floating-point operations of one image in evaluation."""
    counters: list[FlopCounterMode] = []

    def counting() -> FlopCounterMode:
        counters.append(FlopCounterMode(display=False))
        return counters[-1]

    network.eval()
    with torch.no_grad():
        _run(network, (1, 3, *size), counting)
    return int(counters[-1].get_total_flops())


def kept_for_backward(network: nn.Module, size: Sequence[int] = SIZE) -> int:
    """Bytes per image that autograd keeps of a forward pass in training, parameters aside."""
    own = {parameter.untyped_storage()._cdata for parameter in network.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if not isinstance(tensor, nn.Parameter) and storage._cdata not in own:
            kept[storage._cdata] = storage  # held, so that no other one gets its place
        return tensor

    def keeping() -> saved_tensors_hooks:
        kept.clear()
        return saved_tensors_hooks(keep, lambda tensor: tensor)

    network.train()
    images = 2 if any(isinstance(module, nn.BatchNorm2d) for module in network.modules()) else 1
    _run(network, (images, 3, *size), keeping)
    return sum(storage.nbytes() for storage in kept.values()) // images


def _run(network: nn.Module, shape: Sequence[int], watching: Callable[[], AbstractContextManager[Any]]) -> None:
    """A pass over tensors that have shapes alone, or over zeros where the network's code looks at numbers.

    Args:
        network: The network, whose weights are taken for shapes.
        shape: Of the images.
        watching: Makes what watches a pass.
    """
    try:
        with watching(), FakeTensorMode(allow_non_fake_inputs=True):
            network(torch.empty(*shape))
    except DataDependentOutputException:
        with watching():
            network(torch.zeros(*shape))


def existing(name: str) -> Path:
    """The file of a network.

    Raises:
        ConfigError: If there is none.
    """
    path = FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise ConfigError(f"There is no {path}. Networks: {', '.join(complete())}.")
    return path


def stated(path: Path, what: str) -> list[str]:
    """What the lines ``# WHAT: ...`` of a configuration say."""
    return re.findall(rf"^# {what}: (.+)$", path.read_text("utf-8"), re.MULTILINE)


def licence(path: Path) -> str:
    """What a configuration says about licences.

    Raises:
        ConfigError: If it says nothing.
    """
    found = stated(path, "Licence")
    if not found:
        raise ConfigError(f"{path} has no line '# Licence: ...'. Add whose terms network and weights come under.")
    return found[0]


if __name__ == "__main__":
    main()

"""The networks of conf/model as a Markdown table: parameters, operations, memory, contrasted maps and licences.

    python scripts/list_networks.py                        # all of them
    python scripts/list_networks.py hrnet_w48 mobilenet_v2
    python scripts/list_networks.py --weights hrnet_w48    # which file it starts from, and where people get it

Numbers are counted, not typed: networks are built as configured (with random weights), operations are those that
``torch.utils.flop_counter`` sees in a forward pass, memory is what autograd keeps for the backward pass, both on tensors
without content. Published numbers, licences and weights are the lines ``# Published: ...``, ``# Licence: ...`` and
``# Weights: ...`` of each file.
"""

import argparse
import re
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from contextrast.callbacks.summary import count_parameters
from contextrast.config import instantiate
from contextrast.contrast.heads import EmbeddingHeads
from contextrast.contrast.taps import Taps
from contextrast.errors import ConfigError
from contextrast.folders import config_directory
from contextrast.models import Segmenter
from contextrast.models.forward_pass import forward_pass

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
    arguments = parser.parse_args()
    names = arguments.networks or complete()
    print("\n".join(weights(names) if arguments.weights else table(names)))


def complete() -> list[str]:
    """Names of the configurations that say which network they are; the free form leaves that to the user."""
    paths = sorted(FOLDER.glob("[!_]*.yaml"))
    return [path.stem for path in paths if not OmegaConf.is_missing(OmegaConf.load(path).model, "architecture")]


def table(names: list[str]) -> list[str]:
    """Lines of the table."""
    return [
        f"Parameters in millions for {NUM_CLASSES} classes; published: ours at the classes of the published number, and "
        f"that; GFLOPs of the deployed network at {SIZE[0]}×{SIZE[1]}, a multiply-add counted as two; GB that training "
        "keeps for the backward pass per image of that size, in float32 and without the loss; contrasted maps as name "
        "or number: channels / stride.",
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
    gflops, kept = operations(network.network) / 1e9, kept_for_backward(network.network) / 1e9
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


def operations(network: nn.Module) -> int:
    """Floating-point operations of one image in evaluation."""
    network.eval()
    with _without_content(), FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.empty(1, 3, *SIZE))
    return int(counter.get_total_flops())


def kept_for_backward(network: nn.Module) -> int:
    """Bytes per image that autograd keeps of a forward pass in training, parameters aside."""
    own = {parameter.untyped_storage()._cdata for parameter in network.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if not isinstance(tensor, nn.Parameter) and storage._cdata not in own:
            kept[storage._cdata] = storage  # held, so that no other one gets its place
        return tensor

    network.train()
    images = 2  # a single one is too few for batch norms behind a global pooling
    with _without_content(), saved_tensors_hooks(keep, lambda tensor: tensor):
        forward_pass(network, torch.empty(images, 3, *SIZE), Taps(network, ()))
    return sum(storage.nbytes() for storage in kept.values()) // images


def _without_content() -> FakeTensorMode:
    """Tensors with shapes alone; the network's weights are taken for such."""
    return FakeTensorMode(allow_non_fake_inputs=True)


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

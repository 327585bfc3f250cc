"""From a network to a graph that holds for every batch, height and width."""

import torch
from torch._dynamo.exc import UserError
from torch.export import Dim, ExportedProgram
from torch.fx.experimental import _config as tracing

from contextrast.errors import ConfigError, first_line
from contextrast.export.deployed import Deployed
from contextrast.export.format import Metadata
from contextrast.models import Segmenter

INPUT = "image"
OUTPUT = {False: "logits", True: "labels"}
"""What a graph answers with, by whether the argmax is inside."""


def traced(network: Segmenter, argmax: bool) -> tuple[ExportedProgram, int]:
    """Trace the deployed form of a network, with the argmax inside or not.

    Returns:
        The graph, and the shortest image side in pixels that it takes: 1, or the first beyond the stride where the
        network's code asks whether a map is a single pixel (SegFormer's does).

    Raises:
        ConfigError: If it computes something that depends on the size in a way no graph can hold.
    """
    deployed = Deployed.of(network.to(memory_format=torch.contiguous_format), argmax)
    several_pixels = max(network.stride, network.smallest_side) + 1
    try:
        return _trace(deployed, 1), 1
    except UserError:  # torch's word for sizes that are not as dynamic as was asked for
        try:
            return _trace(deployed, several_pixels), several_pixels
        except Exception as error:
            raise not_traceable(network, error) from error
    except Exception as error:  # tracing runs the network's own code, which can raise anything
        raise not_traceable(network, error) from error


def _trace(deployed: Deployed, smallest: int) -> ExportedProgram:
    shapes = {INPUT: {0: Dim("batch"), 2: Dim("height", min=smallest), 3: Dim("width", min=smallest)}}
    side = 69 + smallest  # far from 0 and 1, which tracing takes for constants
    example = torch.zeros(2, deployed.mean.shape[1], side, side + 20, dtype=torch.uint8)
    # Without the first setting a graph refuses every size at which some map is one pixel wide; without the second one,
    # every size for which an equality that always holds has no proof.
    # (`patch` is there: torch installs it on the module when it is imported, which type checkers do not see)
    with tracing.patch(backed_size_oblivious=True), torch.no_grad():  # type: ignore[attr-defined]  # see above
        return torch.export.export(
            deployed, (example,), dynamic_shapes=shapes, prefer_deferred_runtime_asserts_over_guards=True
        )


def of_graph(metadata: Metadata, side: int, argmax: bool) -> Metadata:
    """Metadata that says how short an image's sides may be, and whether the argmax is inside."""
    inside = {"argmax": True, "output": "labels uint8 [B, H, W], positions in `classes`"} if argmax else {}
    return {**metadata, "input": {**metadata["input"], "smallest_image": side}, **inside}


def not_traceable(network: Segmenter, error: Exception) -> ConfigError:
    """The error for a network that cannot become a graph."""
    return ConfigError(
        f"{network.name} cannot become a graph for images of "
        f"any size ({first_line(error)}). format=safetensors holds every network, format=smp those of smp."
    )

"""``format=torch_export``: a graph for PyTorch that needs no code of this package or of smp."""

import json
from pathlib import Path

import torch
from torch.export.passes import move_to_device_pass

from contextrast.export.format import CPU, PIXELS, Format, Metadata, Predict
from contextrast.export.graph import of_graph, traced
from contextrast.models import Segmenter

_METADATA = "metadata.json"


class TorchExport(Format):
    """A ``.pt2`` file of `torch.export`, for images of any size; metadata is the extra file ``metadata.json``.

    Reading one can execute what it holds: torch evaluates the sizes in it as expressions.

    Args:
        argmax: Whether the graph answers with the most probable classes, uint8 ``[B, H, W]``, in place of logits.
    """

    name = "model.pt2"
    takes = PIXELS
    recipe = """
import torch
network = torch.export.load("model.pt2").module()
answer = network(image)  # of uint8 [B, C, H, W]
"""

    def __init__(self, argmax: bool = False) -> None:
        self.argmax = argmax

    def write(self, network: Segmenter, metadata: Metadata, path: Path) -> Metadata:
        """Trace the network and save the graph; see `Format.write`."""
        program, smallest = traced(network, self.argmax)
        metadata = of_graph(metadata, smallest, self.argmax)
        torch.export.save(program, path, extra_files={_METADATA: json.dumps(metadata)})
        return metadata

    @classmethod
    def read(cls, path: Path, device: torch.device = CPU) -> Predict:
        """The saved graph. Only for files of one's own."""
        predict: Predict = move_to_device_pass(torch.export.load(path), str(device)).module()
        return predict

    @classmethod
    def metadata(cls, path: Path) -> Metadata:
        """The extra file ``metadata.json``; the graph is not looked at."""
        reader = torch.PyTorchFileReader(str(path))
        found: Metadata = json.loads(reader.get_record(f"extra/{_METADATA}"))
        return found

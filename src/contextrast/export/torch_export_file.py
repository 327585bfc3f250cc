"""``format=torch_export``: a graph for PyTorch that needs no code of this package or of smp."""

import json
from pathlib import Path

import torch
from torch.export.passes import move_to_device_pass

from contextrast.export.format import CPU, PIXELS, Format, Metadata, Predict
from contextrast.export.graph import traced, with_smallest_image
from contextrast.models import Segmenter

_METADATA = "metadata.json"


class TorchExport(Format):
    """A ``.pt2`` file of `torch.export`, for images of any size; metadata is the extra file ``metadata.json``.

    Reading one can execute what it holds: torch evaluates the sizes in it as expressions.
    """

    name = "model.pt2"
    takes = PIXELS
    recipe = """
import torch
network = torch.export.load("model.pt2").module()
logits = network(image)  # uint8 [B, 3, H, W]
"""

    def write(self, network: Segmenter, metadata: Metadata, path: Path) -> Metadata:
        """Trace the network and save the graph; see `Format.write`."""
        program, smallest = traced(network)
        metadata = with_smallest_image(metadata, smallest)
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

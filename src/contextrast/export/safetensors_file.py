"""``format=safetensors``: weights and metadata, and nothing that could be executed."""

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from contextrast.checkpoints.contents import NETWORKS
from contextrast.config import instantiate
from contextrast.export.deployed import Deployed
from contextrast.export.foreign import refuse_other_sources
from contextrast.export.format import CPU, NORMALISED, Format, Metadata, Predict
from contextrast.export.metadata import as_text, from_text
from contextrast.models import Segmenter


class Safetensors(Format):
    """The state dict of the plain network; metadata is in the file's header, each value a JSON text.

    ``model.weights=model.safetensors`` of ``contextrast-train`` starts from it, and `contextrast.export.load_export`
    reads it.
    """

    name = "model.safetensors"
    takes = NORMALISED
    recipe = """
from contextrast.export import load_export
network = load_export("model.safetensors")
logits = network(network.normalize(image))  # uint8 [B, C, H, W] of any size
"""

    def write(self, network: Segmenter, metadata: Metadata, path: Path) -> Metadata:
        """Write the weights; see `Format.write`."""
        state = network.network.state_dict()
        # Copies, because the format knows neither shared memory nor channels-last strides.
        tensors = {name: value.clone(memory_format=torch.contiguous_format) for name, value in state.items()}
        save_file(tensors, path, metadata=as_text(metadata))
        return metadata

    @classmethod
    def read(cls, path: Path, device: torch.device = CPU) -> Predict:
        """The network that the file's header describes, with the file's weights.

        Raises:
            ConfigError: If the header names a class that is no network of this package, nor of one that the user names.
            WeightsError: If the header asks for something that is not in the file.
        """
        metadata = cls.metadata(path)
        refuse_other_sources(metadata["model"], path)
        settings = {**metadata["model"], "_target_": "contextrast.models.Segmenter", "weights": str(path)}
        network: Segmenter = instantiate(settings, NETWORKS, num_classes=len(metadata["classes"]))
        return Deployed.of(network).to(device)

    @classmethod
    def metadata(cls, path: Path) -> Metadata:
        """The file's header; nothing where another program wrote it without one."""
        with safe_open(path, framework="pt") as file:
            return from_text(file.metadata() or {})

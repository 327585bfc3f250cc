"""``format=smp``: a folder that stock segmentation-models-pytorch loads."""

import io
import json
import warnings
from contextlib import redirect_stdout
from pathlib import Path

import segmentation_models_pytorch as smp
import torch

from contextrast.errors import ConfigError
from contextrast.export.deployed import Deployed
from contextrast.export.foreign import refuse_other_sources
from contextrast.export.format import CPU, NORMALISED, Format, Metadata, Predict
from contextrast.models import Segmenter

_METADATA = "metadata.json"


class SmpFolder(Format):
    """``config.json`` and ``model.safetensors`` as ``smp.from_pretrained`` takes them, and ``metadata.json``."""

    name = "smp"
    takes = NORMALISED
    recipe = """
import segmentation_models_pytorch as smp
network = smp.from_pretrained("smp").eval()
logits = network(image)  # normalised float32 [B, C, H, W]
"""

    def write(self, network: Segmenter, metadata: Metadata, path: Path) -> Metadata:
        """Write the folder; see `Format.write`.

        Raises:
            ConfigError: If smp has no such architecture.
        """
        plain = network.network
        architecture = type(plain).__name__
        if getattr(smp, architecture, None) is not type(plain):
            raise ConfigError(
                f"format=smp: {architecture} is no architecture of smp, so smp.from_pretrained could not build it. "
                "Choose format=onnx or format=torch_export, which need no code, or format=safetensors."
            )
        plain.save_pretrained(path)
        (path / "README.md").unlink(missing_ok=True)  # smp's card calls every network MIT; ours is beside the folder
        (path / _METADATA).write_text(json.dumps(metadata, indent=2) + "\n", "utf-8")
        return metadata

    @classmethod
    def read(cls, path: Path, device: torch.device = CPU) -> Predict:
        """What stock smp loads, with the normalisation and padding that the folder's metadata asks for.

        Raises:
            WeightsError: If smp would fetch something that is not in the folder.
        """
        refuse_other_sources(json.loads((path / "config.json").read_text("utf-8")), path)
        wanted = cls.metadata(path)["input"]
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):  # the hub's library prints what it does
            warnings.simplefilter("ignore", DeprecationWarning)  # smp's for the encoder names `timm-*`
            plain = smp.from_pretrained(str(path))
        return Deployed(plain, wanted["mean"], wanted["std"], wanted["stride"], wanted["smallest_side"]).to(device)

    @classmethod
    def metadata(cls, path: Path) -> Metadata:
        """Content of ``metadata.json`` in the folder."""
        found: Metadata = json.loads((path / _METADATA).read_text("utf-8"))
        return found

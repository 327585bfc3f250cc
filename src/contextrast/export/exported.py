"""An exported network where a trained one is expected: what ``contextrast-predict`` takes beside checkpoints."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from contextrast.data.labels import LabelTable
from contextrast.errors import CheckpointError, ContextrastError, DataError, first_line
from contextrast.export.format import CPU, Format, Predict
from contextrast.export.onnx_file import Onnx
from contextrast.export.safetensors_file import Safetensors
from contextrast.export.smp_folder import SmpFolder
from contextrast.export.torch_export_file import TorchExport

_FORMATS: tuple[type[Format], ...] = (SmpFolder, Onnx, Safetensors, TorchExport)


@dataclass(frozen=True)
class Exported:
    """A network read back from an export; called like a `Segmenter`, after its :meth:`normalize`.

    Attributes:
        labels: The classes it tells apart.
        predict: Images uint8 ``[B, 3, H, W]`` -> logits ``[B, N, H, W]``.
        smallest_image: Shortest image side in pixels that it takes.
    """

    labels: LabelTable
    predict: Predict
    smallest_image: int = 1

    def normalize(self, image: Tensor) -> Tensor:
        """Pixels as floats ``[B, 3, H, W]``, 0..255: scaling and flipping need floats, and an export normalises."""
        return image.float()

    def __call__(self, pixels: Tensor) -> Tensor:
        """Segment images.

        Args:
            pixels: float ``[B, 3, H, W]``, 0..255. Exports take bytes, so that what lies between is rounded.

        Returns:
            Logits ``[B, N, H, W]``.

        Raises:
            DataError: If an image is smaller than the graph takes.
        """
        height, width = pixels.shape[-2:]
        if min(height, width) < self.smallest_image:
            raise DataError(
                f"An image (or window) of {height}x{width} (height x width) is smaller than this graph takes: "
                f"{self.smallest_image} pixels a side. Leave it out, or predict with the checkpoint or with an export "
                "of format=safetensors, which take any size."
            )
        return self.predict(pixels.round().clamp(0, 255).to(torch.uint8))


def is_export(path: Path) -> bool:
    """Whether a path is named as exports are; whatever is not is a checkpoint."""
    return _format(path) is not None


def load_export(path: str | Path, device: torch.device = CPU, trusted: bool = False) -> Exported:
    """Read what ``contextrast-export`` wrote; unless trusted, nothing in it is executed.

    Args:
        path: The folder ``smp``, or a ``.onnx``, ``.safetensors`` or ``.pt2`` file.
        device: Where the network shall run.
        trusted: Whether formats may be read that can execute code.

    Raises:
        CheckpointError: If it is missing, damaged, no export of this package, or would have to be trusted.
        WeightsError: If it asks for weights that are elsewhere.
        ConfigError: If it describes no network, or the extra ``export`` is needed and not installed.
    """
    path = Path(path)
    form = _format(path)
    if form is None or not path.exists():
        raise CheckpointError(f"checkpoint={path} does not exist. contextrast-export leaves {_names()}.")
    if form is TorchExport and not trusted:
        raise CheckpointError(
            f"{path} was not opened: reading a .pt2 file can execute code that is in it. If it is your own, set "
            "trusted=true. A stranger's network is safe to load as .onnx, .safetensors or smp folder."
        )
    try:
        metadata = form.metadata(path)
        labels = LabelTable.from_dict(
            {"name": metadata["dataset"], "classes": metadata["classes"], "palette": metadata["palette"]}
        )
        smallest = int(metadata["input"].get("smallest_image", 1))
        return Exported(labels, form.read(path, device), smallest)
    except ContextrastError:
        raise
    except Exception as error:  # what a damaged file makes four libraries raise has no common type
        raise CheckpointError(
            f"{path} cannot be read ({first_line(error)}). It is damaged, or was not written by contextrast-export."
        ) from error


def _format(path: Path) -> type[Format] | None:
    if path.is_dir():
        return SmpFolder
    return next((form for form in _FORMATS if path.suffix and path.suffix == Path(form.name).suffix), None)


def _names() -> str:
    return " or ".join(form.name for form in _FORMATS)

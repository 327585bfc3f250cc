"""An exported network where a trained one is expected: what prediction and evaluation take beside checkpoints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from contextrast.data.labels import LabelTable
from contextrast.data.pairing import given_path
from contextrast.errors import CheckpointError, ContextrastError, DataError, first_line
from contextrast.export.format import CPU, PIXELS, Format, Predict
from contextrast.export.onnx_file import Onnx
from contextrast.export.safetensors_file import Safetensors
from contextrast.export.smp_folder import SmpFolder
from contextrast.export.torch_export_file import TorchExport
from contextrast.models.channels import refuse_other

_FORMATS: tuple[type[Format], ...] = (SmpFolder, Onnx, Safetensors, TorchExport)


@dataclass(frozen=True)
class Exported:
    """A network read back from an export; called like a `Segmenter`, after its :meth:`normalize`.

    Attributes:
        labels: The classes it tells apart.
        predict: Images ``[B, C, H, W]``, 0..255 -> logits ``[B, N, H, W]``, or labels ``[B, H, W]``.
        channels: Of the images, C.
        rgb: Those that pictures show as red, green and blue; None: the first three.
        smallest_image: Shortest image side in pixels that it takes.
        takes_bytes: Whether images have to be uint8; what lies between is rounded.
        data: Settings of the data that it was trained on, without where that lies; None where it does not say.
        step: Optimiser steps that its weights have seen.
        knows_probabilities: Whether it answers with logits; where the argmax is inside, it answers with labels alone.
        stage_names: None: maps inside it cannot be looked at.
        stage_channels: None.
    """

    labels: LabelTable
    predict: Predict
    channels: int
    rgb: Sequence[int] | None = None
    smallest_image: int = 1
    takes_bytes: bool = True
    data: Mapping[str, Any] | None = None
    step: int = 0
    knows_probabilities: bool = True
    stage_names: tuple[str, ...] = ()
    stage_channels: tuple[int, ...] = ()

    def normalize(self, image: Tensor) -> Tensor:
        """Pixels as floats ``[B, C, H, W]``, 0..255: scaling and flipping need floats, and an export normalises."""
        refuse_other(image, self.channels, "this export")
        return image.float()

    def __call__(self, pixels: Tensor) -> Tensor:
        """Segment images.

        Args:
            pixels: float ``[B, C, H, W]``, 0..255.

        Returns:
            Logits ``[B, N, H, W]``; where it knows labels alone, 1 for the class and 0 for others: a vote.

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
        answer = self.predict(pixels.round().clamp(0, 255).to(torch.uint8) if self.takes_bytes else pixels)
        if self.knows_probabilities:
            return answer
        return F.one_hot(answer.long(), self.labels.num_classes).permute(0, 3, 1, 2).float()


def is_export(path: str | Path) -> bool:
    """Whether a path is named as exports are; whatever is not is a checkpoint."""
    return _format(given_path("checkpoint", path)) is not None


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
    path = given_path("checkpoint", path)
    form = _format(path)
    if form is None or not path.exists():
        raise CheckpointError(f"checkpoint={path} does not exist. contextrast-export leaves {_names()}.")
    if form is SmpFolder and not (path / "config.json").is_file():
        raise CheckpointError(
            f"checkpoint={path} is a folder that was not written by contextrast-export format=smp. A run's folder has "
            "its checkpoints in checkpoints/: best.ckpt and last.ckpt."
        )
    if form is TorchExport and not trusted:
        raise CheckpointError(
            f"{path} was not opened: reading a .pt2 file can execute code that is in it. If it is your own, set "
            "trusted=true. A stranger's network is safe to load as .onnx, .safetensors or smp folder."
        )
    try:
        metadata = form.metadata(path)
        described = {key: metadata.get(key) for key in ("classes", "palette", "values")}
        return Exported(
            LabelTable.from_dict({"name": metadata["dataset"], **described}),
            form.read(path, device),
            len(metadata["input"]["mean"]),
            metadata["input"].get("rgb"),
            int(metadata["input"].get("smallest_image", 1)),
            form.takes == PIXELS,
            metadata.get("data"),
            int(metadata["checkpoint"]["step"]),
            not metadata.get("argmax"),
        )
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

"""What an export format is."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from contextrast.models import Segmenter

Predict = Callable[[Tensor], Tensor]
"""What an export does for its user: images uint8 [B, C, H, W] -> logits [B, N, H, W], or labels [B, H, W]."""

Metadata = Mapping[str, Any]
"""Plain containers that describe a network, see `contextrast.export.metadata.describe`."""

CPU = torch.device("cpu")

PIXELS = "{image} uint8 [B, {channels}, H, W], 0..255, of any size; normalised, padded and cropped inside"
NORMALISED = (
    "{image} float32 [B, {channels}, H, W], normalised as (image / 255 - mean) / std, with sides that are multiples of "
    "`stride` and at least `smallest_side`"
)


class Format(ABC):
    """Writes a network into a file or folder, and reads that back as a user of the file would.

    Attributes:
        name: Of the file or folder.
        takes: What images the export takes, in words, with places for what they are and for their number of channels;
            ends up in its metadata.
        recipe: Python that loads the export and segments ``image``; ends up in its model card.
    """

    name: ClassVar[str]
    takes: ClassVar[str]
    recipe: ClassVar[str]

    @abstractmethod
    def write(self, network: Segmenter, metadata: Metadata, path: Path) -> Metadata:
        """Write the network, in evaluation mode on the CPU, and what describes it.

        Returns:
            The metadata that was written, with what only the format can know.

        Raises:
            ConfigError: If the format cannot hold this network, or needs a library that is not installed.
        """

    @classmethod
    @abstractmethod
    def read(cls, path: Path, device: torch.device = CPU) -> Predict:
        """What has been written, ready for use.

        Args:
            path: The file or folder.
            device: Where the network shall run, where the format leaves a choice.
        """

    @classmethod
    @abstractmethod
    def metadata(cls, path: Path) -> Metadata:
        """What describes the network, as it is kept in the file or folder."""

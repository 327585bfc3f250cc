"""A trained network as a function from a picture to train ids."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from contextrast.checkpoints.contents import load_checkpoint
from contextrast.data.decoding import Picture, decode_image
from contextrast.data.depth import Range, checked_range
from contextrast.data.drawing import checked_rgb
from contextrast.data.labels import LabelTable
from contextrast.export import is_export, load_export
from contextrast.models import InferenceProtocol, Network, Tile


@dataclass(frozen=True)
class Predictor:
    """A network in evaluation mode, with what it takes to segment a picture.

    Attributes:
        network: The network, on its device.
        labels: Its classes.
        protocol: How pictures are looked at.
        device: Where they are.
        knows_probabilities: Whether those of `tiles` are the network's; an export with the argmax inside has none.
        image_range: The values of image files that become black and white; None: those of 8 bits a channel.
        rgb: The channels that pictures show as red, green and blue; None: the first three.
    """

    network: Network
    labels: LabelTable
    protocol: InferenceProtocol
    device: torch.device
    knows_probabilities: bool = True
    image_range: Range | None = None
    rgb: Sequence[int] | None = None

    def read(self, path: Path) -> Picture:
        """Decode an image file as a viewer shows it, uint8 ``[H, W, C]``.

        Raises:
            DataError: As `decode_image`.
        """
        return decode_image(path, image_range=self.image_range, channels=self.network.channels)

    @torch.inference_mode()
    def __call__(self, image: Picture) -> NDArray[np.uint8]:
        """Train ids ``[H, W]`` of an image uint8 ``[H, W, C]``.

        Raises:
            ConfigError: If the protocol cannot be used, or images of other channels are needed.
        """
        return self.protocol.labels(self.network, self._pixels(image))[0].byte().cpu().numpy()

    def with_confidence(
        self, image: Picture, keep: Callable[[Tile], object] | None = None
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Train ids of an image and their probabilities, 0..255 for 0..1; both uint8 ``[H, W]``.

        Args:
            image: RGB uint8 ``[H, W, 3]``.
            keep: Is given each piece's probabilities of all classes.

        Raises:
            ConfigError: If the protocol cannot be used.
        """
        ids, confidence = (np.empty(image.shape[:2], np.uint8) for _ in range(2))
        for tile in self.tiles(image):
            rows, columns, piece = tile
            best = piece[0].max(0)
            ids[rows, columns] = best.indices.byte().cpu().numpy()
            confidence[rows, columns] = (255 * best.values).round().byte().cpu().numpy()
            if keep is not None:
                keep(tile)
        return ids, confidence

    @torch.inference_mode()
    def tiles(self, image: Picture) -> Iterator[Tile]:
        """Probabilities of the classes piece by piece, each ``[1, N, h, w]``; see `InferenceProtocol.tiles`.

        Raises:
            ConfigError: If the protocol cannot be used.
        """
        yield from self.protocol.tiles(self.network, self._pixels(image))

    def _pixels(self, image: Picture) -> Tensor:
        pixels = torch.from_numpy(image.transpose(2, 0, 1).copy())[None].to(self.device)
        return self.network.normalize(pixels)


def load_predictor(
    path: str | Path,
    protocol: InferenceProtocol,
    device: torch.device,
    trusted: bool = False,
    image_range: Sequence[float] | None = None,
    rgb: Sequence[int] | None = None,
) -> Predictor:
    """Load the network of a checkpoint, or one that was exported.

    Args:
        path: The file or folder.
        protocol: How pictures are looked at.
        device: Where to predict.
        trusted: Whether an export may be read that can execute code.
        image_range: The values of image files that become black and white; None: as in training.
        rgb: The channels that pictures show as red, green and blue; None: as in training.

    Raises:
        ContextrastError: If there is none, or it cannot be used.
    """
    network: Network
    if is_export(path):
        network = exported = load_export(path, device, trusted)
        data, labels, knows, trained = exported.data, exported.labels, exported.knows_probabilities, exported.rgb
    else:
        checkpoint = load_checkpoint(path)
        network, data, labels, knows = checkpoint.network().to(device), checkpoint.data, checkpoint.labels, True
        trained = data.get("rgb")
    channels = network.channels
    seen = trained_range(data, channels) if image_range is None else checked_range(image_range, channels)
    shown = checked_rgb("rgb", trained if rgb is None else rgb, channels)
    return Predictor(network, labels, protocol, device, knows, seen, shown)


def trained_range(data: Mapping[str, Any] | None, channels: int) -> Range | None:
    """The image range that settings of data have; None if they have none.

    Args:
        data: The settings.
        channels: Of the images.

    Raises:
        ConfigError: It is none.
    """
    dataset = (data or {}).get("dataset")
    return checked_range(dataset.get("image_range"), channels) if isinstance(dataset, Mapping) else None

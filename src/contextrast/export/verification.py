"""Does an export compute what the network computes?"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.cbook import get_sample_data
from torch import Tensor

from contextrast.data.decoding import Picture, decode_image
from contextrast.errors import ConfigError
from contextrast.export.format import Predict
from contextrast.models import Segmenter

_SHAPES = ((2, 2.0, 3.0), (1, 1.2, 2.1), (3, 0.4, 1.0))  # of noise: images, and sides in units of the network's


@torch.no_grad()
def verify(
    predict: Predict, network: Segmenter, pictures: Sequence[Picture], tolerance: float, smallest: int = 1
) -> dict[str, Any]:
    """Compare an export with its network: on noise in batches of several sizes, and on pictures at their own.

    Args:
        predict: The export.
        network: What it was made from.
        pictures: Images uint8 ``[H, W, C]``.
        tolerance: Largest difference of logits, relative to the largest logit where that is above 1. Of labels, by how
            much the logit of a class that was chosen may be below the largest one.
        smallest: Shortest image side in pixels that the export takes.

    Returns:
        What was compared, and the largest difference, as plain containers.

    Raises:
        ConfigError: If outputs differ by more, or in shape.
    """
    batches = [
        *_noise(max(network.stride, network.smallest_side), smallest, network.channels),
        *map(_as_batch, pictures),
    ]
    largest = 0.0
    for batch in batches:
        expected = network(network.normalize(batch))
        found = predict(batch)
        wanted = expected.shape if found.ndim > 3 else expected[:, 0].shape
        if found.shape != wanted:
            raise ConfigError(
                f"The export answers {list(batch.shape)} with {list(found.shape)}, not {list(wanted)}. Nothing was "
                "written: choose another format."
            )
        apart = found - expected if found.ndim > 3 else expected.amax(1) - _chosen(expected, found)
        difference = (apart.abs().max() / expected.abs().max().clamp(min=1)).item()
        if not difference <= tolerance:  # NaN is no agreement either
            raise ConfigError(
                f"The export differs from the network by {difference:.1e} of the largest logit on a batch of "
                f"{list(batch.shape)}; tolerance={tolerance:.1e}. Nothing was written: choose another format, or raise "
                "tolerance if that much is acceptable."
            )
        largest = max(largest, difference)
    return {
        "tolerance": tolerance,
        "largest_difference": largest,
        "shapes": [list(batch.shape) for batch in batches],
        "pictures": len(pictures),
    }


def photograph() -> Picture:
    """A photograph, RGB uint8 ``[H, W, 3]``: the one that comes with matplotlib, so that there always is one."""
    return decode_image(Path(get_sample_data("grace_hopper.jpg", asfileobj=False)))


def _noise(side: int, smallest: int, channels: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    sizes = [
        (images, channels, *(max(round(share * side), smallest) for share in shares)) for images, *shares in _SHAPES
    ]
    return [torch.randint(0, 256, size, dtype=torch.uint8, generator=generator) for size in sizes]


def _as_batch(picture: Picture) -> Tensor:
    return torch.from_numpy(picture.transpose(2, 0, 1).copy())[None]


def _chosen(logits: Tensor, labels: Tensor) -> Tensor:
    """Logits ``[B, H, W]`` of the classes that were chosen; those of no class are infinitely low."""
    known = labels < logits.shape[1]
    return logits.gather(1, (labels * known).long()[:, None])[:, 0].where(known, -torch.inf)

"""Hand-made maps with known results, and every measure with random input that it takes."""

from typing import NamedTuple

import numpy as np
import torch

from contextrast.metrics import (
    BandMeanIoU,
    BoundaryIoU,
    CityscapesInstanceIoU,
    FeatureGeometry,
    HeadMidTail,
    Measure,
    ObjectScaleIoU,
)
from contextrast.metrics.instance_iou import LABEL_IDS

CLASSES = 19
GROUPS = {"head": range(7), "mid": range(7, 13), "tail": range(13, 19)}


def draw(size, *rectangles):
    """A map of zeros with (class, row, column, height, width) drawn into it, in order."""
    canvas = np.zeros(size, np.int64)
    for train_id, row, column, height, width in rectangles:
        canvas[row : row + height, column : column + width] = train_id
    return canvas


OUTLINES_TARGET = draw((20, 30), (1, 4, 5, 10, 12), (2, 12, 20, 8, 10))
OUTLINES_PREDICTION = draw((20, 30), (1, 5, 6, 10, 12), (2, 13, 18, 7, 12))
OUTLINES_VOID = OUTLINES_TARGET.copy()
OUTLINES_VOID[:3] = 255
OUTLINES_VOID[12:14, 9:12] = 255

OBJECTS_TARGET = draw(
    (160, 160), (1, 4, 4, 10, 10), (1, 4, 40, 20, 20), (1, 40, 10, 60, 60), (2, 40, 90, 110, 60), (2, 4, 80, 16, 16),
    (2, 120, 10, 32, 33), (255, 0, 0, 2, 160),
)  # fmt: skip
OBJECTS_PREDICTION = draw(
    (160, 160), (1, 6, 6, 10, 10), (1, 4, 42, 20, 20), (1, 42, 10, 60, 60), (2, 40, 92, 110, 60), (2, 120, 10, 32, 30),
    (1, 30, 130, 5, 5), (1, 0, 80, 20, 16),
)  # fmt: skip


def every_measure() -> dict[str, Measure]:
    """One of each kind, new."""
    return {
        "b_miou": BandMeanIoU(CLASSES, [1, 3]),
        "boundary_iou": BoundaryIoU(CLASSES, 0.1),
        "iiou": CityscapesInstanceIoU(CLASSES),
        "head_mid_tail": HeadMidTail(CLASSES, GROUPS),
        "object_scale": ObjectScaleIoU(CLASSES),
        "features": FeatureGeometry(CLASSES, stages=["stage2", "stage5"], channels=[3, 4], pixels_per_class=4),
    }


class Images(NamedTuple):
    """What measures take of some images, by the names that their updates use."""

    preds: torch.Tensor
    target: torch.Tensor
    instances: torch.Tensor
    features: list[torch.Tensor]
    padded_target: torch.Tensor
    name: list[str]

    def only(self, which: slice) -> dict:
        """Those of some of the images, as keywords."""
        return {
            key: [maps[which] for maps in value] if key == "features" else value[which]
            for key, value in self._asdict().items()
        }


def images(count: int = 5) -> Images:
    """Coarse random maps of 18 x 24 pixels, a fifth of them ignored, and features at strides 4 and 8 of 24 x 24."""
    generator = torch.Generator().manual_seed(7)

    def coarse(values):
        drawn = torch.randint(len(values), (count, 6, 8), generator=generator)
        return torch.tensor(values)[drawn].repeat_interleave(3, 1).repeat_interleave(3, 2)

    target = coarse([*range(CLASSES), *[255] * 5])
    numbers = torch.randint(3, target.shape, generator=generator)
    label_ids = torch.tensor([*LABEL_IDS, *[0] * 237])[target]
    return Images(
        preds=torch.where(coarse([0, 1]) == 0, target, coarse([-1, *range(CLASSES)])),
        target=target,
        instances=torch.where(label_ids >= 24, label_ids * 1000 + numbers, label_ids).int(),
        features=[torch.randn(count, c, 24 // s, 24 // s, generator=generator) for c, s in ((3, 4), (4, 8))],
        padded_target=torch.nn.functional.pad(target, (0, 0, 0, 6), value=255),
        name=[f"image{number}" for number in range(count)],
    )

"""A sampling of negatives with a state that outlives a step."""

import torch
from torch import Tensor

from contextrast.contrast.sampling import other_class
from contextrast.contrast.similarity import Similarities, shared_similarities
from contextrast.contrast.stages import StagePixels
from contextrast.contrast.state import Stateful


class CheckerboardNegatives(Stateful):
    """Other classes' pixels on the fields of one colour of a checkerboard; the next step takes the other colour."""

    step: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("step", torch.zeros((), dtype=torch.long))  # a buffer is saved and resumed

    def forward(self, pixels: StagePixels, anchors: Tensor, temperature: float) -> Similarities:
        """Similarities of one stage's pixels to the anchors ``[N, D]``."""
        _, height, width = pixels.grid
        rows = torch.arange(height, device=anchors.device)[:, None]
        columns = torch.arange(width, device=anchors.device)
        field = (rows + columns + self.step) % 2 == 0
        is_negative = other_class(pixels.classes, pixels.num_classes) & field
        return shared_similarities(pixels, anchors, temperature, is_negative)

    def update(self) -> None:
        """Move on; called once after every optimiser step."""
        super().update()
        self.step += 1

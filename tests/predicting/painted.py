"""A network that answers with given train ids, so that what is written can be compared with them."""

import numpy as np
import torch
import torch.nn.functional as F

from contextrast.models import InferenceProtocol
from contextrast.predicting import Predictor


class Paints(torch.nn.Module):
    """Logits of which the largest is that of the train ids ``[H, W]``, whatever the image."""

    def __init__(self, ids, num_classes, margin=4.0):
        super().__init__()
        self.logits = margin * F.one_hot(torch.from_numpy(ids).long(), num_classes).permute(2, 0, 1)[None].float()

    def normalize(self, image):
        return image.float()

    def forward(self, image):
        return self.logits.expand(len(image), -1, -1, -1)


def painting(ids, labels):
    """A predictor of these train ids."""
    return Predictor(Paints(ids, labels.num_classes), labels, InferenceProtocol(), torch.device("cpu"))


def image_for(ids):
    return np.zeros((*ids.shape, 3), np.uint8)

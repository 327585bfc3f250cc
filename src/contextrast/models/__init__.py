"""Networks: architectures and encoders as one module, weight files, and inference at several scales."""

import sys

if "wandb" not in sys.modules:
    # timm imports wandb, where it is installed, for a training script of its own; runs with logger=csv do without it.
    sys.modules["wandb"] = None  # type: ignore[assignment]  # makes the import fail as if it were not installed
    import timm.utils  # noqa: F401  (imported for this side effect)

    del sys.modules["wandb"]

from contextrast.models.auxiliary import AuxiliaryHead, build_auxiliary
from contextrast.models.depthwise import use_float32_depthwise_backward
from contextrast.models.inference import InferenceProtocol, Network, Tile
from contextrast.models.segmenter import Segmenter, TrainingPass
from contextrast.models.weights import load_encoder_weights

__all__ = [
    "AuxiliaryHead",
    "InferenceProtocol",
    "Network",
    "Segmenter",
    "Tile",
    "TrainingPass",
    "build_auxiliary",
    "load_encoder_weights",
    "use_float32_depthwise_backward",
]

"""Networks: smp's architectures and encoders as one module, weight files, and inference at several scales."""

from contextrast.models.inference import multi_scale_probabilities, sliding_window_probabilities
from contextrast.models.segmenter import Segmenter
from contextrast.models.weights import load_encoder_weights

__all__ = ["Segmenter", "load_encoder_weights", "multi_scale_probabilities", "sliding_window_probabilities"]

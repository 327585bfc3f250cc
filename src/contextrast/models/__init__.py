
from contextrast.models.segmenter import Segmenter
from contextrast.models.weights import load_encoder_weights

__all__ = ["Segmenter", "load_encoder_weights"]

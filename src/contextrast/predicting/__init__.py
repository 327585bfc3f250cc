"""Segmenting pictures with a trained network, from a checkpoint or an export."""

from contextrast.predicting.files import Results, earlier_results, result_names, write_predictions
from contextrast.predicting.predictor import Predictor, load_predictor, trained_range

__all__ = [
    "Predictor",
    "Results",
    "earlier_results",
    "load_predictor",
    "result_names",
    "trained_range",
    "write_predictions",
]

"""Measuring a trained network on a split: by one protocol, with the measures that were chosen."""

from contextrast.evaluation.measures import build_measures, needed_of
from contextrast.evaluation.module import EvaluationModule

__all__ = ["EvaluationModule", "build_measures", "needed_of"]

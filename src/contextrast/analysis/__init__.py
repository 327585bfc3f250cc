"""What trained networks learned, looked at from inside: the figures of the papers, from any checkpoint."""

from contextrast.analysis.comparison import comparable
from contextrast.analysis.drawing import FIGURES, Study
from contextrast.analysis.network import Analysis

__all__ = ["FIGURES", "Analysis", "Study", "comparable"]

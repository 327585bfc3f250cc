"""Time and memory of the method and of the program: what ``scripts/benchmark.py`` runs.

Inputs are seeded; times are medians over repetitions in one process, with their range.
"""

from contextrast.benchmarks.communication import communication
from contextrast.benchmarks.depthwise import depthwise
from contextrast.benchmarks.distance import distance
from contextrast.benchmarks.estimate import estimate
from contextrast.benchmarks.flatness import flatness
from contextrast.benchmarks.infer import infer
from contextrast.benchmarks.loader import loader
from contextrast.benchmarks.losses import losses
from contextrast.benchmarks.prediction import prediction
from contextrast.benchmarks.run import run
from contextrast.benchmarks.startup import startup
from contextrast.benchmarks.step import step

__all__ = [
    "communication", "depthwise", "distance", "estimate", "flatness", "infer", "loader", "losses", "prediction", "run",
    "startup", "step",
]  # fmt: skip

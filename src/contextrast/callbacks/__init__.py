"""What happens around steps: anchors, checkpoints, pictures, tables, the run's files and the terminal."""

from contextrast.callbacks.anchors import AnchorUpdate
from contextrast.callbacks.checkpoints import LastCheckpoint
from contextrast.callbacks.continuation import Continuation
from contextrast.callbacks.image_counts import ImageCountsFile
from contextrast.callbacks.learning_rates import LearningRates
from contextrast.callbacks.pictures import PredictionPictures
from contextrast.callbacks.progress import StepsProgressBar
from contextrast.callbacks.random_state import RandomState
from contextrast.callbacks.run_files import RunFiles
from contextrast.callbacks.submission import Submission
from contextrast.callbacks.summary import ParameterSummary
from contextrast.callbacks.tables import MetricTables

__all__ = [
    "AnchorUpdate",
    "Continuation",
    "ImageCountsFile",
    "LastCheckpoint",
    "LearningRates",
    "MetricTables",
    "ParameterSummary",
    "PredictionPictures",
    "RandomState",
    "RunFiles",
    "StepsProgressBar",
    "Submission",
]

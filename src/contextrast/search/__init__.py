"""Search for better numbers with Optuna, over the configurations of ``contextrast-train`` and with pruning."""

from contextrast.search.pruning import Pruning
from contextrast.search.study import search

__all__ = ["Pruning", "search"]

"""The embedded default dataset: street-like scenes that are drawn on the fly, deterministically and without files."""

from contextrast.data.streets.dataset import LENGTHS, Streets

__all__ = ["LENGTHS", "Streets"]

"""Contextrast: contextual contrastive learning for semantic segmentation.

What is named here is imported when it is first asked for, so that commands answer before torch is there.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

# albumentations asks a server for its newest version on import unless this is set before.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

if TYPE_CHECKING:
    from contextrast.contrast import ContextrastLoss, ContextualContrast, FeatureTaps
    from contextrast.tasks.from_python import load, train

__all__ = ["ContextrastLoss", "ContextualContrast", "FeatureTaps", "load", "train"]

_HOMES: Final = {
    "ContextrastLoss": "contextrast.contrast",
    "ContextualContrast": "contextrast.contrast",
    "FeatureTaps": "contextrast.contrast",
    "load": "contextrast.tasks.from_python",
    "train": "contextrast.tasks.from_python",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

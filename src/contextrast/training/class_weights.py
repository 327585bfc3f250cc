"""``class_weights: auto`` of a composed loss: numbers in its place, from the classes of the training data."""

from collections.abc import Mapping
from typing import Any, Final

from contextrast.contrast import balanced_weights
from contextrast.data import SegmentationDataModule
from contextrast.errors import ConfigError

AUTO: Final = "auto"
_KEY: Final = "class_weights"


def with_class_weights(loss: Mapping[str, Any], datamodule: SegmentationDataModule) -> dict[str, Any]:
    """Settings of a loss with numbers for each ``class_weights: auto``, see `balanced_weights`; others as they are.

    Every process finds the same numbers, as they are a function of the data alone.

    Args:
        loss: Settings of the loss, as plain containers.
        datamodule: Its training split is counted if the settings ask for it and its frequencies are not known.

    Raises:
        ConfigError: If the training data have no pixel of some class, so that no weight follows.
        DataError: If a training sample cannot be read.
    """
    if not _asks(loss):
        return dict(loss)
    frequencies = datamodule.class_frequencies()
    missing = [name for name, share in zip(datamodule.labels.classes, frequencies, strict=True) if share == 0]
    if missing:
        raise ConfigError(
            f"{_KEY}=auto: the training images that were counted have no pixel of {', '.join(missing)}, so no weight "
            f"follows from them. Check the masks (contextrast-check), or give one weight a class yourself: "
            f"loss.base.cross_entropy.{_KEY}=[1.0,...]."
        )
    weights = [round(weight, 4) for weight in balanced_weights(frequencies)]
    return {key: _replaced(key, value, weights) for key, value in loss.items()}


def _asks(settings: Any) -> bool:
    if not isinstance(settings, Mapping):
        return False
    return settings.get(_KEY) == AUTO or any(map(_asks, settings.values()))


def _replaced(key: str, value: Any, weights: list[float]) -> Any:
    if key == _KEY and value == AUTO:
        return list(weights)
    if isinstance(value, Mapping):
        return {inner: _replaced(inner, below, weights) for inner, below in value.items()}
    return value

"""Class weights from class frequencies."""

import math
from collections.abc import Sequence

from contextrast.errors import ConfigError


def balanced_weights(frequencies: Sequence[float], offset: float = 1.02) -> list[float]:
    """Weights that rise as classes become rare: 1 / ln(1.02 + p), as ENet has them (Paszke et al., 2016).

    ENet was trained with them on CamVid and Cityscapes. The offset bounds them: at 1.02 they lie between 1.4 and 50.5.

    Args:
        frequencies: p, share of the labelled pixels that each class has, 0..1.
        offset: What keeps the weight of a rare class finite; above 1.

    Raises:
        ConfigError: If a frequency is outside 0..1, or the offset not above 1.
    """
    if offset <= 1 or not all(0 <= frequency <= 1 for frequency in frequencies):
        raise ConfigError(f"Weights need frequencies in 0..1 and an offset above 1, got {list(frequencies)}, {offset}")
    return [1 / math.log(offset + frequency) for frequency in frequencies]

"""How wide several intervals have to be at once: Dunnett's adjustment, for any design."""

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

_POINTS: Final = 2**15  # of the quasi-random sample: quantiles are good to about 0.002
_MERGED: Final = 2**4  # neighbours in order of size that are as good as their mean
_SEED: Final = 0

Matrix = NDArray[np.float64]


def simultaneous_quantile(correlation: Matrix, freedom: int, confidence: float = 0.95) -> float:
    """How many standard errors each of several intervals reaches, so that all hold together with some confidence.

    The quantile of the largest absolute value of a multivariate t: estimates with normal errors of known correlation
    and one estimate of their variance. With differences to one baseline this is Dunnett's two-sided value (Dunnett,
    JASA 1955 and Biometrics 1964), with others the single-step one of Hothorn, Bretz and Westfall (2008). The normal
    part is sampled with a fixed seed, the variance integrated, so that the same question has the same answer always.

    Args:
        correlation: Of the estimates' errors, ``[K, K]``; may be singular.
        freedom: Degrees of freedom of the variance's estimate, at least 1.
        confidence: Probability that all K intervals hold.
    """
    return _quantile(correlation.round(9).tobytes(), len(correlation), freedom, confidence)


@lru_cache(maxsize=4096)
def _quantile(correlation: bytes, count: int, freedom: int, confidence: float) -> float:
    """`simultaneous_quantile` of a matrix's bytes, as planning asks for the same ones again and again."""
    narrow = float(stats.t.ppf((1 + confidence) / 2, freedom))
    if count == 1:
        return narrow
    wide = float(stats.t.ppf(1 - (1 - confidence) / (2 * count), freedom))  # Bonferroni's is never exceeded
    largest = _largest_errors(correlation, count)

    def excess(quantile: float) -> float:
        # one interval fails where the estimate of the deviation is too small by this factor
        held = special.chdtrc(freedom, freedom * (largest / quantile) ** 2)
        return float(held.mean()) - confidence

    return float(optimize.brentq(excess, 0.98 * narrow, 1.02 * wide, xtol=1e-4))


@lru_cache(maxsize=64)
def _largest_errors(correlation: bytes, count: int) -> Matrix:
    """Largest absolute value of each sampled vector of standard normal errors with a correlation."""
    values, vectors = np.linalg.eigh(np.frombuffer(correlation).reshape(count, count))
    kept = values > 1e-9
    factor = vectors[:, kept] * np.sqrt(values[kept])
    points = stats.qmc.Sobol(int(kept.sum()), scramble=True, rng=_SEED).random(_POINTS)
    normal = special.ndtri(np.clip(points, 1e-12, 1 - 1e-12))
    largest = np.sort(np.abs(normal @ factor.T).max(axis=1))
    merged: Matrix = largest.reshape(-1, _MERGED).mean(axis=1)
    return merged

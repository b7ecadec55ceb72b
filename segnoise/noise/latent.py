"""The correlation of the Gaussian field behind a map of errors, from how often neighbours err together."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from segnoise.kms import correlation_length

LAGS = (1, 2, 4)
LEAST_ERRORS = 200
"""Fewer errors than this say nothing about a correlation."""


def latent_correlation(wrong: NDArray[np.bool_], known: NDArray[np.bool_]) -> dict[str, Any] | None:
    """Correlation per axis of the unit Gaussian field that exceeds a level where ``wrong``, or None if unclear.

    With error rate p and level t = Phi^-1(1 - p), the joint rate at a lag inverts ``P(X > t, Y > t; r)`` to the
    latent correlation r (tetrachoric), and a KMS field has ``rho = r**(1 / lag)``; lags 1, 2, 4 are averaged with
    the precision they give rho. Not reported for fewer than 200 errors, or if everything is wrong.

    Returns:
        ``rho`` and ``length_px`` (-1 / ln rho) per axis, and ``indicator``, per axis the plain correlation of the
        error map at each lag; None for an axis too short for lag 1.

    >>> from segnoise.draws import generator
    >>> from segnoise.kms import sample_field
    >>> field = sample_field((300, 300), (0.9, 0.5), generator(1))
    >>> [round(r, 1) for r in latent_correlation(field > 0.8, np.ones(field.shape, bool))["rho"]]
    [0.9, 0.5]
    """
    errors, pixels = int(np.count_nonzero(wrong)), int(np.count_nonzero(known))
    if errors < LEAST_ERRORS or errors == pixels:
        return None
    rate = errors / pixels
    rhos: list[float | None] = []
    indicators: list[list[float | None]] = []
    for axis in range(wrong.ndim):
        joint = [_joint_rate(wrong, known, axis, lag) for lag in LAGS]
        indicators.append([None if j is None else (j - rate**2) / (rate - rate**2) for j in joint])
        rhos.append(_rho([None if j is None else tetrachoric(rate, j) for j in joint]))
    lengths = [None if r is None else correlation_length(min(r, 1 - 1e-9)) for r in rhos]
    return {"rho": rhos, "length_px": lengths, "lags": list(LAGS), "indicator": indicators}


def tetrachoric(rate: float, joint: float) -> float:
    """The correlation of two standard normals that both exceed ``Phi^-1(1 - rate)`` with probability ``joint``.

    ``joint(r) = rate**2 + (1 / 2 pi) integral_0^{asin r} exp(-t**2 / (1 + sin a)) da``.

    >>> round(tetrachoric(0.5, 1 / 3), 6), tetrachoric(0.1, 0.01)
    (0.5, 0.0)
    """
    correlations, joints = _joint_table(rate)
    return float(np.interp(joint, joints, correlations))


@lru_cache(maxsize=8)
def _joint_table(rate: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    angles = np.linspace(-math.pi / 2, math.pi / 2, 8193)
    t = float(ndtri(1 - rate))
    with np.errstate(divide="ignore"):
        slope = np.exp(-(t * t) / (1 + np.sin(angles))) if t else np.ones_like(angles)
    step = angles[1] - angles[0]
    area = np.concatenate([[0.0], np.cumsum((slope[1:] + slope[:-1]) * step / 2)]) / (2 * math.pi)
    return np.sin(angles), rate**2 + area - area[len(area) // 2]


def _joint_rate(wrong: NDArray[np.bool_], known: NDArray[np.bool_], axis: int, lag: int) -> float | None:
    if wrong.shape[axis] <= lag:
        return None
    first = tuple(slice(None, -lag) if a == axis else slice(None) for a in range(wrong.ndim))
    second = tuple(slice(lag, None) if a == axis else slice(None) for a in range(wrong.ndim))
    pairs = np.count_nonzero(known[first] & known[second])
    return float(np.count_nonzero(wrong[first] & wrong[second]) / pairs) if pairs else None


def _rho(correlations: list[float | None]) -> float | None:
    """The mean of ``r**(1 / lag)``, weighted by the inverse squared slope of that root."""
    terms = [(r, lag) for r, lag in zip(correlations, LAGS, strict=True) if r is not None]
    if not terms:
        return None
    nearest = max(terms[0][0], 0.0)
    roots = [max(r, 0.0) ** (1 / lag) for r, lag in terms]
    weights = [(lag * nearest ** (lag - 1)) ** 2 for _, lag in terms]
    return sum(w * r for w, r in zip(weights, roots, strict=True)) / sum(weights)

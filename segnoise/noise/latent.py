"""The correlation of the Gaussian field behind a map of errors, from how often neighbours err together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from segnoise.kms import correlation_length

LAGS = (1, 2, 4, 8, 16, 32)
"""Distances, in pixels, at which the correlation of an error map is measured."""

FITTED = 3
"""The latent correlation comes from so many of them, the shortest."""

LEAST_ERRORS = 200
"""Fewer errors than this say nothing about a correlation."""


@dataclass(frozen=True)
class Together:
    """One map's errors and pixels, and per lag its pairs of pixels and how many of them err both.

    >>> Together.along(np.array([True, True, False, True]), np.ones(4, bool), axis=0, lags=(1, 2))
    Together(errors=3, pixels=4, pairs=(3, 2), joint=(1, 1))
    """

    errors: int
    pixels: int
    pairs: tuple[int, ...]
    joint: tuple[int, ...]

    @classmethod
    def along(
        cls, wrong: NDArray[np.bool_], known: NDArray[np.bool_], axis: int, lags: Sequence[int] = LAGS
    ) -> Together:
        """Counts along one axis; ``wrong`` lies within ``known``. Pairs of maps without errors are not counted."""
        pairs, joint = [], []
        if not wrong.any():
            return cls(0, int(np.count_nonzero(known)), (0,) * len(lags), (0,) * len(lags))
        for lag in lags:
            first = tuple(slice(None, -lag) if a == axis else slice(None) for a in range(wrong.ndim))
            second = tuple(slice(lag, None) if a == axis else slice(None) for a in range(wrong.ndim))
            pairs.append(int(np.count_nonzero(known[first] & known[second])))
            joint.append(int(np.count_nonzero(wrong[first] & wrong[second])))
        return cls(int(np.count_nonzero(wrong)), int(np.count_nonzero(known)), tuple(pairs), tuple(joint))

    @property
    def rate(self) -> float:
        return self.errors / self.pixels if self.pixels else 0.0


def latent_correlation(wrong: NDArray[np.bool_], known: NDArray[np.bool_]) -> dict[str, Any] | None:
    """Correlation per axis of the unit Gaussian field that exceeds a level where ``wrong``, or None if unclear.

    With error rate p and level t = Phi^-1(1 - p), the joint rate at a lag inverts ``P(X > t, Y > t; r)`` to the
    latent correlation r (tetrachoric), and a KMS field has ``rho = r**(1 / lag)``; lags 1, 2, 4 are averaged with
    the precision they give rho. Not reported for fewer than 200 errors, or if everything is wrong.

    Returns:
        ``rho`` and ``length_px`` (-1 / ln rho) per axis, and ``indicator``, per axis the plain correlation of the
        error map at each of ``lags``; None for an axis too short for lag 1.

    >>> from segnoise.draws import generator
    >>> from segnoise.kms import sample_field
    >>> field = sample_field((300, 300), (0.9, 0.5), generator(1))
    >>> [round(r, 1) for r in latent_correlation(field > 0.8, np.ones(field.shape, bool))["rho"]]
    [0.9, 0.5]
    """
    return latent_of([[Together.along(wrong, known, axis)] for axis in range(wrong.ndim)])


def latent_of(axes: Sequence[Sequence[Together]]) -> dict[str, Any] | None:
    """:func:`latent_correlation` of several maps at once, given as the counts of each map along each axis.

    Every map keeps its own rate, so that maps that differ in how much is wrong do not look correlated for it; the
    latent correlation is the one that makes the joint errors of all maps together as many as they are.
    """
    total = sum(one.errors for one in axes[0]) if axes else 0
    if total < LEAST_ERRORS or total == sum(one.pixels for one in axes[0]):
        return None
    rhos = [rho_of(maps, LAGS[:FITTED]) for maps in axes]
    return {
        "rho": rhos,
        "length_px": [None if r is None else correlation_length(min(r, 1 - 1e-9)) for r in rhos],
        "lags": list(LAGS),
        "indicator": [[_indicator(maps, k) for k in range(len(LAGS))] for maps in axes],
    }


def rho_of(maps: Sequence[Together], lags: Sequence[int]) -> float | None:
    """The correlation of neighbours from the first ``len(lags)`` counts of the maps; None without any pair.

    The mean of ``r**(1 / lag)``, weighted by the inverse squared slope of that root.
    """
    found = [(r, lag) for k, lag in enumerate(lags) if (r := common_correlation(maps, k)) is not None]
    if not found:
        return None
    nearest = max(found[0][0], 0.0)
    roots = [max(r, 0.0) ** (1 / lag) for r, lag in found]
    weights = [(lag * nearest ** (lag - 1)) ** 2 for _, lag in found]
    return sum(w * r for w, r in zip(weights, roots, strict=True)) / sum(weights)


def common_correlation(maps: Sequence[Together], lag: int) -> float | None:
    """The one latent correlation that explains the joint errors of all maps at the lag of this number.

    It solves ``sum_m pairs_m P(X > t_m, Y > t_m; r) = sum_m joint_m``; None where no map has pairs and both right and
    wrong pixels.

    >>> round(common_correlation([Together(500, 1000, (3000,), (1000,))], 0), 6)
    0.5
    """
    area, excess = np.zeros(len(_angles())), 0.0
    told = [one for one in maps if one.pairs[lag] and 0 < one.errors < one.pixels]
    for one in told:
        area += one.pairs[lag] * _area(one.rate)
        excess += one.joint[lag] - one.pairs[lag] * one.rate**2
    return float(np.interp(excess, area, np.sin(_angles()))) if told else None


def tetrachoric(rate: float, joint: float) -> float:
    """The correlation of two standard normals that both exceed ``Phi^-1(1 - rate)`` with probability ``joint``.

    ``joint(r) = rate**2 + (1 / 2 pi) integral_0^{asin r} exp(-t**2 / (1 + sin a)) da``.

    >>> round(tetrachoric(0.5, 1 / 3), 6), tetrachoric(0.1, 0.01)
    (0.5, 0.0)
    """
    return float(np.interp(joint - rate**2, _area(rate), np.sin(_angles())))


def indicator_correlation(rate: float, correlation: float) -> float:
    """The correlation of two errors whose latent normals have this one: the inverse of :func:`tetrachoric`.

    >>> round(indicator_correlation(0.5, 0.5), 6)
    0.333333
    """
    excess = float(np.interp(correlation, np.sin(_angles()), _area(rate)))
    return excess / (rate - rate**2)


@lru_cache(maxsize=1)
def _angles() -> NDArray[np.float64]:
    return np.linspace(-math.pi / 2, math.pi / 2, 8193)


@lru_cache(maxsize=64)
def _area(rate: float) -> NDArray[np.float64]:
    """How far the joint rate lies above ``rate**2``, at the correlations ``sin(angles)``."""
    t = float(ndtri(1 - rate))
    angles = _angles()
    with np.errstate(divide="ignore"):
        slope = np.exp(-(t * t) / (1 + np.sin(angles))) if t else np.ones_like(angles)
    step = angles[1] - angles[0]
    area = np.concatenate([[0.0], np.cumsum((slope[1:] + slope[:-1]) * step / 2)]) / (2 * math.pi)
    return area - area[len(area) // 2]


def _indicator(maps: Sequence[Together], lag: int) -> float | None:
    """The plain correlation of the error maps, each about its own rate."""
    covariance = sum(one.joint[lag] - one.pairs[lag] * one.rate**2 for one in maps)
    variance = sum(one.pairs[lag] * (one.rate - one.rate**2) for one in maps)
    return covariance / variance if variance else None

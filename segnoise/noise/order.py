"""Levels met to the pixel: the k cheapest of many candidates, ties broken by position."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Threshold = tuple[float, int]
"""The cost of the last candidate taken and its flat index; of equal costs, those at or before the index are taken."""


def count_of(share: float, total: float) -> int:
    """The whole number nearest to ``share * total``, halves upward.

    >>> count_of(0.5, 5), count_of(0.1, 4)
    (3, 0)
    """
    return math.floor(share * total + 0.5)


def kth(cost: NDArray[np.float64], k: int) -> Threshold | None:
    """The threshold that takes the k cheapest finite candidates, or all of them if there are fewer; None for none.

    >>> kth(np.array([3.0, 1.0, 1.0, np.inf]), 2)
    (1.0, 2)
    >>> kth(np.array([3.0, 1.0, 1.0, np.inf]), 1), kth(np.array([np.inf]), 1)
    ((1.0, 1), None)
    """
    flat = cost.ravel()
    finite = flat[np.isfinite(flat)]
    k = min(k, finite.size)
    if k <= 0:
        return None
    value = float(np.partition(finite, k - 1)[k - 1])
    cheaper = int(np.count_nonzero(finite < value))
    return value, int(np.flatnonzero(flat == value)[k - cheaper - 1])


def taken(cost: NDArray[np.float64], threshold: Threshold | None) -> NDArray[np.bool_]:
    """Which candidates a threshold takes.

    >>> taken(np.array([3.0, 1.0, 1.0]), (1.0, 1))
    array([False,  True, False])
    """
    if threshold is None:
        return np.zeros(cost.shape, dtype=bool)
    value, last = threshold
    flat = cost.ravel()
    chosen = flat <= value
    ties = np.flatnonzero(flat == value)
    chosen[ties[ties > last]] = False
    return chosen.reshape(cost.shape)

"""Levels met to the pixel: the k cheapest of many candidates, ties broken by position."""

from __future__ import annotations

import math
from collections.abc import Sequence

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


def cheapest(costs: Sequence[NDArray[np.float64]], k: int) -> list[Threshold | None]:
    """Each array's threshold such that together they take the k cheapest finite candidates of all arrays.

    Of equal costs those of earlier arrays come first, then those of smaller flat indices. Where fewer than k are
    finite all of them are taken; None where none are.

    >>> cheapest([np.array([3.0, 1.0, 1.0]), np.array([1.0, 0.5, np.inf])], 3)
    [(1.0, 2), (1.0, -1)]
    >>> cheapest([np.array([np.inf])], 1)
    [None]
    """
    finite = np.concatenate([np.zeros(0), *(cost[np.isfinite(cost)] for cost in costs)])
    k = min(k, finite.size)
    if k <= 0:
        return [None] * len(costs)
    finite.partition(k - 1)
    value = float(finite[k - 1])
    ties_left = k - int(np.count_nonzero(finite[: k - 1] < value))
    thresholds: list[Threshold | None] = []
    for cost in costs:
        ties = np.flatnonzero(cost.ravel() == value)[:ties_left]
        thresholds.append((value, int(ties[-1]) if len(ties) else -1))
        ties_left -= len(ties)
    return thresholds


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

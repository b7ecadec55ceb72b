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
    flats = [cost.reshape(-1) for cost in costs]
    k = min(k, sum(flat.size for flat in flats))
    if k <= 0:
        return [None] * len(costs)
    below, positions, values = _candidates(flats, k)
    pool = np.concatenate(values)
    pool.partition(k - below - 1)
    value = float(pool[k - below - 1])
    if not math.isfinite(value):
        return cheapest(costs, sum(int(np.count_nonzero(np.isfinite(flat))) for flat in flats))
    ties_left = k - below - int(np.count_nonzero(pool < value))
    thresholds: list[Threshold | None] = []
    for position, candidates in zip(positions, values, strict=True):
        ties = position[candidates == value][:ties_left]
        thresholds.append((value, int(ties[-1]) if len(ties) else -1))
        ties_left -= len(ties)
    return thresholds


def _candidates(
    flats: Sequence[NDArray[np.float64]], k: int
) -> tuple[int, list[NDArray[np.intp]], list[NDArray[np.float64]]]:
    """How many of the k cheapest lie below a range that holds the last of them, and what lies in the range.

    A sample says where the last of the k should lie, a pass over all of them whether it does.
    """
    total = sum(flat.size for flat in flats)
    low, high = -np.inf, np.inf
    if total > 8 * _SAMPLE:
        # An odd step, so that the sample does not come from a few columns of an image.
        sample = np.sort(np.concatenate([flat[:: total // _SAMPLE | 1] for flat in flats]))
        rank, margin = k * len(sample) // total, 4 * math.isqrt(len(sample))
        low = sample[rank - margin] if rank >= margin else low
        high = sample[rank + margin] if rank + margin < len(sample) else high
    below, positions, values = _within(flats, low, high)
    if not below < k <= below + sum(map(len, positions)):
        below, positions, values = _within(flats, -np.inf, np.inf)
    return below, positions, values


def _within(
    flats: Sequence[NDArray[np.float64]], low: float, high: float
) -> tuple[int, list[NDArray[np.intp]], list[NDArray[np.float64]]]:
    below, positions, values = 0, [], []
    for flat in flats:
        found = [np.zeros(0, dtype=np.intp)]
        for start in range(0, flat.size, _SAMPLE):
            part = flat[start : start + _SAMPLE]
            upto, under = part <= high, part < low
            below += int(np.count_nonzero(under))
            found.append(np.flatnonzero(upto ^ under) + start)
        positions.append(np.concatenate(found))
        values.append(flat[positions[-1]])
    return below, positions, values


_SAMPLE = 2**16


def taken(cost: NDArray[np.float64], threshold: Threshold | None) -> NDArray[np.bool_]:
    """Which candidates a threshold takes.

    >>> taken(np.array([3.0, 1.0, 1.0]), (1.0, 1))
    array([False,  True, False])
    """
    chosen = np.zeros(cost.shape, dtype=bool)
    if threshold is not None:
        value, last = threshold
        flat, flags = cost.reshape(-1), chosen.reshape(-1)
        np.less_equal(flat[: last + 1], value, out=flags[: last + 1])
        np.less(flat[last + 1 :], value, out=flags[last + 1 :])
    return chosen

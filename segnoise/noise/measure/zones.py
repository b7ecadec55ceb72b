"""Pixels and errors counted by how far from a true boundary they lie, on which side, and in what kind of object."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

EDGES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, np.inf)
"""Upper ends, in pixels, of the bands of distance from a true boundary."""

BAND, OBJECT, LOST, EXTRA, GROWTH, WRONG = range(6)
"""The axes of the counts: band of distance; in a true object; in a true object that is missed (or, among instances,
merged or split); in an extra given object; 0, 1, 2 where the given label is the smaller, the same, the larger; another
class."""

SHAPE = (len(EDGES), 2, 2, 2, 3, 2)


def count_zones(
    distance: NDArray[np.float64],
    in_object: NDArray[np.bool_],
    lost: NDArray[np.bool_],
    extra: NDArray[np.bool_],
    growth: NDArray[Any],
    wrong: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """The number of pixels of every kind, as an array with the axes above; one entry a pixel in each argument.

    >>> yes, no = np.array([True]), np.array([False])
    >>> counts = count_zones(np.array([2.5]), yes, no, no, np.array([-1]), yes)
    >>> np.argwhere(counts).tolist()
    [[2, 1, 0, 0, 0, 1]]
    """
    code = np.searchsorted(EDGES[:-1], distance)
    for value, size in zip((in_object, lost, extra, growth + 1, wrong), SHAPE[1:], strict=True):
        code = code * size + value
    return np.bincount(code, minlength=int(np.prod(SHAPE))).reshape(SHAPE)

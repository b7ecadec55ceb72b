"""Pixels and errors counted by how far from a true boundary they lie, on which side, and in what kind of object."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

EDGES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, np.inf)
"""Upper ends, in pixels, of the bands of distance from a true boundary."""

SIZES = 16
"""Extra objects are told apart by area: below 2 px, 4 px, 8 px and so on."""

BAND, OBJECT, LOST, EXTRA, GROWTH, WRONG = range(6)
"""The axes of the counts: band of distance; in a true object; in a true object that is missed (or, among instances,
merged or split); 0, or the size from 1 of the extra given object it is in; 0, 1, 2 where the given label is the
smaller, the same, the larger; another class."""

SHAPE = (len(EDGES), 2, 2, SIZES + 1, 3, 2)


def size_of(area: NDArray[np.int64]) -> NDArray[np.int64]:
    """The size, from 1, of extra objects of these areas.

    >>> size_of(np.array([1, 2, 3, 4, 10**9]))
    array([ 1,  2,  2,  3, 16])
    """
    return np.minimum(np.floor(np.log2(area)).astype(np.int64) + 1, SIZES)


def count_zones(
    distance: NDArray[np.float64],
    in_object: NDArray[np.bool_],
    lost: NDArray[np.bool_],
    extra: NDArray[np.int64],
    growth: NDArray[Any],
    wrong: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """The number of pixels of every kind, as an array with the axes above; one entry a pixel in each argument.

    >>> yes, no = np.array([True]), np.array([False])
    >>> counts = count_zones(np.array([2.5]), yes, no, np.array([3]), np.array([-1]), yes)
    >>> np.argwhere(counts).tolist()
    [[2, 1, 0, 3, 0, 1]]
    """
    code = np.searchsorted(EDGES[:-1], distance)
    for value, size in zip((in_object, lost, extra, growth + 1, wrong), SHAPE[1:], strict=True):
        code = code * size + value
    return np.bincount(code, minlength=int(np.prod(SHAPE))).reshape(SHAPE)

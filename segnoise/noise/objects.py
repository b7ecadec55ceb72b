"""What an object is: an instance, or a connected region of one class other than the background."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def number_objects(
    labels: NDArray[Any], known: NDArray[np.bool_], instances: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Objects numbered from 1 in the raster order of their first pixels (0 = none), and those flat indices.

    Without ids an object is a face-connected region of one class above 0.

    >>> numbers, first = number_objects(np.array([[7, 0, 4, 4]]), np.ones((1, 4), bool), instances=True)
    >>> numbers, first
    (array([[1, 0, 2, 2]]), array([0, 2]))
    """
    solid = known & (labels > 0)
    return _number_ids(labels, solid) if instances else _number_regions(labels, solid)


def _number_ids(labels: NDArray[Any], solid: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    covered = np.flatnonzero(solid)[::-1]
    ids = labels.reshape(-1)[covered]
    if int(ids.max(initial=0)) > 4 * ids.size + 1024:
        ids = np.unique(ids, return_inverse=True)[1]
    first = np.full(int(ids.max(initial=0)) + 1, -1, dtype=np.int64)
    first[ids] = covered  # of repeated indices numpy keeps the last, here the first in raster order
    present = np.flatnonzero(first >= 0)
    present = present[np.argsort(first[present])]
    number = np.zeros(len(first), dtype=np.int64)
    number[present] = np.arange(1, len(present) + 1)
    numbers = np.zeros(labels.size, dtype=np.int64)
    numbers[covered] = number[ids]
    return numbers.reshape(labels.shape), first[present]


def _number_regions(labels: NDArray[Any], solid: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    numbers = np.zeros(labels.shape, dtype=np.int64)
    firsts = [np.zeros(0, dtype=np.int64)]
    count = 0
    for value in range(1, int(labels.max(initial=0, where=solid)) + 1):
        mask = solid & (labels == value)
        if not mask.any():
            continue
        regions, found = ndimage.label(mask, output=np.int64)
        firsts.append(_first_pixels(mask, regions))
        if count:
            np.add(regions, count, out=numbers, where=mask)
        else:
            numbers = regions
        count += found
    first = np.concatenate(firsts)
    if len(firsts) > 2:
        order = np.argsort(first)
        number = np.zeros(count + 1, dtype=np.int64)
        number[1 + order] = np.arange(1, count + 1)
        numbers, first = number[numbers], first[order]
    return numbers, first


def _first_pixels(mask: NDArray[np.bool_], regions: NDArray[np.int64]) -> NDArray[np.int64]:
    """The flat index of each region's first pixel, which has no neighbour before it along any axis."""
    starts = mask.copy()
    for axis in range(mask.ndim):
        lower = tuple(slice(None, -1) if a == axis else slice(None) for a in range(mask.ndim))
        upper = tuple(slice(1, None) if a == axis else slice(None) for a in range(mask.ndim))
        starts[upper] &= ~mask[lower]
    found = np.flatnonzero(starts)
    # SciPy numbers regions in the raster order of their first pixels, so that each new number is a new maximum.
    highest = np.maximum.accumulate(regions.reshape(-1)[found])
    return found[np.diff(highest, prepend=0) > 0]

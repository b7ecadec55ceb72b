"""What an object is: an instance, or a connected region of one class other than the background."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segnoise.noise.geometry import compact


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
    raw = np.zeros(labels.shape, dtype=np.int64)
    count = 0
    if instances:
        ids, position = compact(labels[solid])
        raw[solid] = position + 1
        count = len(ids)
    else:
        for value in np.unique(labels[solid]):
            regions, found = ndimage.label(solid & (labels == value))
            raw = np.where(regions > 0, regions + count, raw)
            count += found
    first = np.zeros(count + 1, dtype=np.int64)
    flat = raw.ravel()
    covered = np.flatnonzero(flat)[::-1]
    first[flat[covered]] = covered  # of repeated indices numpy keeps the last, here the first in raster order
    order = np.argsort(first[1:], kind="stable")
    number = np.zeros(count + 1, dtype=np.int64)
    number[1 + order] = np.arange(1, count + 1)
    return number[raw], first[1:][order]

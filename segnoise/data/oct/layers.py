"""Layers of the retina, as heights of their boundaries and as a mask of classes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segnoise.data.sample import IGNORE_INDEX


def heights_to_mask(heights: NDArray[Any], rows: int) -> NDArray[np.uint8]:
    """The classes ``rows W`` between boundaries at ``heights`` ``L W``, in pixels from the top, from top to bottom.

    With boundaries counted from 1 to L, class k lies between boundary k and k + 1; class 0 above the first, class L
    below the last: ``mask[y, x] = max{k : h_k(x) <= y}``. A pixel is unknown (255) where boundaries that are nan leave
    its class open, or where boundaries cross; so a column of nan is unknown as a whole.

    >>> heights_to_mask(np.array([[1.0, np.nan], [2.5, np.nan]]), rows=4)
    array([[  0, 255],
           [  1, 255],
           [  1, 255],
           [  2, 255]], dtype=uint8)
    """
    last = _count(heights)
    y = np.arange(rows)[:, None]
    passed = np.zeros((rows, heights.shape[1]), dtype=np.uint8)
    ahead = np.full_like(passed, last)
    for k in range(last):
        passed[heights[k] <= y] = k + 1
    for k in reversed(range(last)):
        ahead[heights[k] > y] = k
    return np.where(passed == ahead, passed, np.uint8(IGNORE_INDEX))


def mask_to_heights(mask: NDArray[Any], n: int) -> NDArray[np.float64]:
    """The heights ``n W`` of n boundaries in a mask ``H W`` of the classes 0 to n: the first row below each.

    The inverse of ``heights_to_mask`` for whole heights (others are rounded up). nan where a column does not say: the
    step from ``<= k`` to ``> k`` is unknown or happens twice.

    >>> mask_to_heights(np.array([[0, 0, 1], [1, 255, 0], [1, 1, 1]]), 1)
    array([[ 1., nan, nan]])
    """
    known = mask != IGNORE_INDEX
    if (mask[known] > n).any() or (mask < 0).any():
        raise ValueError(f"a mask with class {mask[known].max()} has more than {n} boundaries")
    rows = len(mask)
    heights = np.empty((n, mask.shape[1]))
    for k in range(n):
        below = known & (mask > k)
        above = known & (mask <= k)
        first = np.where(below.any(axis=0), below.argmax(axis=0), rows)
        after = rows - np.where(above.any(axis=0), above[::-1].argmax(axis=0), rows)
        heights[k] = np.where(first == after, first, np.nan)
    return heights


def layer_classes(boundaries: Sequence[str]) -> list[str]:
    """Names for the classes between named boundaries.

    >>> layer_classes(["ILM", "RPE", "BM"])
    ['above ILM', 'ILM to RPE', 'RPE to BM', 'below BM']
    """
    between = [f"{upper} to {lower}" for upper, lower in itertools.pairwise(boundaries)]
    return [f"above {boundaries[0]}", *between, f"below {boundaries[-1]}"]


def _count(heights: NDArray[Any]) -> int:
    if heights.ndim != 2 or not 0 < len(heights) < IGNORE_INDEX:
        raise ValueError(f"heights are boundaries x columns, not of shape {heights.shape}")
    return len(heights)

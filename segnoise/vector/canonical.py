"""Canonical ids: objects numbered by the raster order of their first pixel, whatever numbered them before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

UNKNOWN = 255
"""The class of a pixel that nobody knows: segnoise.data.IGNORE_INDEX, stated here so that vectorising a
raster does not load torch (a test holds the two equal)."""


@dataclass(frozen=True)
class Canonical:
    """A raster of ids 1..n in raster order of first pixels (0 = none), and what is known of each id.

    ``values[i]``, ``first[i]`` and ``n_px[i]`` belong to id ``i + 1``: its value before renumbering, the flat
    index of its first pixel, and its number of pixels.
    """

    ids: NDArray[np.int32]
    values: NDArray[np.int64]
    first: NDArray[np.int64]
    n_px: NDArray[np.int64]


def canonical(labels: NDArray[Any], background: NDArray[np.bool_] | None = None) -> Canonical:
    """Renumbers the values of an integer raster; ``background`` (default: values <= 0) becomes 0.

    Values may be any integers, beyond 32 bits too. Works on runs of equal pixels, so it costs one pass.

    >>> found = canonical(np.array([[0, 9, 9], [4, 4, 9]]))
    >>> found.ids.tolist(), found.values.tolist(), found.first.tolist(), found.n_px.tolist()
    ([[0, 1, 1], [2, 2, 1]], [9, 4], [1, 3], [3, 2])
    """
    flat = labels.ravel()
    skip = (flat <= 0) if background is None else background.ravel()
    if not flat.size:
        none = np.zeros(0, np.int64)
        return Canonical(np.zeros(labels.shape, np.int32), none, none, none)
    starts = np.flatnonzero(np.r_[True, (flat[1:] != flat[:-1]) | (skip[1:] != skip[:-1])])
    lengths = np.diff(np.r_[starts, flat.size])
    kept = ~skip[starts]
    values, first_run, inverse = np.unique(flat[starts[kept]], return_index=True, return_inverse=True)
    order = np.argsort(first_run)
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(1, len(order) + 1, dtype=np.int32)
    run_ids = np.zeros(len(starts), np.int32)
    run_ids[kept] = rank[inverse]
    n_px = np.bincount(run_ids, weights=lengths, minlength=len(order) + 1)[1:].astype(np.int64)
    return Canonical(
        ids=np.repeat(run_ids, lengths).reshape(labels.shape),
        values=values[order].astype(np.int64),
        first=starts[kept][first_run[order]].astype(np.int64),
        n_px=n_px,
    )


def components(classes: NDArray[Any], background: NDArray[np.bool_]) -> Canonical:
    """The 4-connected components of equal class as canonical objects; ``values`` holds each one's class.

    >>> found = components(np.array([[1, 0, 1], [1, 2, 2]]), np.array([[False, True, False], [False] * 3]))
    >>> found.ids.tolist(), found.values.tolist()
    ([[1, 0, 2], [1, 3, 3]], [1, 1, 2])
    """
    labels = np.zeros(classes.shape, np.int64)
    total = 0
    for value in np.unique(classes[~background]):
        pieces, count = ndimage.label((classes == value) & ~background)
        labels += np.where(pieces > 0, pieces + total, 0)
        total += count
    found = canonical(labels)
    values = classes.ravel()[found.first].astype(np.int64)
    return Canonical(found.ids, values, found.first, found.n_px)

"""What lies around an object: the class that takes its place where it goes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segnoise.noise.geometry import face_pairs


def surrounding(
    labels: NDArray[Any],
    known: NDArray[np.bool_],
    numbers: NDArray[np.int64],
    chosen: NDArray[np.bool_],
    voters: NDArray[np.bool_],
) -> NDArray[Any]:
    """Per object number, the class that shares most faces with a chosen object; 0 for the others.

    Args:
        labels: classes.
        known: where they count.
        numbers: the object of each pixel, 0 for none (:func:`number_objects`).
        chosen: by object number, of which objects.
        voters: by object number (0 the background), whose faces count. Of equal counts the smaller class wins, and
            without any face it is class 0.

    >>> labels = np.array([[0, 2, 2, 2], [0, 1, 1, 2], [0, 2, 2, 2]])
    >>> numbers = np.array([[0, 1, 1, 1], [0, 2, 2, 1], [0, 1, 1, 1]])
    >>> chosen = np.array([False, False, True])
    >>> surrounding(labels, labels >= 0, numbers, chosen, ~chosen)
    array([0, 0, 2])
    """
    values, flat = numbers.ravel(), labels.ravel()
    classes = int(labels.max(initial=0, where=known)) + 1
    votes = [np.zeros(0, dtype=np.int64)]
    for a, b in face_pairs(labels, known):
        for inside, outside in ((a, b), (b, a)):
            own, other = values[inside], values[outside]
            counts_here = chosen[own] & voters[other]
            votes.append(own[counts_here] * classes + flat[outside[counts_here]])
    fill = np.zeros(len(chosen), dtype=labels.dtype)
    pairs, counts = _counted(np.concatenate(votes), len(chosen) * classes)
    own, value = np.divmod(pairs, classes)
    # Ascending counts, so the last assignment wins; of equal counts, the smaller class.
    order = np.lexsort((-value, counts))
    fill[own[order]] = value[order].astype(labels.dtype)
    return fill


def _counted(votes: NDArray[np.int64], bound: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The distinct values, all below the bound, and how often each occurs."""
    if bound > 4 * len(votes) + 1024:
        return np.unique(votes, return_counts=True)
    counts = np.bincount(votes)
    pairs = np.flatnonzero(counts)
    return pairs, counts[pairs]

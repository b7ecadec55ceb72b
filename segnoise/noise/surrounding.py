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
    votes = [np.zeros((0, 2), dtype=np.int64)]
    for a, b in face_pairs(labels, known):
        for inside, outside in ((a, b), (b, a)):
            counts_here = chosen[values[inside]] & voters[values[outside]]
            pair = np.stack([values[inside], flat[outside].astype(np.int64)], axis=1)
            votes.append(pair[counts_here])
    fill = np.zeros(len(chosen), dtype=labels.dtype)
    pairs, counts = np.unique(np.concatenate(votes), axis=0, return_counts=True)
    # Ascending counts, so the last assignment wins; of equal counts, the smaller class.
    order = np.lexsort((-pairs[:, 1], counts))
    fill[pairs[order, 0]] = pairs[order, 1].astype(labels.dtype)
    return fill

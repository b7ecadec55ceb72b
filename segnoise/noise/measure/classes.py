"""Which class was taken for which: confusion counts, transition matrix, overlap per class, vanished classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def confusion_of(given: NDArray[np.int64], clean: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Counts of pixels, rows true and columns given.

    >>> confusion_of(np.array([0, 1, 1]), np.array([0, 0, 1]), 2)
    array([[1, 1],
           [0, 1]])
    """
    return np.bincount(clean * classes + given, minlength=classes**2).reshape(classes, classes)


def describe_classes(confusion: NDArray[np.int64], names: Sequence[str]) -> dict[str, Any]:
    """What follows from the confusion counts.

    ``flip_rate`` overall and by true class; the counts as ``confusion``; ``transition``, ``T[k, l] = P(given l | true
    k)``, None in rows of classes that are not there; ``dice = 2 n_kk / (n_k. + n_.k)`` and ``iou = n_kk / (n_k. + n_.k
    - n_kk)`` of the given labels with the true ones; ``vanished``, the true classes that the given labels lack.

    >>> card = describe_classes(np.array([[8, 2], [0, 0]]), ["land", "water"])
    >>> card["transition"], card["dice"]
    ([[0.8, 0.2], [None, None]], {'land': 0.888..., 'water': 0.0})
    """
    true, given, right = confusion.sum(1), confusion.sum(0), confusion.diagonal()
    flipped = true - right
    return {
        "flip_rate": {
            "overall": share(flipped.sum(), true.sum()) or 0.0,
            "per_class": {n: share(f, t) for n, f, t in zip(names, flipped, true, strict=True)},
        },
        "confusion": confusion.tolist(),
        "transition": [[share(count, t) for count in row] for row, t in zip(confusion, true, strict=True)],
        "dice": {n: share(2 * r, t + g) for n, r, t, g in zip(names, right, true, given, strict=True)},
        "iou": {n: share(r, t + g - r) for n, r, t, g in zip(names, right, true, given, strict=True)},
        "vanished": [n for n, t, g in zip(names, true, given, strict=True) if t > 0 and g == 0],
    }


def share(part: float, whole: float) -> float | None:
    """The part over the whole, None where there is no whole.

    >>> share(1, 4), share(0, 0)
    (0.25, None)
    """
    return float(part) / float(whole) if whole else None

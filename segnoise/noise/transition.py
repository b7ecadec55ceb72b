"""From which class a label flips to which: transition matrices, and the labels with other classes put in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segnoise.errors import UserError
from segnoise.noise.geometry import IGNORE, known_labels

Transition = tuple[tuple[float, ...], ...]
"""Rows by true class, columns by the class it becomes; each row sums to 1."""


def check_transition(name: str, matrix: object) -> Transition:
    """A row-stochastic matrix, else a UserError that says which row is wrong.

    >>> check_transition("kms", ((0.9, 0.1), (0, 1)))
    ((0.9, 0.1), (0.0, 1.0))
    >>> check_transition("kms", ((0.9, 0.1), (0.5, 0.4)))
    Traceback (most recent call last):
    ...
    segnoise.errors.UserError: kms: row 1 of T sums to 0.9; every row holds shares that sum to 1
    """
    rows = matrix if isinstance(matrix, (tuple, list)) else ()
    square = len(rows) >= 2 and all(isinstance(row, (tuple, list)) and len(row) == len(rows) for row in rows)
    if not square or not all(isinstance(p, (int, float)) and 0 <= p <= 1 for row in rows for p in row):
        raise UserError(
            f"{name}: T {matrix} must be a square matrix of shares, a row a true class: T=((0.9, 0.1), (0.2, 0.8))"
        )
    for number, row in enumerate(rows):
        if abs(sum(row) - 1) > 1e-6:
            raise UserError(f"{name}: row {number} of T sums to {sum(row):g}; every row holds shares that sum to 1")
    return tuple(tuple(float(p) for p in row) for row in rows)


def write_transition(matrix: Transition) -> str:
    """A matrix as it is written in an expression.

    >>> write_transition(((0.9, 0.1), (0.0, 1.0)))
    '((0.9, 0.1), (0.0, 1.0))'
    """
    return "(" + ", ".join("(" + ", ".join(map(repr, row)) + ")" for row in matrix) + ")"


def drawn_targets(matrix: Transition, true: NDArray[Any], uniform: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each flipping label its new class: row ``true`` without its diagonal, read at a uniform number.

    >>> T = ((0.8, 0.2, 0.0), (0.0, 0.5, 0.5), (0.3, 0.1, 0.6))
    >>> drawn_targets(T, np.array([0, 1, 2, 2]), np.array([0.9, 0.1, 0.7, 0.8]))
    array([1, 2, 0, 1])
    """
    off = np.array(matrix)
    np.fill_diagonal(off, 0)
    upto = np.cumsum(off, axis=1)
    whole = upto[:, -1:]
    upto = np.divide(upto, whole, out=np.ones_like(upto), where=whole > 0)
    target = np.zeros(len(true), dtype=np.int64)
    for column in range(len(matrix) - 1):
        target += uniform >= upto[true, column]
    return target


def kinds(labels: NDArray[Any], instances: bool) -> NDArray[Any]:
    """The class of each pixel: the label, or among object ids 0 background and 1 object.

    >>> kinds(np.array([0, 7, 255]), instances=True)
    array([0, 1, 1], dtype=int8)
    """
    return (labels > 0).view(np.int8) if instances else labels


def count_classes(
    name: str, images: Sequence[NDArray[Any]], instances: bool, asked: int | None, num_classes: int | None
) -> int:
    """How many classes there are: two among object ids, else as asked, as known, or as the images show, at least two.

    Raises:
        UserError: labels beyond the number asked, or more asked than there are.
    """
    if instances:
        num_classes = 2
    shown = 1 + max((_largest(x) for x in images if not instances), default=0)
    classes = asked or num_classes or max(shown, 2)
    if shown > classes:
        raise UserError(f"{name}: the labels hold class {shown - 1}, but there are {classes} classes")
    if num_classes is not None and classes > num_classes:
        kind = "the labels are object ids: background and object" if instances else f"there are {num_classes} classes"
        raise UserError(f"{name}: written for {classes} classes, but {kind}")
    return classes


def _largest(labels: NDArray[Any]) -> int:
    largest = int(labels.max(initial=0))
    return largest if largest < IGNORE else int(labels[known_labels(labels, False)].max(initial=0))


def relabelled(labels: NDArray[Any], pixels: NDArray[np.intp], target: NDArray[Any], instances: bool) -> NDArray[Any]:
    """A copy of the labels in which pixels, given by flat index, have other classes.

    Among object ids an object's pixel can only become background, and background pixels become new objects, one per
    connected region.

    Raises:
        ValueError: object ids that the type of the labels cannot hold.

    >>> relabelled(np.array([7, 7, 0, 0]), np.array([1, 2]), np.array([0, 1]), instances=True)
    array([7, 0, 8, 0])
    """
    noisy = labels.copy()
    flat = noisy.reshape(-1)
    if not instances:
        flat[pixels] = target.astype(labels.dtype)
        return noisy
    flat[pixels] = 0
    added = np.zeros(labels.shape, dtype=bool)
    added.reshape(-1)[pixels[target > 0]] = True
    regions, count = ndimage.label(added)
    start = max(int(labels.max(initial=0)), 0)
    if start + count > np.iinfo(labels.dtype).max:
        raise ValueError(f"{labels.dtype} cannot hold {start + count} object ids")
    noisy[added] = (regions[added] + start).astype(labels.dtype)
    return noisy

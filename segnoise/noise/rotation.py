"""Rotations in a plane of any space, many at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def rotations(
    first: NDArray[np.float64], second: NDArray[np.float64], angle: NDArray[np.float64] | float
) -> NDArray[np.float64]:
    """The matrices that turn the plane of two vectors by an angle, from the first towards the second.

    ``R = 1 + (cos angle - 1)(a a' + b b') + sin angle (b a' - a b')`` with a, b the vectors made orthonormal. Vectors
    drawn from a normal distribution give a plane of any orientation alike. On a line nothing turns.

    Args:
        first, second: vectors ``... n``.
        angle: in radians, ``...``.

    >>> rotations(np.array([2.0, 0.0]), np.array([1.0, 1.0]), np.pi / 2).round(12) + 0.0
    array([[ 0., -1.],
           [ 1.,  0.]])
    """
    n = first.shape[-1]
    one = np.broadcast_to(np.eye(n), (*first.shape, n))
    if n == 1:
        return one.copy()
    a = first / np.linalg.norm(first, axis=-1, keepdims=True)
    b = second - (a * second).sum(axis=-1, keepdims=True) * a
    b = b / np.linalg.norm(b, axis=-1, keepdims=True)
    left, right = np.stack([a, b], axis=-1), np.stack([a, b], axis=-2)
    turned = np.stack([b, -a], axis=-1)
    spread = np.asarray(angle)[..., None, None]
    return one + (np.cos(spread) - 1) * (left @ right) + np.sin(spread) * (turned @ right)

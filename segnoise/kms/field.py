"""Drawing KMS fields in numpy, exactly and fast, and what a correlation means as a length."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segnoise.kms.operator import per_axis


def sample_field(
    shape: Sequence[int], rho: float | Sequence[float], generator: np.random.Generator, scale: float = 1.0
) -> NDArray[np.float64]:
    """A zero-mean, unit-variance Gaussian field with ``corr(x, x + d) = prod_a rho_a**|d_a|``, exactly.

    White noise is filtered along each axis by ``u_j = rho u_{j-1} + sqrt(1 - rho**2) z_j`` with the stationary
    start ``u_0 = z_0``.

    Args:
        shape: sizes of the axes, in pixels.
        rho: correlation of neighbours along each axis, each in (-1, 1); one number serves all axes.
        generator: where the draws come from.
        scale: what the field is multiplied with, at no cost.

    Raises:
        ValueError: a correlation outside (-1, 1), or a wrong number of them.

    >>> sample_field((2, 3), 0.9, np.random.default_rng(7)).round(3)
    array([[ 0.001,  0.131, -0.001],
           [-0.387, -0.318, -0.582]])
    """
    rhos = per_axis(rho, len(shape))
    field = np.empty(tuple(shape))
    if not field.size:
        return field
    first_gain, *gains = (math.sqrt(1 - r * r) for r in rhos)
    gain = np.full(field.shape[1:], scale)
    for axis, g in enumerate(gains):
        gain.swapaxes(0, axis)[1:] *= g
    rows = max(1, _BLOCK * len(field) // field.size)
    work = np.empty(field[:rows].size)
    # What fits into the cache is drawn and filtered before the next is drawn.
    for start in range(0, len(field), rows):
        block = field[start : start + rows]
        generator.standard_normal(out=block)
        block *= gain
        block[0 if start else 1 :] *= first_gain
        for axis in range(1, len(shape)):
            _scan(block, rhos[axis], axis, work)
        if start:
            block[0] += rhos[0] * field[start - 1]
        _scan(block, rhos[0], 0, work)
    return field


_BLOCK = 2**18
"""Pixels drawn and filtered together: 2 MiB."""


def _scan(field: NDArray[np.float64], rho: float, axis: int, work: NDArray[np.float64]) -> None:
    """``u_j = x_j + rho u_{j-1}`` along an axis, in place; ``work`` is as large as the field and holds nothing.

    Far apart, a line of numbers at a time. Next to each other, by cyclic reduction: the odd elements
    ``x_{2i+1} + rho x_{2i}`` are such a sequence themselves, with rho squared, and the even ones follow from them, so
    that every step is one operation on many numbers.

    >>> x = np.array([1.0, 0.0, 0.0, 8.0])
    >>> _scan(x, 0.5, 0, np.empty(4))
    >>> x
    array([1.   , 0.5  , 0.25 , 8.125])
    """
    line = field.swapaxes(0, axis)
    size = len(line)
    if size < 2 or rho == 0:
        return
    if line[0].size >= _LINE:
        step = work[: line[0].size].reshape(line.shape[1:])
        for before, here in itertools.pairwise(line):
            np.multiply(before, rho, out=step)
            here += step
        return
    even, odd = line[0::2], line[1::2]
    half = (*field.shape[:axis], size // 2, *field.shape[axis + 1 :])
    reduced = work[: math.prod(half)].reshape(half)
    across = reduced.swapaxes(0, axis)
    np.multiply(even[: size // 2], rho, out=across)
    across += odd
    _scan(reduced, rho * rho, axis, work[reduced.size :])
    odd[...] = across
    across *= rho
    even[1:] += across[: (size - 1) // 2]


_LINE = 4096
"""From so many numbers on an operation on them takes longer than calling it."""


def correlation_length(rho: float) -> float:
    """Pixels over which the correlation falls to 1/e: ``-1 / ln rho`` (0 for rho <= 0).

    >>> round(correlation_length(0.9), 2), round(correlation_length(0.99), 1)
    (9.49, 99.5)
    """
    if not rho < 1:
        raise ValueError(f"correlation {rho} must be below 1")
    return -1 / math.log(rho) if rho > 0 else 0.0


def rho_from_length(length: float) -> float:
    """The correlation of neighbours whose field has this correlation length in pixels: ``exp(-1 / length)``.

    >>> round(rho_from_length(9.49), 3), rho_from_length(0)
    (0.9, 0.0)
    """
    if length < 0:
        raise ValueError(f"correlation length {length} must not be negative")
    return math.exp(-1 / length) if length > 0 else 0.0

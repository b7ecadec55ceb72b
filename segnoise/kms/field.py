"""Drawing KMS fields in numpy, exactly and fast, and what a correlation means as a length."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from segnoise.kms.operator import per_axis


def sample_field(
    shape: Sequence[int], rho: float | Sequence[float], generator: np.random.Generator
) -> NDArray[np.float64]:
    """A zero-mean, unit-variance Gaussian field with ``corr(x, x + d) = prod_a rho_a**|d_a|``, exactly.

    White noise is filtered along each axis by ``u_j = rho u_{j-1} + sqrt(1 - rho**2) z_j`` with the stationary
    start ``u_0 = z_0``.

    Args:
        shape: sizes of the axes, in pixels.
        rho: correlation of neighbours along each axis, each in (-1, 1); one number serves all axes.
        generator: where the draws come from.

    Raises:
        ValueError: a correlation outside (-1, 1), or a wrong number of them.

    >>> sample_field((2, 3), 0.9, np.random.default_rng(7)).round(3)
    array([[ 0.001,  0.131, -0.001],
           [-0.387, -0.318, -0.582]])
    """
    field = generator.standard_normal(tuple(shape))
    for axis, r in enumerate(per_axis(rho, len(shape))):
        if r == 0 or field.shape[axis] == 1:
            continue
        np.moveaxis(field, axis, 0)[1:] *= math.sqrt(1 - r * r)
        field = lfilter([1.0], [1.0, -r], field, axis=axis)
    return field


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

"""The Kac–Murdock–Szegő matrix along one axis of a tensor: its Cholesky factor as a scan, the inverse as a stencil.

``R[a, b] = rho**|a - b|`` is the covariance of a stationary AR(1) sequence of unit variance, so ``R = L L'`` with
``(L z)_0 = z_0`` and ``(L z)_j = rho (L z)_{j-1} + sqrt(1 - rho**2) z_j``. rho is a number, or a tensor of a field's
shape with size 1 along the axis, which may need gradients.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

Rho = float | Tensor


def color(z: Float[Tensor, "*batch"], rho: Rho, axis: int) -> Float[Tensor, "*batch"]:
    """``L z`` along one axis: white noise becomes a sequence with correlation rho.

    >>> color(torch.tensor([1.0, 0.0, 0.0]), 0.5, 0)
    tensor([1.0000, 0.5000, 0.2500])
    """
    return _scan(_scale_tail(z, innovation(rho), axis), rho, axis, reverse=False)


def color_t(x: Float[Tensor, "*batch"], rho: Rho, axis: int) -> Float[Tensor, "*batch"]:
    """``L' x`` along one axis.

    >>> color_t(torch.tensor([0.0, 0.0, 1.0]), 0.5, 0)
    tensor([0.2500, 0.4330, 0.8660])
    """
    return _scale_tail(_scan(x, rho, axis, reverse=True), innovation(rho), axis)


def whiten(x: Float[Tensor, "*batch"], rho: Rho, axis: int) -> Float[Tensor, "*batch"]:
    """``L^-1 x`` along one axis: ``w_0 = x_0``, ``w_j = (x_j - rho x_{j-1}) / sqrt(1 - rho**2)``.

    >>> whiten(torch.tensor([1.0, 0.5, 0.25]), 0.5, 0)
    tensor([1., 0., 0.])
    """
    n = x.shape[axis]
    if n == 1 or _is_zero(rho):
        return x
    before, after = x.narrow(axis, 0, n - 1), x.narrow(axis, 1, n - 1)
    # A difference of neighbours is exact in floating point where x_j - rho x_{j-1} would round; it keeps float32
    # usable at correlations near one.
    sign = torch.where(rho < 0, -1.0, 1.0) if isinstance(rho, Tensor) else math.copysign(1.0, rho)
    step = _add(_add(after, before, -sign), before, sign - rho)
    return torch.cat([x.narrow(axis, 0, 1), _times(step, 1 / innovation(rho))], dim=axis)


def whiten_t(w: Float[Tensor, "*batch"], rho: Rho, axis: int) -> Float[Tensor, "*batch"]:
    """``L^-T w`` along one axis, so that ``whiten_t(whiten(x))`` is the precision times x.

    >>> whiten_t(whiten(torch.tensor([1.0, 0.5, 0.25]), 0.5, 0), 0.5, 0)
    tensor([1., 0., 0.])
    """
    n = w.shape[axis]
    if n == 1 or _is_zero(rho):
        return w
    scaled = _scale_tail(w, 1 / innovation(rho), axis)
    head = _add(scaled.narrow(axis, 0, n - 1), scaled.narrow(axis, 1, n - 1), -rho)
    return torch.cat([head, scaled.narrow(axis, n - 1, 1)], dim=axis)


def innovation(rho: Rho) -> Rho:
    """``sqrt(1 - rho**2)``, without the cancellation near one.

    >>> innovation(0.6)
    0.8
    """
    return ((1 - rho) * (1 + rho)) ** 0.5


def _is_zero(rho: Rho) -> bool:
    return not isinstance(rho, Tensor) and rho == 0.0


def _times(x: Tensor, factor: Rho) -> Tensor:
    return x * (factor.to(x.dtype) if isinstance(factor, Tensor) else factor)


def _add(y: Tensor, x: Tensor, factor: Rho) -> Tensor:
    """``y + factor x``."""
    return y + _times(x, factor) if isinstance(factor, Tensor) else torch.add(y, x, alpha=factor)


def _scale_tail(x: Tensor, factor: Rho, axis: int) -> Tensor:
    n = x.shape[axis]
    if n == 1 or (not isinstance(factor, Tensor) and factor == 1.0):
        return x
    return torch.cat([x.narrow(axis, 0, 1), _times(x.narrow(axis, 1, n - 1), factor)], dim=axis)


def _scan(x: Tensor, rho: Rho, axis: int, reverse: bool) -> Tensor:
    """``u_j = x_j + rho u_{j-1}`` (or ``u_{j+1}``) by doubling: log2 n passes of shift, multiply, add."""
    n, stride = x.shape[axis], 1
    while stride < n:
        factor = rho**stride
        # Beyond this the doubled power is zero in float32 and cannot be seen beside 1 in float64.
        if float(factor.detach().abs().max() if isinstance(factor, Tensor) else abs(factor)) < 1e-38:
            break
        near, far = x.narrow(axis, 0, n - stride), x.narrow(axis, stride, n - stride)
        if reverse:
            x = torch.cat([_add(near, far, factor), x.narrow(axis, n - stride, stride)], dim=axis)
        else:
            x = torch.cat([x.narrow(axis, 0, stride), _add(far, near, factor)], dim=axis)
        stride *= 2
    return x

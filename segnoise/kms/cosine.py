"""The cosine basis, in which the precision of a KMS field is nearly diagonal, by fast Fourier transforms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from segnoise.kms.eigen import eigenvalues, plus

_CAUTION = 1.25
"""Steps of the higher modes are this much shorter, for the ends tie them to the lower ones."""


class _Axis(NamedTuple):
    """What one axis of length n contributes, in the order ``k = 0 .. n-1`` of its frequencies."""

    scale: Tensor
    """``sqrt(1 / n)``, then ``sqrt(2 / n)``: makes the cosines a unit vector each."""
    twiddle: Tensor
    """``exp(-i pi k / 2 n)``."""
    stencil: Tensor
    """Eigenvalues of the inner stencil of ``K^-1`` between mirrors, whose eigenvectors the cosines are."""
    ends: Tensor
    """``n 2``: the cosines at the first and at the last pixel, times the root of what the ends of ``K^-1`` add."""


class CosineBasis:
    """Products of cosines (DCT-II) along the axes of tensors ``B *S``, for correlations in [0, 1): O(N log N).

    Along an axis ``K^-1 = D + a (e_0 e_0' + e_n e_n')`` with D diagonal in this basis, its eigenvalues ``((1 - rho)**2
    + 4 rho sin(pi k / 2 n)**2) / (1 - rho**2)``, and ``a = rho / (1 + rho)``: with a rank-two term an axis
    :meth:`precision` is exact, and no difference of near numbers costs float32 its digits near rho = 1.

    Images are kept in the order of Makhoul (:meth:`arrange`): even pixels ascending, then odd ones descending. Then
    ``exp(-i pi k / 2 n)`` times the Fourier transform holds the coefficients k and, negated, n - k in its real and
    imaginary parts. Coefficients stay so packed along the last axis: ``B *S' 2 (n // 2 + 1)``, the middle one of an
    even n twice, and one that is always 0.

    After Makhoul, "A fast cosine transform in one and two dimensions", 1980.

    >>> basis = CosineBasis((3, 5), (0.9, 0.5), torch.zeros((), dtype=torch.float64))
    >>> x = torch.arange(15, dtype=torch.float64).view(1, 3, 5)
    >>> bool(torch.allclose(basis.restore(basis.synthesise(basis.analyse(basis.arrange(x)))), x))
    True
    """

    def __init__(self, grid: Sequence[int], rho: Sequence[float], like: Tensor) -> None:
        self.grid = tuple(grid)
        self.dims = tuple(range(1, len(self.grid) + 1))
        self.eigenvalues = eigenvalues(grid, rho, like)
        axes = [_axis(n, r, like.device) for n, r in zip(grid, rho, strict=True)]
        axes[-1], last = _packed(axes[-1])
        self._forward, self._backward = _mixers(axes[:-1], last, like.dtype)
        self._mirrors = [-torch.arange(n, device=like.device) % n for n in self.grid[:-1]]
        self._stencils = [a.stencil.to(like.dtype) for a in axes]
        self._ends = [a.ends.to(like.dtype) for a in axes]
        self._weights = list(self._ends)
        self._weights[-1] = (axes[-1].ends * axes[-1].scale[:, None]).to(like.dtype)  # the middle counts once
        self._rotations, self._diagonal = [], torch.ones((), dtype=like.dtype, device=like.device)
        for index, (axis, r) in enumerate(zip(axes, rho, strict=True)):
            is_last = index == len(axes) - 1
            count = _low_modes(self.grid[index], r, len(axes))
            low = slice(0, 2 * count, 2) if is_last else slice(0, count)  # real parts alone
            block = torch.diag(axis.stencil[low]) + axis.ends[low] @ axis.ends[low].mT
            values, vectors = torch.linalg.eigh(block)
            diagonal = _CAUTION * (axis.stencil + axis.ends.square().sum(1))
            diagonal[low] = values
            self._rotations.append((low, vectors.to(like.dtype)))
            self._diagonal = self._diagonal.unsqueeze(-1) * diagonal.to(like.dtype)

    def arrange(self, x: Float[Tensor, " B *S"]) -> Float[Tensor, " B *S"]:
        """Pixels in the order that :meth:`analyse` wants."""
        for dim, n in zip(self.dims, self.grid, strict=True):
            if n > 2:
                x = x.index_select(dim, _order(n, x.device))
        return x

    def restore(self, x: Float[Tensor, " B *S"]) -> Float[Tensor, " B *S"]:
        """Undo :meth:`arrange`."""
        for dim, n in zip(self.dims, self.grid, strict=True):
            if n > 2:
                x = x.index_select(dim, _order(n, x.device).argsort())
        return x

    def zeros(self, images: int) -> Float[Tensor, " B *P"]:
        """Coefficients of images that are 0."""
        return self._diagonal.new_zeros(images, *self._diagonal.shape)

    def analyse(self, x: Float[Tensor, " B *S"]) -> Float[Tensor, " B *P"]:
        """Packed coefficients of arranged images."""
        return torch.view_as_real(self._mix(torch.fft.rfftn(x, dim=self.dims), self._forward)).flatten(-2)

    def synthesise(self, coefficients: Float[Tensor, " B *P"]) -> Float[Tensor, " B *S"]:
        """Arranged images with these coefficients."""
        z = torch.view_as_complex(coefficients.view(*coefficients.shape[:-1], -1, 2))
        return torch.fft.irfftn(self._mix(z, self._backward), s=self.grid, dim=self.dims)

    def precision(self, coefficients: Float[Tensor, " B *P"]) -> Float[Tensor, " B *P"]:
        """``K^-1`` in this basis, exactly."""
        shape = coefficients.shape
        x = coefficients
        for dim, (stencil, ends, weights) in enumerate(zip(self._stencils, self._ends, self._weights, strict=True), 1):
            columns = x.view(shape[:dim].numel(), shape[dim], -1)
            inside = stencil[:, None]
            if dim < len(self.grid):
                at_ends = weights.mT @ columns
                x = columns * inside if dim == 1 else columns.mul_(inside)
                x.baddbmm_(ends.expand(len(columns), -1, -1), at_ends)
            else:
                at_ends = columns.squeeze(-1) @ weights
                x = columns * inside if dim == 1 else columns.mul_(inside)
                x.squeeze(-1).addmm_(at_ends, ends.mT)
        return x.view(shape)

    def precondition(
        self, gradient: Float[Tensor, " B *P"], scale: float, added: Float[Tensor, " B"]
    ) -> Float[Tensor, " B *P"]:
        """Nearly ``(scale K^-1 + added)^-1`` of coefficients, in place."""
        for dim, (low, vectors) in enumerate(self._rotations, start=1):
            _rotate(gradient[(slice(None),) * dim + (low,)], dim, vectors.mT)
        gradient.div_(plus(added, self._diagonal, scale))
        for dim, (low, vectors) in enumerate(self._rotations, start=1):
            _rotate(gradient[(slice(None),) * dim + (low,)], dim, vectors)
        return gradient

    def variance(self, scale: float, added: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
        """Mean of the variances of the pixels when the precision is ``scale K^-1 + added``."""
        return plus(added, self.eigenvalues, scale).reciprocal_().flatten(1).mean(1)

    def _mix(self, z: Complex[Tensor, " B *P"], mixers: Sequence[tuple[Tensor, Tensor | None]]) -> Tensor:
        """``direct z[k] + mirrored z[-k]`` along each axis but the last."""
        for dim, (direct, mirrored) in enumerate(mixers, start=1):
            if mirrored is None:
                z = z * direct
            else:
                z = (z * direct).addcmul_(z.index_select(dim, self._mirrors[dim - 1]), mirrored)
        return z


def _rotate(x: Tensor, dim: int, matrix: Tensor) -> None:
    """Products of a matrix with the vectors along an axis, in place."""
    if dim == x.dim() - 1:
        x.copy_(x @ matrix.mT)
    else:
        x.copy_((matrix @ x.flatten(dim + 1)).view(x.shape))


def _low_modes(n: int, rho: float, axes: int) -> int:
    """How many of the lowest cosines to replace by eigenvectors of their block of the precision.

    The two ends multiply the precision of some modes by up to ``1 + rho`` an axis, which their diagonal does not see,
    and an ascent diverges from twice on. They act on a Lorentzian of frequencies: the others hold so little of it that
    the product of their excess over all axes stays below 1.6.
    """
    allowed = 1.6 ** (1 / axes) - 1
    if rho <= allowed:
        return min(n, 1)
    share = (1 - rho) / (math.pi * math.sqrt(rho)) * math.tan(math.pi / 2 * (1 - allowed / rho))
    return min(n, 4 + math.ceil(n * share))


def _order(n: int, device: torch.device) -> Tensor:
    """The pixels 0, 2, 4 .. and then the odd ones, descending."""
    pixels = torch.arange(n, device=device)
    return torch.cat([pixels[::2], pixels[1::2].flip(0)])


@lru_cache(maxsize=64)
def _axis(n: int, rho: float, device: torch.device) -> _Axis:
    k = torch.arange(n, dtype=torch.float64, device=device)
    scale = torch.full((n,), math.sqrt(2 / n), dtype=torch.float64, device=device)
    scale[0] = math.sqrt(1 / n)
    angle = math.pi * k / (2 * n)
    stencil = ((1 - rho) ** 2 + 4 * rho * torch.sin(angle) ** 2) / ((1 - rho) * (1 + rho))
    first = math.sqrt(rho / (1 + rho)) * scale * torch.cos(angle)
    ends = torch.stack([first, first * (1 - 2 * (k % 2))], dim=1)
    if n == 1:
        stencil, ends = torch.ones_like(stencil), torch.zeros_like(ends)
    return _Axis(scale, torch.polar(torch.ones_like(angle), -angle), stencil, ends)


def _packed(axis: _Axis) -> tuple[_Axis, _Axis]:
    """The last axis as its coefficients are packed, with the weight of each as ``scale``; and its first half."""
    n = len(axis.scale)
    k = torch.arange(n // 2 + 1, device=axis.scale.device)
    partner = -k % n
    weight = torch.ones(len(k), 2, dtype=torch.float64, device=k.device)
    weight[0, 1] = 0
    if n % 2 == 0:
        weight[-1] = 0.5
    stencil = torch.stack([axis.stencil[k], axis.stencil[partner]], dim=1)
    ends = torch.stack([axis.ends[k], -axis.ends[partner]], dim=1)
    ends[0, 1] = 0
    packed = _Axis(weight.flatten(), axis.twiddle, stencil.flatten(), ends.flatten(0, 1))
    return packed, _Axis(axis.scale[k], axis.twiddle[k], axis.stencil[k], axis.ends[k])


def _mixers(
    axes: Sequence[_Axis], last: _Axis, dtype: torch.dtype
) -> tuple[list[tuple[Tensor, Tensor | None]], list[tuple[Tensor, Tensor | None]]]:
    """Factors of the Fourier coefficients k and -k along each axis but the last, there and back.

    With t the twiddle and s the scale: ``s (t F[k] + conj(t) F[-k]) / 2`` and ``conj(t) (Z[k] - i Z[-k]) / s``, the
    second term 0 at k = 0. The last axis, ``s t F`` and ``conj(t) Z / s``, is part of the first pair.
    """
    there, back = last.scale * last.twiddle, last.twiddle.conj() / last.scale
    kind = dtype.to_complex()
    if not axes:
        return [(there.to(kind), None)], [(back.to(kind), None)]
    forward: list[tuple[Tensor, Tensor | None]] = []
    backward: list[tuple[Tensor, Tensor | None]] = []
    one = torch.ones(1, dtype=there.dtype, device=there.device)
    for index, axis in enumerate(axes):
        inverse = axis.twiddle.conj() / axis.scale
        mirrored = -1j * inverse
        mirrored[0] = 0
        shape = (-1,) + (1,) * (len(axes) - index)
        row, row_back = (there, back) if index == 0 else (one, one)
        forward.append(
            tuple(
                (f.view(shape) * row).to(kind)
                for f in (axis.scale * axis.twiddle / 2, axis.scale * axis.twiddle.conj() / 2)
            )  # type: ignore[arg-type]
        )
        backward.append(tuple((f.view(shape) * row_back).to(kind) for f in (inverse, mirrored)))  # type: ignore[arg-type]
    return forward, backward

"""The eigenbasis of the precision of a KMS field, one axis at a time, by products with dense matrices."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from scipy.linalg import eigh_tridiagonal, eigvalsh_tridiagonal
from torch import Tensor

_FOLDED_FROM = 96
"""Along shorter axes one product is as fast as two halves."""


class EigenBasis:
    """Eigenvectors of ``K^-1`` along each axis of tensors ``B *S``; a product costs O(N * sum of side lengths).

    They are even or odd about the middle. So along an axis of even length the pixels are kept in two halves, the second
    one reversed (:meth:`arrange`), and sum and difference of the halves are multiplied with matrices of half the size.
    Coefficients come with the even eigenvectors first, as do :attr:`eigenvalues`.

    >>> basis = EigenBasis((3, 16), (0.9, 0.5), torch.zeros((), dtype=torch.float64))
    >>> x = torch.arange(48, dtype=torch.float64).view(1, 3, 16)
    >>> bool(torch.allclose(basis.restore(basis.synthesise(basis.analyse(basis.arrange(x)))), x))
    True
    """

    def __init__(self, grid: Sequence[int], rho: Sequence[float], like: Tensor) -> None:
        self._axes = [_axis(n, r, like.dtype, like.device) for n, r in zip(grid, rho, strict=True)]
        product = torch.ones((), dtype=like.dtype, device=like.device)
        for axis in self._axes:
            product = product.unsqueeze(-1) * axis.eigenvalues
        self.eigenvalues = product

    def arrange(self, x: Float[Tensor, " B *S"]) -> Float[Tensor, " B *S"]:
        """Pixels in the order that :meth:`analyse` wants; undoes itself."""
        for dim, axis in enumerate(self._axes, start=1):
            if axis.folded:
                first, second = x.chunk(2, dim)
                x = torch.cat([first, second.flip(dim)], dim)
        return x

    def restore(self, x: Float[Tensor, " B *S"]) -> Float[Tensor, " B *S"]:
        """Undo :meth:`arrange`."""
        return self.arrange(x)

    def zeros(self, images: int) -> Float[Tensor, " B *S"]:
        """Coefficients of images that are 0."""
        return self.eigenvalues.new_zeros(images, *self.eigenvalues.shape)

    def analyse(self, x: Float[Tensor, " B *S"]) -> Float[Tensor, " B *P"]:
        """Coefficients of arranged images."""
        for dim, axis in enumerate(self._axes, start=1):
            x = _rotate(_fold(x, dim) if axis.folded else x, dim, axis.there)
        return x

    def synthesise(self, coefficients: Float[Tensor, " B *P"]) -> Float[Tensor, " B *S"]:
        """Arranged images with these coefficients."""
        x = coefficients
        for dim, axis in enumerate(self._axes, start=1):
            x = _rotate(x, dim, axis.back)
            x = _fold(x, dim) if axis.folded else x
        return x

    def precision(self, coefficients: Float[Tensor, " B *S"]) -> Float[Tensor, " B *S"]:
        """``K^-1`` in this basis."""
        return self.eigenvalues * coefficients

    def precondition(
        self, gradient: Float[Tensor, " B *S"], scale: float, added: Float[Tensor, " B"]
    ) -> Float[Tensor, " B *S"]:
        """``(scale K^-1 + added)^-1`` of coefficients, in place."""
        return gradient.div_(plus(added, self.eigenvalues, scale))

    def variance(self, scale: float, added: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
        """Mean of the variances of the pixels when the precision is ``scale K^-1 + added``."""
        return plus(added, self.eigenvalues, scale).reciprocal_().flatten(1).mean(1)


class _Axis(NamedTuple):
    """The eigenvectors of one axis: rows of ``there``, columns of ``back``, both in blocks of one parity if folded."""

    eigenvalues: Tensor
    there: tuple[Tensor, ...]
    back: tuple[Tensor, ...]

    @property
    def folded(self) -> bool:
        return len(self.there) == 2


def _fold(x: Tensor, dim: int) -> Tensor:
    """Sum and difference of the halves."""
    first, second = x.chunk(2, dim)
    return torch.cat([first + second, first - second], dim)


def _rotate(x: Tensor, dim: int, blocks: Sequence[Tensor]) -> Tensor:
    """Products of matrices with the parts of the vectors along an axis."""
    last = dim == x.dim() - 1
    wide = x.view(-1, x.shape[dim]) if last else x.view(x.shape[:dim].numel(), x.shape[dim], -1)
    parts = zip(blocks, wide.chunk(len(blocks), 1), strict=True)
    turned = [part @ matrix.mT if last else matrix @ part for matrix, part in parts]
    return (turned[0] if len(turned) == 1 else torch.cat(turned, 1)).view(x.shape)


def eigenvalues(grid: Sequence[int], rho: Sequence[float], like: Tensor) -> Float[Tensor, " *S"]:
    """Of ``K^-1``, on the grid of the axes' own, each ascending.

    >>> eigenvalues((1, 2), (0.9, 0.6), torch.zeros(()))
    tensor([[0.6250, 2.5000]])
    """
    product = torch.ones((), dtype=like.dtype, device=like.device)
    for n, r in zip(grid, rho, strict=True):
        product = product.unsqueeze(-1) * _eigenvalues(n, r, like.dtype, like.device)
    return product


def plus(added: Float[Tensor, " B"], values: Float[Tensor, " *S"], scale: float) -> Float[Tensor, " B *S"]:
    """``added + scale values`` for each image.

    >>> plus(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]), 2.0)
    tensor([[ 7.,  9.],
            [ 8., 10.]])
    """
    return torch.add(added.view(-1, *(1,) * values.dim()), values, alpha=scale)


def _tridiagonal(n: int, rho: float) -> tuple[np.ndarray, np.ndarray]:
    diagonal = np.full(n, 1 + rho * rho)
    diagonal[[0, -1]] = 1
    return diagonal / (1 - rho * rho), np.full(n - 1, -rho / (1 - rho * rho))


@lru_cache(maxsize=64)
def _eigenvalues(n: int, rho: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    values = np.ones(1) if n == 1 else eigvalsh_tridiagonal(*_tridiagonal(n, rho))
    return torch.as_tensor(values, dtype=dtype, device=device)


@lru_cache(maxsize=64)
def _axis(n: int, rho: float, dtype: torch.dtype, device: torch.device) -> _Axis:
    def tensor(values: np.ndarray) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(values), dtype=dtype, device=device)

    if n == 1:
        one = tensor(np.ones((1, 1)))
        return _Axis(one[0], (one,), (one,))
    diagonal, beside = _tridiagonal(n, rho)
    if n % 2 or n < _FOLDED_FROM:
        values, vectors = eigh_tridiagonal(diagonal, beside)
        return _Axis(tensor(values), (tensor(vectors.T),), (tensor(vectors),))
    half = n // 2
    parts = []
    for parity in (1, -1):  # the neighbour across the middle is the pixel itself, or its negative
        block = diagonal[:half].copy()
        block[-1] += parity * beside[half - 1]
        parts.append(eigh_tridiagonal(block, beside[: half - 1]))
    vectors = [v / np.sqrt(2) for _, v in parts]
    values = np.concatenate([values for values, _ in parts])
    return _Axis(tensor(values), tuple(tensor(v.T) for v in vectors), tuple(map(tensor, vectors)))

"""The eigenbasis of the precision of a KMS field, one axis at a time, by products with dense matrices."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from scipy.linalg import eigh_tridiagonal, eigvalsh_tridiagonal
from torch import Tensor


class EigenBasis:
    """Eigenvectors of ``K^-1`` along each axis of tensors ``B *S``; a product costs O(N * sum of side lengths).

    >>> basis = EigenBasis((3, 4), (0.9, 0.5), torch.zeros((), dtype=torch.float64))
    >>> x = torch.arange(12, dtype=torch.float64).view(1, 3, 4)
    >>> bool(torch.allclose(basis.synthesise(basis.analyse(x)), x))
    True
    """

    def __init__(self, grid: Sequence[int], rho: Sequence[float], like: Tensor) -> None:
        self.vectors = [_eigenvectors(n, r, like.dtype, like.device) for n, r in zip(grid, rho, strict=True)]
        self.eigenvalues = eigenvalues(grid, rho, like)

    def arrange(self, x: Float[Tensor, " B *S"]) -> Float[Tensor, " B *S"]:
        """Pixels in the order that :meth:`analyse` wants: as they are."""
        return x

    def restore(self, x: Float[Tensor, " B *S"]) -> Float[Tensor, " B *S"]:
        """Undo :meth:`arrange`."""
        return x

    def zeros(self, images: int) -> Float[Tensor, " B *S"]:
        """Coefficients of images that are 0."""
        return self.eigenvalues.new_zeros(images, *self.eigenvalues.shape)

    def analyse(self, x: Float[Tensor, " B *S"]) -> Float[Tensor, " B *S"]:
        """Coefficients of images."""
        return self._rotate(x, [v.mT for v in self.vectors])

    def synthesise(self, coefficients: Float[Tensor, " B *S"]) -> Float[Tensor, " B *S"]:
        """Images with these coefficients."""
        return self._rotate(coefficients, self.vectors)

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

    @staticmethod
    def _rotate(x: Tensor, matrices: Sequence[Tensor]) -> Tensor:
        shape = x.shape
        for axis, matrix in enumerate(matrices[:-1], start=1):
            x = (matrix @ x.reshape(shape[:axis].numel(), shape[axis], -1)).view(shape)
        return x @ matrices[-1].mT


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
def _eigenvectors(n: int, rho: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The columns belong to :func:`_eigenvalues`."""
    vectors = np.ones((1, 1)) if n == 1 else eigh_tridiagonal(*_tridiagonal(n, rho))[1]
    return torch.as_tensor(vectors, dtype=dtype, device=device).contiguous()

"""The covariance of a KMS field on a grid as an operator of ``linear_operator``, every product in O(N)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from linear_operator.operators import LinearOperator, RootLinearOperator
from linear_operator.utils.getitem import _compute_getitem_size, _is_noop_index
from torch import Tensor

from segnoise.kms import ar1

_AXIS_PRODUCTS: dict[str, Callable[[Tensor, ar1.Rho, int], Tensor]] = {
    "color": ar1.color,
    "color_t": ar1.color_t,
    "whiten": ar1.whiten,
    "whiten_t": ar1.whiten_t,
}
_TRANSPOSES = {"color": "color_t", "color_t": "color", "whiten": "whiten_t", "whiten_t": "whiten"}


class _GridOperator(LinearOperator):  # type: ignore[misc]
    """What the covariance and its factors share: a grid, a correlation per axis, dtype, device, batch shape."""

    def __init__(self, *, batch_shape: Sequence[int], dtype: torch.dtype, device: Any, **kwargs: Any) -> None:
        super().__init__(batch_shape=torch.Size(batch_shape), dtype=dtype, device=torch.device(device), **kwargs)
        self.grid: tuple[int, ...] = kwargs["shape"]
        rho = kwargs["rho"]
        self.rho: tuple[float, ...] | tuple[Tensor, ...] = rho.unbind(-1) if isinstance(rho, Tensor) else rho

    @property
    def dtype(self) -> torch.dtype:
        return self._kwargs["dtype"]

    @property
    def device(self) -> torch.device:
        return self._kwargs["device"]

    def _size(self) -> torch.Size:
        n = math.prod(self.grid)
        return torch.Size([*self._kwargs["batch_shape"], n, n])

    def _with(self, **changes: Any) -> Any:
        return self.__class__(**{**self._kwargs, **changes})

    def _with_batch(self, batch_shape: Sequence[int], change: Callable[[Tensor], Tensor]) -> Any:
        """Another batch shape; ``change`` makes the correlations' own batch the same."""
        rho = self._kwargs["rho"]
        return self._with(batch_shape=batch_shape, rho=change(rho) if isinstance(rho, Tensor) else rho)

    def to(self, *args: Any, **kwargs: Any) -> Any:
        probe = torch.empty(0, dtype=self.dtype, device=self.device).to(*args, **kwargs)
        rho = self._kwargs["rho"]
        rho = rho.to(probe.device) if isinstance(rho, Tensor) else rho
        return self._with(dtype=probe.dtype, device=probe.device, rho=rho)

    def type(self, dtype: torch.dtype) -> Any:
        return self._with(dtype=dtype)

    def cpu(self) -> Any:
        return self.to("cpu")

    def cuda(self, device_id: Any = None) -> Any:
        return self.to("cuda" if device_id is None else torch.device("cuda", device_id))

    def repeat(self, *sizes: int) -> Any:
        if len(sizes) < len(self.shape) or tuple(sizes[-2:]) != (1, 1):
            raise RuntimeError(f"a covariance can be repeated along batch axes only, got {sizes}")
        new = len(sizes) - len(self.shape)
        padded = (1,) * new + tuple(self.batch_shape)
        batch = [a * b for a, b in zip(sizes[:-2], padded, strict=True)]
        return self._with_batch(batch, lambda rho: rho.repeat(*sizes[:-2], 1))

    def _expand_batch(self, batch_shape: Sequence[int]) -> Any:
        return self._with_batch(batch_shape, lambda rho: rho.expand(*batch_shape, -1))

    def _unsqueeze_batch(self, dim: int) -> Any:
        batch = list(self.batch_shape)
        batch.insert(dim, 1)
        return self._with_batch(batch, lambda rho: rho.unsqueeze(dim))

    def _permute_batch(self, *dims: int) -> Any:
        return self._with_batch([self.batch_shape[d] for d in dims], lambda rho: rho.permute(*dims, -1))

    def _getitem(self, row_index: Any, col_index: Any, *batch_indices: Any) -> Any:
        if _is_noop_index(row_index) and _is_noop_index(col_index):
            if not batch_indices:
                return self
            size = _compute_getitem_size(self, (*batch_indices, row_index, col_index))
            return self._with_batch(size[:-2], lambda rho: rho[(*batch_indices, slice(None))])
        return super()._getitem(row_index, col_index, *batch_indices)

    def _product(self, x: Tensor, *names: str, columns: int = 0) -> Tensor:
        """Axis products, in order, of tensors ``... *shape``, ``columns`` axes before it belonging to no batch."""
        axes = len(self.grid)
        if tuple(x.shape[x.dim() - axes :]) != self.grid:
            raise ValueError(f"expected a tensor ending in {self.grid}, got {tuple(x.shape)}")
        rhos: Sequence[ar1.Rho] = self.rho
        rho = self._kwargs["rho"]
        if isinstance(rho, Tensor):
            spread = rho.reshape(*self.batch_shape, *(1,) * (columns + axes), axes)
            rhos = spread.unbind(-1)
            x = x.expand(torch.broadcast_shapes(x.shape, spread.shape[:-1]))  # type: ignore[no-untyped-call]
        for name in names:
            for axis, along in enumerate(rhos):
                x = _AXIS_PRODUCTS[name](x, along, axis - axes)
        return x

    def _columns(self, rhs: Tensor, *names: str) -> Tensor:
        """Axis products of the columns of ``*batch N C``."""
        batch = torch.broadcast_shapes(rhs.shape[:-2], self.batch_shape)  # type: ignore[no-untyped-call]
        rhs = rhs.expand(*batch, *rhs.shape[-2:])
        fields = rhs.mT.reshape(*batch, rhs.shape[-1], *self.grid)
        return self._product(fields, *names, columns=1).flatten(-len(self.grid)).mT


class KMSLinearOperator(_GridOperator):
    """Covariance of a unit-variance Kac–Murdock–Szegő field: ``K[i, j] = prod_a rho_a**|i_a - j_a|``.

    The field lives on a grid, flattened row by row (the last axis runs fastest), so ``K`` is the Kronecker product
    of one KMS matrix per axis, with ``log det K = sum_a (n_a - 1) prod_{b != a} n_b log(1 - rho_a**2)``. Product,
    solve, log-determinant, quadratic form, factor and sampling take O(N) memory and O(N log n) arithmetic or less;
    all are differentiable in their tensor arguments and in the correlations. The operator drops into
    ``gpytorch.distributions.MultivariateNormal``.

    Args:
        shape: sizes of the grid's axes, in pixels.
        rho: correlation of neighbours along each axis, each in (-1, 1); one number serves all axes. Or a tensor
            ``*batch A`` with one for each of the A axes, which may need gradients (map a free parameter to it with
            ``tanh``); in float64 it stays exact near one, whatever the dtype of the fields.
        dtype: of the entries; default: torch's default.
        device: where dense results are made.
        batch_shape: leading axes of a batch of covariances, equal ones if rho is no tensor; default: those of rho.

    Raises:
        ValueError: an empty shape, a correlation outside (-1, 1), or a wrong number of correlations.

    Kac, Murdock and Szegő, "On the eigenvalues of certain Hermitian forms", 1953.

    >>> KMSLinearOperator((1, 3), rho=(0.9, 0.5), dtype=torch.float64).to_dense()
    tensor([[1.0000, 0.5000, 0.2500],
            [0.5000, 1.0000, 0.5000],
            [0.2500, 0.5000, 1.0000]], dtype=torch.float64)
    """

    def __init__(
        self,
        shape: Sequence[int],
        rho: float | Sequence[float] | Float[Tensor, "*batch A"],
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        batch_shape: Sequence[int] = (),
    ) -> None:
        grid = tuple(int(n) for n in shape)
        if not grid or min(grid) < 1:
            raise ValueError(f"shape {grid} must have at least one axis and no empty one")
        kept: tuple[float, ...] | Tensor
        if isinstance(rho, Tensor):
            batch_shape = torch.broadcast_shapes(tuple(batch_shape), rho.shape[:-1])  # type: ignore[no-untyped-call]
            kept = _checked(rho, len(grid)).expand(*batch_shape, -1)
        else:
            kept = per_axis(rho, len(grid))
        super().__init__(
            shape=grid,
            rho=kept,
            batch_shape=batch_shape,
            dtype=dtype or torch.get_default_dtype(),
            device=device or (kept.device if isinstance(kept, Tensor) else "cpu"),
        )

    def color(self, z: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """``L z`` of white noise ``... *shape``: fields with covariance ``K = L L'``, L lower triangular.

        >>> KMSLinearOperator((2, 2), 0.5).color(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
        tensor([[1.0000, 0.5000],
                [0.5000, 0.2500]])
        """
        return self._product(z, "color")

    def whiten(self, x: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """``L^-1 x`` of fields ``... *shape``, the inverse of :meth:`color`; stable in float32 near rho = 1.

        >>> KMSLinearOperator((2, 2), 0.5).whiten(torch.tensor([[1.0, 0.5], [0.5, 0.25]]))
        tensor([[1., 0.],
                [0., 0.]])
        """
        return self._product(x, "whiten")

    def solve(
        self, right_tensor: Float[Tensor, "*batch"], left_tensor: Float[Tensor, "*batch2 O N"] | None = None
    ) -> Float[Tensor, "*out"]:
        """``K^-1 R`` for R of shape ``*batch N C`` or ``N``; with a left tensor, ``L K^-1 R``."""
        columns = right_tensor.unsqueeze(-1) if right_tensor.dim() == 1 else right_tensor
        solved = self._columns(columns, "whiten", "whiten_t")
        solved = solved.squeeze(-1) if right_tensor.dim() == 1 else solved
        return solved if left_tensor is None else left_tensor @ solved

    def inv_quad(self, inv_quad_rhs: Float[Tensor, "*batch"], reduce_inv_quad: bool = True) -> Float[Tensor, "*out"]:
        """``sum_c r_c' K^-1 r_c`` over the columns of R (not summed if ``reduce_inv_quad`` is false)."""
        columns = inv_quad_rhs.unsqueeze(-1) if inv_quad_rhs.dim() == 1 else inv_quad_rhs
        quadratic = self._columns(columns, "whiten").square().sum(-2)
        return quadratic.sum(-1) if reduce_inv_quad else quadratic

    def logdet(self) -> Float[Tensor, "*batch"]:
        """The log-determinant, in closed form."""
        n = math.prod(self.grid)
        rho = self._kwargs["rho"]
        rho = rho if isinstance(rho, Tensor) else torch.tensor(rho, dtype=torch.float64, device=self.device)
        counts = torch.tensor([(m - 1) * (n // m) for m in self.grid], dtype=rho.dtype, device=self.device)
        value = (counts * torch.log1p(-rho * rho)).sum(-1)
        return value.to(self.dtype).expand(self.batch_shape)

    def inv_quad_logdet(
        self, inv_quad_rhs: Tensor | None = None, logdet: bool | None = False, reduce_inv_quad: bool | None = True
    ) -> tuple[Tensor, Tensor]:
        """The quadratic form and the log-determinant; what is not asked for is an empty or zero tensor."""
        nothing = torch.zeros([], dtype=self.dtype, device=self.device)
        quadratic = nothing if inv_quad_rhs is None else self.inv_quad(inv_quad_rhs, bool(reduce_inv_quad))
        return quadratic, self.logdet() if logdet else nothing

    def zero_mean_mvn_samples(self, num_samples: int) -> Float[Tensor, "S *batch N"]:
        """Draws from ``N(0, K)`` with torch's global generator, flattened: ``S *batch N``."""
        noise = torch.randn(num_samples, *self.batch_shape, *self.grid, dtype=self.dtype, device=self.device)
        return self.color(noise).flatten(-len(self.grid))

    def root_decomposition(self, method: str | None = None) -> RootLinearOperator:
        """``K = L L'`` with the exact factor, whatever the method asked for."""
        return RootLinearOperator(self._factor("color"))

    def root_inv_decomposition(
        self, initial_vectors: Any = None, test_vectors: Any = None, method: str | None = None
    ) -> RootLinearOperator:
        """``K^-1 = L^-T L^-1`` with the exact factor."""
        return RootLinearOperator(self._factor("whiten_t"))

    def _cholesky(self, upper: bool | None = False) -> LinearOperator:
        return self._factor("color_t" if upper else "color")

    def _factor(self, name: str) -> _Factor:
        return _Factor(name=name, **self._kwargs)

    def _matmul(self, rhs: Tensor) -> Tensor:
        return self._columns(rhs, "color_t", "color")

    def _solve(self, rhs: Tensor, preconditioner: Any = None, num_tridiag: int | None = 0) -> Tensor:
        return self.solve(rhs)

    def _transpose_nonbatch(self) -> KMSLinearOperator:
        return self

    def _diagonal(self) -> Tensor:
        return torch.ones(self.shape[:-1], dtype=self.dtype, device=self.device)

    def _get_indices(self, row_index: Any, col_index: Any, *batch_indices: Any) -> Tensor:
        shape = torch.broadcast_shapes(*(i.shape for i in (row_index, col_index, *batch_indices)))  # type: ignore[no-untyped-call]
        entries = torch.ones(shape, dtype=self.dtype, device=self.device)
        rows, cols = torch.unravel_index(row_index, self.grid), torch.unravel_index(col_index, self.grid)
        for rho, a, b in zip(self.rho, rows, cols, strict=True):
            base = rho[batch_indices] if isinstance(rho, Tensor) else torch.tensor(rho, dtype=self.dtype)
            entries = entries * base.to(entries) ** (a - b).abs()
        return entries


class _Factor(_GridOperator):
    """A factor of the covariance or of its inverse: ``L``, ``L'``, ``L^-1`` or ``L^-T``."""

    def _matmul(self, rhs: Tensor) -> Tensor:
        return self._columns(rhs, self._kwargs["name"])

    def _transpose_nonbatch(self) -> _Factor:
        return self._with(name=_TRANSPOSES[self._kwargs["name"]])


def _checked(rho: Tensor, axes: int) -> Tensor:
    if rho.dim() == 0 or rho.shape[-1] != axes:
        raise ValueError(f"correlations of shape {tuple(rho.shape)} for {axes} axes, which should be the last size")
    if not bool((rho.detach().abs() < 1).all()):
        raise ValueError(f"correlations {rho.detach().tolist()} must lie in (-1, 1)")
    return rho


def per_axis(rho: float | Sequence[float], axes: int) -> tuple[float, ...]:
    """One correlation per axis, checked.

    >>> per_axis(0.9, 2)
    (0.9, 0.9)
    """
    values = (float(rho),) * axes if isinstance(rho, (int, float)) else tuple(float(r) for r in rho)
    if len(values) != axes:
        raise ValueError(f"{len(values)} correlations for {axes} axes")
    if not all(-1 < r < 1 for r in values):
        raise ValueError(f"correlations {values} must lie in (-1, 1)")
    return values

"""The KMS covariance operator against dense Kronecker algebra."""

from __future__ import annotations

import math
from functools import reduce

import pytest
import torch
from gpytorch.distributions import MultivariateNormal
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from segnoise.kms import KMSLinearOperator, ar1

RHO = st.sampled_from([0.0, 0.3, 0.75, 0.99, -0.5])
GRIDS = st.lists(st.tuples(st.integers(1, 6), RHO), min_size=1, max_size=3)


def axis_matrix(n: int, rho: float) -> Tensor:
    return torch.tensor(rho, dtype=torch.float64) ** (torch.arange(n)[:, None] - torch.arange(n)).abs()


def dense(shape: tuple[int, ...], rho: tuple[float, ...]) -> Tensor:
    return reduce(torch.kron, [axis_matrix(n, r) for n, r in zip(shape, rho, strict=True)])


def dense_precision(shape: tuple[int, ...], rho: tuple[float, ...]) -> Tensor:
    # axis by axis: inverting the whole matrix loses seven digits at 0.99
    return reduce(torch.kron, [torch.linalg.inv(axis_matrix(n, r)) for n, r in zip(shape, rho, strict=True)])


def case(grid: list[tuple[int, float]]) -> tuple[KMSLinearOperator, Tensor, Tensor]:
    """The operator, its dense covariance, and three random columns."""
    shape, rho = tuple(n for n, _ in grid), tuple(r for _, r in grid)
    operator = KMSLinearOperator(shape, rho, dtype=torch.float64)
    x = torch.randn(math.prod(shape), 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return operator, dense(shape, rho), x


def assert_close(actual: Tensor, expected: Tensor, tolerance: float = 1e-10) -> None:
    scale = expected.abs().max().clamp(min=1.0)
    assert ((actual - expected).abs().max() / scale) < tolerance


@given(GRIDS)
@settings(max_examples=25, deadline=None)
def test_every_product_equals_dense_kronecker_algebra(grid: list[tuple[int, float]]) -> None:
    operator, covariance, x = case(grid)
    assert_close(operator.to_dense(), covariance)
    assert_close(operator @ x, covariance @ x)
    precision = dense_precision(operator.grid, operator.rho)
    assert_close(operator.solve(x), precision @ x)
    assert_close(operator.solve(x[:, 0]), precision @ x[:, 0])
    assert_close(operator.solve(x, x.mT), x.mT @ precision @ x)
    quadratic, logdet = operator.inv_quad_logdet(x, logdet=True)
    assert_close(quadratic, (x * (precision @ x)).sum())
    assert_close(operator.inv_quad(x, reduce_inv_quad=False), (x * (precision @ x)).sum(0))
    assert_close(logdet, torch.linalg.slogdet(covariance)[1])
    assert_close(operator.diagonal(), covariance.diagonal())


@given(GRIDS)
@settings(max_examples=25, deadline=None)
def test_the_factor_is_the_cholesky_factor_and_whitening_is_its_inverse(grid: list[tuple[int, float]]) -> None:
    operator, covariance, x = case(grid)
    factor = operator.cholesky().to_dense()
    assert torch.equal(factor, factor.tril())
    assert_close(factor, torch.linalg.cholesky(covariance))
    assert_close(operator.cholesky(upper=True).to_dense(), factor.mT)
    assert_close(operator.root_inv_decomposition().to_dense(), dense_precision(operator.grid, operator.rho))
    fields = x.mT.reshape(3, *operator.grid)
    assert_close(operator.color(fields).flatten(1).mT, factor @ x)
    assert_close(operator.whiten(operator.color(fields)), fields)


@pytest.mark.parametrize("rho", [0.3, 0.99, 0.9999, -0.9])
def test_the_doubling_scan_equals_the_recursion(rho: float) -> None:
    z = torch.randn(2, 37, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = [z[:, 0]]
    for j in range(1, z.shape[1]):
        expected.append(rho * expected[-1] + math.sqrt(1 - rho * rho) * z[:, j])
    assert_close(ar1.color(z, rho, -1), torch.stack(expected, 1), 1e-12)


def test_whitening_is_accurate_in_float32_at_correlation_0999() -> None:
    noise = torch.randn(256, 256, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    field = KMSLinearOperator((256, 256), 0.999, dtype=torch.float64).color(noise).float()
    exact = KMSLinearOperator((256, 256), 0.999, dtype=torch.float64).whiten(field.double())
    single = KMSLinearOperator((256, 256), 0.999, dtype=torch.float32).whiten(field).double()
    assert abs(single.square().sum() / exact.square().sum() - 1) < 1e-6
    assert (single - exact).norm() / exact.norm() < 1e-5


def test_log_prob_matches_the_dense_gaussian_also_for_batches() -> None:
    operator = KMSLinearOperator((4, 5), (0.9, 0.6), dtype=torch.float64)
    mean = torch.linspace(-1, 1, 20, dtype=torch.float64)
    x = torch.randn(3, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    reference = torch.distributions.MultivariateNormal(mean, dense((4, 5), (0.9, 0.6)))
    ours = MultivariateNormal(mean, operator)
    assert_close(ours.log_prob(x[0]), reference.log_prob(x[0]))
    assert_close(ours.log_prob(x), reference.log_prob(x))
    assert_close(ours.expand(torch.Size([3])).log_prob(x), reference.log_prob(x))


def test_rsample_reparameterises_through_the_factor() -> None:
    operator = KMSLinearOperator((3, 4), (0.8, -0.4), dtype=torch.float64)
    ours = MultivariateNormal(torch.ones(12, dtype=torch.float64), operator)
    base = torch.randn(6, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    expected = 1 + base @ torch.linalg.cholesky(dense((3, 4), (0.8, -0.4))).mT
    assert_close(ours.rsample(base_samples=base), expected)
    assert ours.expand(torch.Size([2])).rsample(torch.Size([5])).shape == (5, 2, 12)


def test_samples_have_the_correlation_of_the_model() -> None:
    torch.manual_seed(5)
    fields = KMSLinearOperator((24, 24), (0.75, 0.6)).zero_mean_mvn_samples(4000).reshape(-1, 24, 24)
    for dy, dx in [(0, 0), (0, 1), (1, 0), (1, 1), (0, 3), (3, 2)]:
        product = (fields[:, : 24 - dy, : 24 - dx] * fields[:, dy:, dx:]).mean((1, 2))
        error = 4 * product.std() / math.sqrt(len(product))
        assert abs(product.mean() - 0.75**dy * 0.6**dx) < error


def test_products_are_differentiable_in_their_inputs() -> None:
    operator = KMSLinearOperator((3, 4), (0.9, -0.5), dtype=torch.float64)
    x = torch.randn(12, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(6), requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: operator @ v, x)
    assert torch.autograd.gradcheck(operator.solve, x)
    assert torch.autograd.gradcheck(operator.inv_quad, x)
    assert torch.autograd.gradcheck(lambda v: operator.color(v.mT.reshape(2, 3, 4)), x)


def test_slices_and_batches_behave_like_the_dense_matrix() -> None:
    operator, covariance, x = case([(3, 0.9), (2, 0.5), (2, 0.1)])
    assert operator[2, 5] == pytest.approx(covariance[2, 5])
    assert_close(operator[:5, 3:7].to_dense(), covariance[:5, 3:7])
    batch = operator.expand(4, 12, 12)
    assert batch.shape == (4, 12, 12)
    assert batch[1].shape == (12, 12)
    assert_close(batch @ x, (covariance @ x).expand(4, 12, 3))
    assert batch.logdet().shape == (4,)
    assert (operator + operator).to_dense().allclose(2 * covariance)
    assert operator.float().dtype == torch.float32
    assert operator.to(torch.float32).to_dense().dtype == torch.float32


def test_a_million_pixels_need_no_dense_matrix() -> None:
    operator = KMSLinearOperator((1024, 1024), (0.99, 0.9))
    field = operator.zero_mean_mvn_samples(1)
    log_prob = MultivariateNormal(torch.zeros(1024**2), operator).log_prob(field)
    expected = -0.5 * (1024**2 * (1 + math.log(2 * math.pi)) + float(operator.logdet()))
    assert float(log_prob) == pytest.approx(expected, abs=5 * 1024)


@pytest.mark.parametrize(("shape", "rho"), [((3, 3), 1.0), ((3, 3), (0.5,)), ((), 0.5), ((3, 0), 0.5)])
def test_impossible_fields_are_refused(shape: tuple[int, ...], rho: float) -> None:
    with pytest.raises(ValueError, match=r"correlation|shape"):
        KMSLinearOperator(shape, rho)


def test_a_field_on_another_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a tensor ending in"):
        KMSLinearOperator((3, 4), 0.5).whiten(torch.zeros(4, 3))

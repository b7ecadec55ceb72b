"""The KMS covariance operator against dense Kronecker algebra."""

from __future__ import annotations

import math
from functools import reduce

import gpytorch
import numpy as np
import pytest
import torch
from gpytorch.constraints import Interval
from gpytorch.distributions import MultivariateNormal
from gpytorch.priors import NormalPrior
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from segnoise.draws import generator
from segnoise.kms import KMSLinearOperator, ar1, sample_field

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


@given(GRIDS)
@settings(max_examples=25, deadline=None)
def test_whitening_a_drawn_field_returns_its_noise_and_the_covariance_becomes_the_identity(
    grid: list[tuple[int, float]],
) -> None:
    shape, rho = tuple(n for n, _ in grid), tuple(r for _, r in grid)
    operator = KMSLinearOperator(shape, rho, dtype=torch.float64)
    noise = torch.from_numpy(generator(1, "noise").standard_normal(shape))
    assert_close(operator.whiten(torch.from_numpy(sample_field(shape, rho, generator(1, "noise")))), noise, 1e-11)
    half = operator.whiten(dense(shape, rho).reshape(-1, *shape)).reshape(-1, math.prod(shape))
    identity = operator.whiten(half.mT.reshape(-1, *shape)).reshape(-1, math.prod(shape))
    # three axes of .99 condition the matrix to 1e7
    assert_close(identity, torch.eye(math.prod(shape), dtype=torch.float64), 1e-8)


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


def test_products_are_differentiable_in_the_correlations() -> None:
    raw = torch.tensor([1.2, -0.4, 0.3], dtype=torch.float64, requires_grad=True)
    x = torch.randn(3 * 4 * 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(7))

    def operator(free: Tensor) -> KMSLinearOperator:
        return KMSLinearOperator((3, 4, 2), free.tanh(), dtype=torch.float64)

    assert torch.autograd.gradcheck(lambda r: operator(r) @ x, raw)
    assert torch.autograd.gradcheck(lambda r: operator(r).solve(x), raw)
    assert torch.autograd.gradcheck(lambda r: torch.stack(operator(r).inv_quad_logdet(x, logdet=True)), raw)
    assert torch.autograd.gradcheck(lambda r: operator(r).color(x.mT.reshape(2, 3, 4, 2)), raw)
    assert torch.autograd.gradcheck(lambda r: operator(r).whiten(x.mT.reshape(2, 3, 4, 2)), raw)
    assert torch.autograd.gradcheck(lambda r: operator(r).to_dense(), raw)
    assert torch.autograd.gradcheck(lambda r: operator(r).root_decomposition().root @ x, raw)


def test_a_correlation_given_as_a_tensor_is_that_given_as_numbers() -> None:
    rho = (0.9, -0.5)
    numbers = KMSLinearOperator((5, 6), rho, dtype=torch.float64)
    tensor = KMSLinearOperator((5, 6), torch.tensor(rho, dtype=torch.float64), dtype=torch.float64)
    x = torch.randn(30, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(8))
    for one, other in (
        (numbers @ x, tensor @ x),
        (numbers.solve(x), tensor.solve(x)),
        (numbers.logdet(), tensor.logdet()),
    ):
        assert_close(one, other, 1e-14)
    zero = KMSLinearOperator((5, 6), torch.zeros(2, dtype=torch.float64), dtype=torch.float64)
    assert torch.equal(zero @ x, x)
    single = KMSLinearOperator((40,), torch.tensor([0.9999], dtype=torch.float64), dtype=torch.float32)
    field = torch.randn(40, generator=torch.Generator().manual_seed(9))
    assert torch.allclose(single.whiten(single.color(field)), field, atol=1e-3)
    assert single.whiten(field).dtype == torch.float32


def test_a_batch_of_correlations_is_a_batch_of_fields() -> None:
    rho = torch.tensor([[[0.9, 0.1]], [[0.3, -0.6]]], dtype=torch.float64)  # batch 2 x 1
    operator = KMSLinearOperator((3, 4), rho, dtype=torch.float64)
    each = [KMSLinearOperator((3, 4), r[0].tolist(), dtype=torch.float64) for r in rho]
    x = torch.randn(12, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(10))
    assert operator.shape == (2, 1, 12, 12)
    wide = operator.expand(2, 5, 12, 12)
    for k, one in enumerate(each):
        assert_close(operator.to_dense()[k, 0], one.to_dense())
        assert_close((operator @ x)[k, 0], one @ x)
        assert_close((wide @ x)[k, 3], one @ x)
        assert_close(operator[k, 0] @ x, one @ x)
        assert_close(operator.logdet()[k, 0], one.logdet())
        assert_close(operator.whiten(x.mT.reshape(2, 1, 3, 4))[k, 0], one.whiten(x.mT.reshape(2, 3, 4))[k])
    assert wide.logdet().shape == (2, 5)
    assert operator.repeat(1, 3, 1, 1).shape == (2, 3, 12, 12)


def test_the_likelihood_and_draws_of_gpytorch_carry_the_gradient_of_the_dense_ones() -> None:
    raw = torch.tensor([0.8, 0.2], dtype=torch.float64, requires_grad=True)
    x = torch.randn(12, dtype=torch.float64, generator=torch.Generator().manual_seed(11))
    base = torch.randn(3, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(12))
    mean = torch.linspace(-1, 1, 12, dtype=torch.float64)
    ours = MultivariateNormal(mean, KMSLinearOperator((3, 4), raw.tanh(), dtype=torch.float64))
    matrices = [
        r ** (torch.arange(n)[:, None] - torch.arange(n)).abs() for n, r in zip((3, 4), raw.tanh(), strict=True)
    ]
    theirs = torch.distributions.MultivariateNormal(mean, torch.kron(*matrices))
    other = MultivariateNormal(
        torch.zeros(12, dtype=torch.float64), KMSLinearOperator((3, 4), 0.3, dtype=torch.float64)
    )
    dense_other = torch.distributions.MultivariateNormal(other.mean, other.covariance_matrix)
    for one, reference in (
        (ours.log_prob(x), theirs.log_prob(x)),
        (ours.rsample(base_samples=base).square().sum(), (mean + base @ theirs.scale_tril.mT).square().sum()),
        (torch.distributions.kl_divergence(ours, other), torch.distributions.kl_divergence(theirs, dense_other)),
        (torch.distributions.kl_divergence(other, ours), torch.distributions.kl_divergence(dense_other, theirs)),
    ):
        assert_close(one, reference)
        (got,), (expected,) = (torch.autograd.grad(v, raw, retain_graph=True) for v in (one, reference))
        assert_close(got, expected, 1e-8)


def test_a_correlation_can_be_learned_from_a_field() -> None:
    true = (0.85, 0.5)
    fields = torch.from_numpy(np.stack([sample_field((40, 40), true, generator(k, "learn")) for k in range(4)]))
    raw = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([raw], 0.1)
    for _ in range(80):
        optimiser.zero_grad()
        operator = KMSLinearOperator((40, 40), raw.tanh(), dtype=torch.float64)
        (
            -MultivariateNormal(torch.zeros(1600, dtype=torch.float64), operator).log_prob(fields.flatten(1)).sum()
        ).backward()
        optimiser.step()
    assert torch.allclose(raw.tanh().detach(), torch.tensor(true, dtype=torch.float64), atol=0.02)


def test_a_correlation_is_learned_through_a_constraint_with_a_prior_of_gpytorch() -> None:
    """On four pixels the prior decides; the constraint keeps the correlation in (0, 1) wherever the search goes."""

    class Field(gpytorch.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_parameter("raw_rho", torch.nn.Parameter(torch.zeros(1, dtype=torch.float64)))
            self.register_constraint("raw_rho", Interval(0.0, 1.0))
            self.register_prior("rho", NormalPrior(0.8, 0.05), lambda m: m.raw_rho_constraint.transform(m.raw_rho))

        def forward(self, pixels: int) -> MultivariateNormal:
            rho = self.raw_rho_constraint.transform(self.raw_rho)
            return MultivariateNormal(torch.zeros(pixels, dtype=torch.float64), KMSLinearOperator((pixels,), rho))

    def learned(x: torch.Tensor) -> float:
        field = Field()
        optimiser = torch.optim.Adam(field.parameters(), 0.1)
        for _ in range(150):
            optimiser.zero_grad()
            loss = -field(len(x)).log_prob(x)
            for _, module, prior, closure, _ in field.named_priors():
                loss = loss - prior.log_prob(closure(module)).sum()
            loss.backward()
            optimiser.step()
        (rho,) = (float(closure(module).detach()) for _, module, _, closure, _ in field.named_priors())
        return rho

    long = torch.from_numpy(sample_field((4000,), 0.3, generator(0, "prior")))
    assert learned(long) == pytest.approx(0.3, abs=0.05)
    assert learned(long[:4]) == pytest.approx(0.8, abs=0.05)


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


@pytest.mark.parametrize(
    ("shape", "rho"),
    [
        ((3, 3), 1.0), ((3, 3), (0.5,)), ((), 0.5), ((3, 0), 0.5), ((3, 3), torch.tensor([0.5, 1.0])),
        ((3, 3), torch.tensor([0.5, float("nan")])), ((3, 3), torch.tensor([0.5])), ((3, 3), torch.tensor(0.5)),
    ],
)  # fmt: skip
def test_impossible_fields_are_refused(shape: tuple[int, ...], rho: float) -> None:
    with pytest.raises(ValueError, match=r"correlation|shape"):
        KMSLinearOperator(shape, rho)


def test_a_field_on_another_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a tensor ending in"):
        KMSLinearOperator((3, 4), 0.5).whiten(torch.zeros(4, 3))

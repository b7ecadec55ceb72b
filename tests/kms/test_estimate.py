"""The error model learned from evidence: the pairwise likelihood, what it recovers, symmetries, what it refuses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from gpytorch.priors import GammaPrior
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Beta, LogNormal, Normal, Uniform

from segnoise.draws import generator
from segnoise.kms import FieldPriors, estimate_field, kms_bound, kms_posterior, sample_field
from segnoise.kms.estimate import _curves, _pair_likelihood, joint_rate, mean_logit

Model = Callable[..., tuple[Tensor, Tensor, Tensor]]


def drawn(model: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """The evidence and which labels are wrong."""
    logits, labels, wrong = model
    return torch.where(labels == 1, -logits, logits), wrong


@given(st.floats(0.001, 0.8), st.floats(0.2, 4.0))
@settings(max_examples=50, deadline=None)
def test_the_mean_logit_gives_the_rate_and_joint_rates_lie_between_independence_and_identity(
    rate: float, sigma: float
) -> None:
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    weights = weights / weights.sum()
    mu = mean_logit(rate, sigma)
    r = 1 / (1 + np.exp(-(mu + sigma * nodes)))
    assert r @ weights == pytest.approx(rate, abs=2e-3)
    joint = [joint_rate(mu, sigma, c) for c in (0.0, 0.3, 0.7, 0.95, 1.0)]
    assert joint == sorted(joint)
    assert joint[0] == pytest.approx(rate**2, rel=1e-6)
    assert joint[-1] == pytest.approx(r**2 @ weights, abs=2e-3)


@pytest.mark.parametrize(("rate", "sigma"), [(0.0, 1.0), (1.0, 1.0), (-0.1, 1.0), (float("nan"), 1.0), (0.2, -1.0)])
def test_no_mean_logit_has_an_impossible_rate(rate: float, sigma: float) -> None:
    with pytest.raises(ValueError, match="must lie in"):
        mean_logit(rate, sigma)


@pytest.mark.parametrize("correlation", [0.0, 0.4, 0.9])
@pytest.mark.parametrize(("mu", "sigma"), [(-2.0, 1.3133), (0.5, 3.0)])
def test_the_likelihood_of_a_pair_is_the_expectation_over_both_rates(
    correlation: float, mu: float, sigma: float
) -> None:
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()
    both = weights[:, None] * weights
    one = 1 / (1 + np.exp(-(mu + sigma * nodes)))[:, None]
    other = 1 / (1 + np.exp(-(mu + sigma * (correlation * nodes[:, None] + np.sqrt(1 - correlation**2) * nodes))))
    gains = np.expm1([[-3.0, 2.0], [4.0, 1.0], [-8.0, -8.0], [0.0, 5.0]])
    expected = [np.log((both * (1 + one * a) * (1 + other * b)).sum()) for a, b in gains]
    rate, joint = float((both * one).sum()), joint_rate(mu, sigma, correlation)
    a, b = gains.T
    found = [float(_pair_likelihood(1 + rate * (x + y), x * y, np.log([joint]))[0]) for x, y in zip(a, b, strict=True)]
    assert np.allclose(found, expected, atol=2e-3)


def test_joint_rate_against_a_million_draws() -> None:
    x = generator(0, "pairs").standard_normal((2, 1_000_000))
    eta = -2 + 1.3133 * np.stack([x[0], 0.7 * x[0] + np.sqrt(1 - 0.7**2) * x[1]])
    product = (1 / (1 + np.exp(-eta))).prod(0)
    assert abs(product.mean() - joint_rate(-2.0, 1.3133, 0.7)) < 4 * product.std() / 1000


@pytest.mark.parametrize("rate", [0.0002, 0.05, 0.5])
def test_the_curves_are_the_likelihoods_between_their_nodes(rate: float) -> None:
    gain = np.expm1((4 * generator(0).standard_normal((2, 30, 20))).clip(-8, 8))
    curves = _curves(gain, 1, rate)
    assert [lag for lag, _ in curves] == [1, 2, 4, 8]
    for lag, curve in curves:
        one, other = gain[:, :-lag], gain[:, lag:]
        logs = np.linspace(*curve.domain, 50)
        exact = _pair_likelihood(1 + rate * (one + other), one * other, logs)
        assert np.abs(curve(logs) - exact).max() < 1e-4
    assert [lag for lag, _ in _curves(gain[:, :5], 1, rate)] == [1, 2, 4]


@pytest.mark.parametrize("rho", [0.6, 0.9])
def test_it_finds_the_correlation_and_the_rate_of_its_own_model(draw_model: Model, rho: float) -> None:
    A, wrong = drawn(draw_model(rho=rho))
    found = estimate_field(A)
    assert np.abs(np.array(found.rho) - rho).max() < 0.1
    assert found.rate == pytest.approx(float(wrong.double().mean()), abs=0.02)
    assert found.sigma == pytest.approx(1.3133, abs=0.3)
    assert found.mu == pytest.approx(mean_logit(found.rate, found.sigma))


def test_independent_errors_are_found_to_be_independent(draw_model: Model) -> None:
    found = estimate_field(drawn(draw_model(rho=0.0))[0])
    assert max(found.rho) <= 0.1


def test_each_axis_has_its_own_correlation_and_they_turn_with_the_image() -> None:
    rng = generator(3, "axes")
    fields = np.stack([sample_field((80, 100), (0.9, 0.3), rng) for _ in range(4)])
    wrong = rng.random(fields.shape) < 1 / (1 + np.exp(2 - 1.3133 * fields))
    A = torch.from_numpy(np.where(wrong, 4.0, -4.0))
    found = estimate_field(A)
    assert found.rho[0] == pytest.approx(0.9, abs=0.1)
    assert found.rho[1] == pytest.approx(0.3, abs=0.15)
    for turned in (A.flip(1), A.flip(2), A.flip(0)):
        assert estimate_field(turned).rho == pytest.approx(found.rho, abs=1e-3)
    assert estimate_field(A.mT).rho == pytest.approx(found.rho[::-1], abs=1e-3)


def test_a_line_a_volume_and_an_axis_of_length_one() -> None:
    rng = generator(0, "line")
    field = sample_field((12, 1, 900), (0.8, 0.0, 0.9), rng)
    A = np.where(rng.random(field.shape) < 1 / (1 + np.exp(1 - 2 * field)), 3.0, -3.0)
    volume = estimate_field(torch.from_numpy(A[None]))
    assert volume.rho[1] == 0.0
    assert volume.rho[2] == pytest.approx(0.9, abs=0.1)
    image = estimate_field(torch.from_numpy(A[None, :, 0]))
    assert (volume.rho[0], volume.rho[2]) == pytest.approx(image.rho)
    assert len(estimate_field(torch.from_numpy(A[:, 0])).rho) == 1
    kms_posterior(torch.from_numpy(A[None]), volume.rho, volume.mu, volume.sigma)  # 0 is a correlation it takes
    pixels = estimate_field(torch.from_numpy(A.reshape(-1, 1, 1)))
    assert pixels.rho == (0.0, 0.0)
    assert pixels.sigma == pytest.approx(1.3133, abs=0.01)
    assert pixels.rate == pytest.approx(volume.rate)


def test_masked_pixels_have_no_influence(draw_model: Model) -> None:
    A = drawn(draw_model(images=2))[0]
    valid = torch.rand(A.shape, generator=torch.Generator().manual_seed(0)) < 0.7
    found = estimate_field(A, valid)
    assert found == estimate_field(torch.where(valid, A, torch.nan), valid)
    assert found == estimate_field(torch.where(valid, A, 0.0))
    assert found != estimate_field(A)
    assert np.abs(np.array(found.rho) - 0.9).max() < 0.1  # fewer pairs, but the same model


def test_extreme_evidence_is_cut_and_stays_within_the_bounds() -> None:
    A = torch.where(torch.arange(400).reshape(1, 20, 20) % 7 == 0, 1e4, -torch.inf)
    found = estimate_field(A)
    assert found == estimate_field(A.clamp(-8, 8))
    for image in (A, torch.full((1, 9, 9), 1e4), torch.full((1, 9, 9), -1e4), torch.tensor([[[3.0]]])):
        for cap in (8.0, 100.0):
            rate, mu, sigma, rho = estimate_field(image, cap=cap)
            assert np.isfinite([rate, mu, sigma, *rho]).all()
            assert 1e-4 <= rate <= 0.9
            assert 0.4 <= sigma <= 4
            assert all(0 <= r <= 0.995 for r in rho)
    assert estimate_field(torch.full((1, 9, 9), -8.0)).rate < 2e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_half_precision_evidence_is_computed_in_float64(draw_model: Model, dtype: torch.dtype) -> None:
    A = drawn(draw_model(images=1, side=40))[0].to(dtype)
    assert estimate_field(A) == estimate_field(A.double())


def test_a_prior_draws_its_parameter_and_a_wide_one_does_not(draw_model: Model) -> None:
    A = drawn(draw_model(rho=0.9))[0]
    free = estimate_field(A)
    wide = estimate_field(A, priors=FieldPriors(Beta(1.0, 1.0), GammaPrior(1.0, 1e-6), Uniform(0.0, 1.0)))
    assert wide.rate == pytest.approx(free.rate, abs=1e-3)
    assert wide.rho == pytest.approx(free.rho, abs=0.02)
    few = estimate_field(A, priors=FieldPriors(rate=Beta(1e5, 9e5)))
    assert few.rate == pytest.approx(0.1, abs=0.01)
    assert few.rate < free.rate - 0.03
    near = estimate_field(A, priors=FieldPriors(rho=Normal(0.6, 1e-4)))
    assert near.rho == pytest.approx((0.6, 0.6), abs=0.01)
    narrow = estimate_field(A, priors=FieldPriors(sigma=LogNormal(np.log(0.7), 1e-3)))
    assert narrow.sigma == pytest.approx(0.7, abs=0.01)
    assert estimate_field(A, priors=FieldPriors()) == free


def test_the_strength_of_the_usual_prior() -> None:
    """Two nats per squared unit of the logarithm, around 1.3133."""
    usual = FieldPriors().sigma
    assert usual is not None
    for factor in (0.5, 0.9, 2.0):
        there, here = (float(usual.log_prob(torch.tensor(1.3133 * f, dtype=torch.float64))) for f in (factor, 1.0))
        assert there - here == pytest.approx(-2 * np.log(factor) ** 2, abs=1e-6)


def test_what_a_prior_rules_out_is_not_searched(draw_model: Model) -> None:
    A = drawn(draw_model(rho=0.9))[0]
    found = estimate_field(A, priors=FieldPriors(rate=Uniform(0.3, 0.301), rho=Uniform(0.3, 0.5)))
    assert 0.3 <= found.rate <= 0.301
    assert found.rho == pytest.approx((0.5, 0.5), abs=1e-3)
    with pytest.raises(ValueError, match="prior of sigma leaves nothing"):
        estimate_field(A, priors=FieldPriors(sigma=Uniform(5.0, 6.0)))


def test_what_there_is_nothing_to_learn_from_is_told() -> None:
    A = torch.ones(3, 4, 5)
    with pytest.raises(ValueError, match="no labelled pixel carries evidence"):
        estimate_field(A, torch.zeros(3, 4, 5, dtype=torch.bool))
    with pytest.raises(ValueError, match="no labelled pixel carries evidence"):
        estimate_field(torch.zeros(3, 4, 5))
    with pytest.raises(ValueError, match="no labelled pixel carries evidence"):
        estimate_field(torch.zeros(0, 4, 5))
    with pytest.raises(ValueError, match="must have the shape"):
        estimate_field(A, torch.ones(3, 4, dtype=torch.bool))
    for cap in (0.0, -1.0, 1000.0, float("nan")):
        with pytest.raises(ValueError, match="cap"):
            estimate_field(A, cap=cap)
    A[1, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="image 1: the evidence is nan"):
        estimate_field(A)


def test_no_autograd_graph_is_kept(draw_model: Model) -> None:
    A = drawn(draw_model(images=1, side=30))[0]
    assert estimate_field(A.requires_grad_()) == estimate_field(A.detach())


def test_the_bound_prefers_what_was_learned_to_the_defaults(draw_model: Model) -> None:
    A = drawn(draw_model(rho=0.5, seed=1))[0].double()
    found = estimate_field(A)
    field = found.rho, found.mu, found.sigma
    assert kms_bound(A, kms_posterior(A, *field), *field).sum() > kms_bound(A, kms_posterior(A)).sum() + 100

"""The bound on the likelihood of the labels: dense algebra, limits, symmetries, extremes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from segnoise.kms import KMSLinearOperator, Posterior, kms_bound, kms_posterior, label_log_odds, soft_target
from segnoise.kms.bound import _NODES, _WEIGHTS, data_term

RHO = st.sampled_from([0.0, 0.3, 0.75, 0.99, -0.5])
GRIDS = st.lists(st.tuples(st.integers(1, 6), RHO), min_size=1, max_size=3)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def evidence(*shape: int, seed: int = 0) -> Tensor:
    return (3 * normal(*shape, seed=seed)).clamp(-7.9, 7.9)


def gaussian(mean: Tensor, curvature: Tensor | float) -> Posterior:
    """The posterior with this mean and curvature; its maps play no part in the bound."""
    nothing = torch.zeros_like(mean)
    return Posterior(nothing, nothing, mean, torch.as_tensor(curvature, dtype=mean.dtype).expand(len(mean)))


def number(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def dense_precision(shape: tuple[int, ...], rho: tuple[float, ...]) -> Tensor:
    precision = torch.ones(1, 1, dtype=torch.float64)
    for n, r in zip(shape, rho, strict=True):
        matrix = torch.tensor(r, dtype=torch.float64) ** (torch.arange(n)[:, None] - torch.arange(n)).abs()
        precision = torch.kron(precision, torch.linalg.inv(matrix))
    return precision


@given(GRIDS, st.floats(0.3, 3.0), st.floats(0.0, 2.0))
@settings(max_examples=30, deadline=None)
def test_divergence_and_marginals_are_those_of_dense_gaussians(
    grid: list[tuple[int, float]], sigma: float, curvature: float
) -> None:
    shape, rho = tuple(n for n, _ in grid), tuple(r for _, r in grid)
    mean, A = -1.5 + normal(1, *shape), evidence(1, *shape, seed=1)
    size = mean.numel()
    prior = dense_precision(shape, rho) / sigma**2
    ours = prior + curvature * torch.eye(size, dtype=torch.float64)
    covariance, shift = torch.linalg.inv(ours), (mean + 2.0).flatten()
    logdets = torch.linalg.slogdet(ours)[1] - torch.linalg.slogdet(prior)[1]
    divergence = ((prior * covariance).sum() - size + shift @ prior @ shift + logdets) / 2
    posterior = gaussian(mean, curvature)
    scale = max(float(shift @ prior @ shift), 1.0)  # what rounds in either
    without_evidence = kms_bound(torch.zeros_like(A), posterior, rho, -2.0, sigma)
    assert abs(float(without_evidence) + float(divergence)) < 1e-10 * scale * size
    # the deviation in the likelihood is that in the divergence: the mean marginal one of the dense covariance
    data = data_term(A, mean, covariance.diagonal().mean().sqrt().reshape(1, *[1] * len(shape)))
    assert abs(float(kms_bound(A, posterior, rho, -2.0, sigma)) - float(data.sum() - divergence)) < 1e-9 * scale * size


@given(GRIDS, st.floats(-1.0, 1.0), st.floats(0.0, 2.0))
@settings(max_examples=30, deadline=None)
def test_divergence_is_zero_at_the_prior_and_positive_elsewhere(
    grid: list[tuple[int, float]], shift: float, curvature: float
) -> None:
    shape, rho = tuple(n for n, _ in grid), tuple(r for _, r in grid)
    A = torch.zeros(1, *shape, dtype=torch.float64)
    prior = torch.full_like(A, -2.0)
    divergence = -float(kms_bound(A, gaussian(prior + shift * normal(1, *shape), curvature), rho))
    assert divergence > -1e-12
    if abs(shift) > 1e-3 or curvature > 1e-3:
        assert divergence > 1e-9
    assert abs(float(kms_bound(A, gaussian(prior, 0.0), rho))) < 1e-12


def test_the_prior_alone_is_the_posterior_without_evidence_from_any_start() -> None:
    A = torch.zeros(1, 5, 4, dtype=torch.float64)
    mean, log_curvature = (3 * normal(1, 5, 4)).requires_grad_(), number(-1.0).requires_grad_()
    optimiser = torch.optim.LBFGS([mean, log_curvature], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = -kms_bound(A, gaussian(mean, log_curvature.exp()), 0.7).sum()
        value.backward()
        return value

    optimiser.step(loss)
    assert torch.allclose(mean, torch.full_like(mean, -2.0), atol=1e-3)
    assert log_curvature.exp() < 1e-2


def test_gradients_in_everything_that_is_a_tensor() -> None:
    A, mean = evidence(2, 3, 4), -1 + normal(2, 3, 4, seed=1)
    curvature, mu, log_sigma = torch.tensor([0.1, 0.4], dtype=torch.float64), number(-1.5), number(0.2)
    inputs = [x.requires_grad_() for x in (A, mean, curvature, mu, log_sigma)]
    assert torch.autograd.gradcheck(
        lambda a, m, w, mu_, s: kms_bound(a, gaussian(m, w), (0.9, -0.4), mu_, s.exp()), inputs
    )


def test_mean_of_the_e_step_is_a_maximum_of_the_bound() -> None:
    A, rho = evidence(1, 9, 8), (0.9, 0.6)
    posterior = kms_posterior(A, rho, steps=400)
    mean = posterior.mean.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(kms_bound(A, gaussian(mean, posterior.curvature), rho), mean)
    start = torch.full_like(mean, -2.0).requires_grad_()
    (before,) = torch.autograd.grad(kms_bound(A, gaussian(start, posterior.curvature), rho), start)
    # not to rounding: the E-step takes five nodes, the bound twenty
    assert gradient.abs().max() < 1e-3 < before.abs().max() / 100


def test_gradient_in_the_evidence_is_the_probability_that_the_label_is_wrong() -> None:
    A = evidence(2, 10, 12).requires_grad_()
    posterior = kms_posterior(A, 0.8)
    (gradient,) = torch.autograd.grad(kms_bound(A, posterior, 0.8).sum(), A)
    assert (gradient - posterior.p_wrong).abs().max() < 1e-3


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_gradient_in_the_logits_is_the_probability_minus_the_soft_target(classes: int) -> None:
    """At a fixed q: autograd through ``E log[(1 - r) p(y) + r w]``."""
    logits = normal(2, classes, 5, 4).requires_grad_()
    labels = torch.randint(classes, (2, 5, 4), generator=torch.Generator().manual_seed(classes))
    log_probs = logits.log_softmax(1)
    A = label_log_odds(log_probs, labels)
    posterior = kms_posterior(A.detach(), 0.8)
    right = log_probs.gather(1, labels[:, None]).squeeze(1)
    loss = -right.sum() - kms_bound(A, posterior, 0.8).sum()
    (gradient,) = torch.autograd.grad(loss, logits, retain_graph=True)
    (p_wrong,) = torch.autograd.grad(kms_bound(A, posterior, 0.8).sum(), A)
    target = soft_target(log_probs, labels, p_wrong)
    assert (gradient - (log_probs.exp() - target)).abs().max() < 1e-14


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_the_data_term_is_that_of_a_uniform_confusion_and_for_two_classes_of_two_terms(classes: int) -> None:
    log_probs = (3 * normal(1, classes, 30)).log_softmax(1)
    labels = torch.randint(classes, (1, 30), generator=torch.Generator().manual_seed(classes))
    mean = normal(1, 30, seed=1)
    deviation = torch.full((1, 1), 0.8, dtype=torch.float64)
    right = log_probs.gather(1, labels[:, None]).squeeze(1)
    ours = right + data_term(label_log_odds(log_probs, labels), mean, deviation)
    confusion = (1 - torch.eye(classes, dtype=torch.float64)) / (classes - 1)
    wrong = torch.einsum("bkn,kbn->bn", log_probs.exp(), confusion[:, labels])
    x, weights = torch.from_numpy(_NODES), torch.from_numpy(_WEIGHTS)
    r = torch.sigmoid(mean[..., None] + 0.8 * x)
    assert torch.allclose(
        ours, torch.log((1 - r) * right.exp()[..., None] + r * wrong[..., None]) @ weights, atol=1e-12
    )
    if classes == 2:
        other = log_probs.gather(1, 1 - labels[:, None]).squeeze(1)
        terms = torch.logaddexp((1 - r).log() + right[..., None], r.log() + other[..., None])
        assert torch.allclose(ours, terms @ weights, atol=1e-12)


@given(st.floats(-10.0, 10.0), st.floats(0.0, 3.0), st.floats(-20.0, 20.0))
@settings(max_examples=100, deadline=None)
def test_it_is_never_below_the_published_bound_at_any_pixel(mean: float, deviation: float, A: float) -> None:
    """Theirs puts the expected rate inside: ``A E[r]``, which concavity of the logarithm keeps below."""
    exact = data_term(number(A).view(1, 1), number(mean).view(1, 1), number(deviation).view(1, 1))
    published = A * float((1 / (1 + np.exp(-(mean + deviation * _NODES)))) @ _WEIGHTS)
    assert float(exact) >= published - 1e-12
    if abs(A) > 1 and abs(mean) < 5:
        assert float(exact) > published + 1e-5


def test_quadrature_matches_a_fine_rule() -> None:
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)
    weights = weights / weights.sum()
    means = torch.linspace(-8, 8, 33, dtype=torch.float64)[None]
    for deviation, tolerance in ((0.5, 1e-12), (1.3133, 1e-8), (3.0, 2e-4)):
        eta = means[0].numpy()[:, None] + deviation * nodes
        for A in (-8.0, -2.0, 3.0, 8.0):
            fine = np.logaddexp(-np.logaddexp(0, eta), A - np.logaddexp(0, -eta)) @ weights
            ours = data_term(torch.full_like(means, A), means, number(deviation).view(1, 1))
            assert np.abs(ours[0].numpy() - fine).max() < tolerance


def test_with_zero_correlation_it_is_the_sum_over_pixels() -> None:
    A, mean = evidence(1, 5, 7), -2 + normal(1, 5, 7, seed=1)
    whole = kms_bound(A, gaussian(mean, 0.2), 0.0)
    pixels = kms_bound(A.reshape(35, 1), gaussian(mean.reshape(35, 1), 0.2), 0.0)
    assert torch.allclose(whole, pixels.sum(), rtol=1e-12)


@pytest.mark.parametrize("classes", [2, 4])
def test_a_field_that_does_not_vary_is_the_forward_corrected_loss(classes: int) -> None:
    rate, mu = 0.2, math.log(0.2 / 0.8)
    logits = (2 * normal(2, classes, 6, 5)).requires_grad_()
    labels = torch.randint(classes, (2, 6, 5), generator=torch.Generator().manual_seed(0))
    log_probs = logits.log_softmax(1)
    right = log_probs.gather(1, labels[:, None]).squeeze(1)
    A = label_log_odds(log_probs, labels)
    posterior = kms_posterior(A, 0.9, mu, 1e-6, cap=50.0)
    ours = -right.sum() - kms_bound(A, posterior, 0.9, mu, 1e-6, cap=50.0).sum()
    channel = torch.full((classes, classes), rate / (classes - 1), dtype=torch.float64)
    channel.fill_diagonal_(1 - rate)
    noisy = torch.einsum("bk...,kl->bl...", log_probs.exp(), channel).contiguous().log()
    forward = torch.nn.functional.nll_loss(noisy, labels, reduction="sum")
    assert torch.allclose(ours, forward, rtol=1e-8)
    (one,), (other,) = (torch.autograd.grad(loss, logits, retain_graph=True) for loss in (ours, forward))
    assert torch.allclose(one, other, atol=1e-8)


def test_without_errors_it_is_cross_entropy_gradient_included() -> None:
    logits = (2 * normal(2, 3, 6, 5)).requires_grad_()
    labels = torch.randint(3, (2, 6, 5), generator=torch.Generator().manual_seed(0))
    log_probs = logits.log_softmax(1)
    right = log_probs.gather(1, labels[:, None]).squeeze(1)
    A = label_log_odds(log_probs, labels)
    posterior = kms_posterior(A, 0.9, mu=-45.0)
    assert torch.allclose(soft_target(log_probs, labels, posterior.p_wrong).gather(1, labels[:, None]), number(1.0))
    # The E-step keeps w above .02, which costs the bound a constant; with the w of no evidence it is exact.
    ours = -right.sum() - kms_bound(A, gaussian(posterior.mean, 0.0), 0.9, mu=-45.0).sum()
    assert kms_bound(A, posterior, 0.9, mu=-45.0).min() > -0.005 * A[0].numel()
    plain = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
    (one,), (other,) = (torch.autograd.grad(loss, logits, retain_graph=True) for loss in (ours, plain))
    assert torch.allclose(ours, plain, rtol=1e-12)
    assert torch.allclose(one, other, atol=1e-12)


def test_flips_and_transposition_with_swapped_correlations() -> None:
    A, rho = evidence(2, 9, 13), (0.9, 0.6)
    bound = kms_bound(A, kms_posterior(A, rho), rho)
    for turned, along in ((A.flip(1), rho), (A.flip(2), rho), (A.mT, rho[::-1])):
        assert torch.allclose(kms_bound(turned, kms_posterior(turned, along), along), bound, rtol=1e-10)


def test_masked_pixels_have_no_gradient_and_no_influence() -> None:
    A = evidence(2, 8, 9)
    valid = torch.rand(2, 8, 9, generator=torch.Generator().manual_seed(1)) < 0.6
    hidden = torch.where(valid, A, torch.nan).requires_grad_()
    posterior = kms_posterior(hidden, valid=valid)
    bound = kms_bound(hidden, posterior, valid=valid)
    assert torch.equal(bound, kms_bound(torch.where(valid, A, 0.0), posterior))
    (gradient,) = torch.autograd.grad(bound.sum(), hidden)
    assert (gradient[~valid] == 0).all()
    assert (gradient[valid] > 0).all()


def test_images_of_a_batch_do_not_meet() -> None:
    A = evidence(4, 10, 11)
    A[1] *= 0.1
    whole = kms_bound(A, kms_posterior(A))
    halves = torch.cat([kms_bound(half, kms_posterior(half)) for half in A.split(2)])
    assert torch.allclose(whole, halves, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("rho", [0.0, 0.9999])
@pytest.mark.parametrize("shape", [(2, 1, 12), (2, 12, 1), (2, 1, 1), (2, 7, 5)])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_extreme_logits_have_a_finite_bound_and_gradient(
    shape: tuple[int, ...], rho: float, dtype: torch.dtype, scale: float
) -> None:
    logits = (scale * normal(shape[0], 2, *shape[1:]).sign()).to(dtype).requires_grad_()
    labels = torch.zeros(shape, dtype=torch.long)
    labels[..., ::2] = 1
    log_probs = logits.log_softmax(1)
    A = label_log_odds(log_probs, labels)
    for valid in (None, torch.zeros(shape, dtype=torch.bool)):
        bound = kms_bound(A, kms_posterior(A, rho, valid=valid), rho, valid=valid)
        assert bound.dtype == torch.float32
        assert torch.isfinite(bound).all()
        (gradient,) = torch.autograd.grad(bound.sum(), logits, retain_graph=True)
        assert torch.isfinite(gradient).all()
        if valid is not None:
            assert (bound.abs() < 1e-3).all()
            assert (gradient == 0).all()


@pytest.mark.parametrize("A", [1e4, -1e4, 1e30, -1e30])
@pytest.mark.parametrize("mean", [-50.0, 0.0, 50.0])
def test_the_data_term_is_finite_for_any_evidence(A: float, mean: float) -> None:
    x = torch.tensor([[A]], requires_grad=True)
    value = data_term(x, torch.tensor([[mean]]), torch.tensor([[1.0]]))
    assert torch.isfinite(value).all()
    (gradient,) = torch.autograd.grad(value.sum(), x)
    assert float(gradient) == pytest.approx(float(A > 0), abs=1e-6)


def test_float32_is_float64_to_five_digits() -> None:
    A = evidence(1, 64, 64)
    for rho in (0.5, 0.99):
        single, double = (kms_bound(x, kms_posterior(x, rho), rho) for x in (A.float(), A))
        assert float(single) == pytest.approx(float(double), rel=1e-5)


@pytest.mark.parametrize("options", [{"sigma": 0.0}, {"cap": -1.0}, {"rho": 1.0}, {"rho": (0.9,)}])
def test_impossible_settings_are_refused(options: dict[str, float]) -> None:
    A = torch.zeros(1, 4, 4)
    with pytest.raises(ValueError, match=r"positive|correlation"):
        kms_bound(A, kms_posterior(A), **options)


def test_what_does_not_fit_and_evidence_that_is_nan_are_told() -> None:
    A = torch.zeros(3, 4, 4)
    with pytest.raises(ValueError, match="must have the shape"):
        kms_bound(A, kms_posterior(A[:2]))
    with pytest.raises(ValueError, match="must have the shape"):
        kms_bound(A, kms_posterior(A), valid=torch.ones(3, 4, dtype=torch.bool))
    posterior = kms_posterior(A)
    A[2, 1, 1] = torch.nan
    with pytest.raises(ValueError, match="image 2: the evidence is nan"):
        kms_bound(A, posterior)


def test_the_quadratic_form_is_that_of_the_operator() -> None:
    rho, sigma = (0.8, 0.4), 1.5
    mean, A = normal(1, 6, 7), torch.zeros(1, 6, 7, dtype=torch.float64)
    operator = KMSLinearOperator((6, 7), rho, dtype=torch.float64)
    expected = operator.inv_quad((mean + 2).flatten()) / sigma**2 / 2
    assert torch.allclose(-kms_bound(A, gaussian(mean, 0.0), rho, -2.0, sigma), expected, rtol=1e-12)

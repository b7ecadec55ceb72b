"""The E-step: limits, symmetries, convergence, and calibration on data drawn from its own model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from segnoise.draws import generator
from segnoise.kms import KMSLinearOperator, kms_bound, kms_posterior, sample_field
from segnoise.kms.quadrature import expected_sigmoid

Model = Callable[..., tuple[Tensor, Tensor, Tensor]]


def evidence(*shape: int, seed: int = 0) -> Tensor:
    return 4 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def expected_calibration_error(p: Tensor, hit: Tensor, bins: int = 15) -> float:
    index = (p * bins).long().clamp(max=bins - 1).flatten()
    gap = torch.zeros(bins).index_add_(0, index, (p - hit.float()).flatten())
    return float(gap.abs().sum() / p.numel())


def prior_rate(mu: float, sigma: float) -> float:
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    return float((weights / (1 + np.exp(-(mu + sigma * nodes)))).sum() / weights.sum())


@pytest.mark.parametrize("shape", [(1, 40), (2, 20, 30), (1, 6, 8, 10)])
@pytest.mark.parametrize("rho", [0.0, 0.9, 0.9999])
def test_without_evidence_the_posterior_is_the_prior(shape: tuple[int, ...], rho: float) -> None:
    p_wrong, rate, *_ = kms_posterior(torch.zeros(shape), rho)
    assert (rate - prior_rate(-2.0, 1.3133)).abs().max() < 1e-3
    assert torch.equal(p_wrong, rate)


def test_masked_pixels_carry_no_evidence() -> None:
    A = evidence(2, 24, 24)
    valid = torch.rand(2, 24, 24, generator=torch.Generator().manual_seed(1)) < 0.7
    other = torch.where(valid, A, torch.tensor(float("nan")))
    ours, theirs = kms_posterior(A, valid=valid), kms_posterior(other, valid=valid)
    assert torch.equal(ours.p_wrong, theirs.p_wrong)
    assert torch.equal(ours.p_wrong, kms_posterior(torch.where(valid, A, 0.0)).p_wrong)
    nothing = kms_posterior(A, valid=torch.zeros_like(valid))
    assert (nothing.rate - prior_rate(-2.0, 1.3133)).abs().max() < 1e-3


def test_with_zero_correlation_pixels_are_exchangeable() -> None:
    A = evidence(1, 12, 15).double()
    order = torch.randperm(180, generator=torch.Generator().manual_seed(2))
    shuffled = A.flatten()[order].reshape(1, 12, 15)
    p = kms_posterior(A, 0.0).p_wrong.flatten()[order]
    assert torch.allclose(kms_posterior(shuffled, 0.0).p_wrong.flatten(), p, atol=1e-12)


def test_with_zero_correlation_a_constant_image_is_the_scalar_problem() -> None:
    p_image = kms_posterior(torch.full((1, 9, 7), 2.5, dtype=torch.float64), 0.0, steps=200).p_wrong
    p_pixel = kms_posterior(torch.full((1, 1), 2.5, dtype=torch.float64), 0.0, steps=200).p_wrong
    assert torch.allclose(p_image, p_pixel.item() * torch.ones_like(p_image), atol=1e-9)


def test_with_zero_correlation_every_pixel_solves_its_own_equation() -> None:
    """``m = mu + sigma**2 (pi - r)`` per pixel, with the one deviation that the pixels of an image share."""
    A = evidence(1, 6, 8).double()
    posterior = kms_posterior(A, 0.0, steps=400)
    deviation = (1 / (1 / 1.3133**2 + posterior.curvature)).sqrt()
    nodes, weights = (torch.from_numpy(v) for v in np.polynomial.hermite_e.hermegauss(5))
    for m, a in zip(posterior.mean.flatten(), A.clamp(-8, 8).flatten(), strict=True):
        low, high = (torch.tensor(v, dtype=torch.float64) for v in (-8.0, 4.0))
        for _ in range(60):
            middle = (low + high) / 2
            eta = middle + deviation * nodes
            rise = (torch.sigmoid(eta + a) - torch.sigmoid(eta)) @ weights / weights.sum()
            low, high = (middle, high) if -2.0 + 1.3133**2 * rise > middle else (low, middle)
        assert torch.allclose(m, low, atol=1e-8)


def test_a_field_that_does_not_vary_is_the_symmetric_channel() -> None:
    A = evidence(1, 10, 10).double().clamp(-8, 8)
    p_wrong, rate, *_ = kms_posterior(A, 0.9, mu=-1.2, sigma=1e-6)
    assert torch.allclose(rate, torch.sigmoid(torch.tensor(-1.2, dtype=torch.float64)), atol=1e-9)
    assert torch.allclose(p_wrong, torch.sigmoid(A - 1.2), atol=1e-9)


def test_where_errors_are_impossible_no_label_is_wrong() -> None:
    assert kms_posterior(evidence(1, 10, 10), 0.9, mu=-45.0).p_wrong.max() < 1e-12


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9, 0.97])
def test_every_step_raises_the_bound(draw_model: Model, rho: float) -> None:
    """But for the update of w, which is the mean curvature and not the best w: it may cost 1e-5 nats a pixel, and 1e-4
    where nothing ties the pixels together."""
    logits, labels, _ = draw_model(images=2, side=64)
    A = torch.where(labels == 1, -logits, logits).double()
    network = torch.from_numpy(np.stack([sample_field((64, 64), 0.93, generator(k, "net")) for k in range(2)]))
    coherent = torch.where(network > 0.3, 4.0, -4.0) + 4 * network.flip(1)
    known = torch.rand(2, 64, 64, generator=torch.Generator().manual_seed(3)) < 0.2
    for evidence_, valid in ((A, None), (coherent, None), (coherent, known), (torch.sign(network) * 8, None)):
        bounds = torch.stack(
            [
                kms_bound(evidence_, kms_posterior(evidence_, rho, steps=k, valid=valid), rho, valid=valid)
                for k in range(13)
            ]
        )
        assert (bounds.diff(dim=0) > -(1e-5 if rho else 1e-4) * 64**2).all()
        assert (bounds[-1] > bounds[0]).all()


def test_halving_the_batch_changes_no_posterior() -> None:
    A = evidence(4, 16, 20)
    A[1] *= 0.1
    A[2] += 3
    whole = kms_posterior(A)
    for half in (slice(0, 2), slice(2, 4)):
        for one, other in zip(kms_posterior(A[half]), whole, strict=True):
            assert torch.allclose(one, other[half], rtol=0, atol=1e-6 * max(1.0, float(other.abs().max())))


def test_images_of_a_batch_do_not_meet() -> None:
    A = evidence(3, 16, 20)
    A[1] *= 0.1
    alone = torch.cat([kms_posterior(a[None]).p_wrong for a in A])
    assert torch.allclose(kms_posterior(A).p_wrong, alone, atol=1e-6)


def test_flips_and_transposition_with_swapped_correlations() -> None:
    A = evidence(1, 17, 23).double()
    p = kms_posterior(A, (0.9, 0.6)).p_wrong
    assert torch.allclose(kms_posterior(A.flip(1), (0.9, 0.6)).p_wrong.flip(1), p, atol=1e-10)
    assert torch.allclose(kms_posterior(A.flip(2), (0.9, 0.6)).p_wrong.flip(2), p, atol=1e-10)
    assert torch.allclose(kms_posterior(A.mT, (0.6, 0.9)).p_wrong.mT, p, atol=1e-10)


def test_a_volume_that_does_not_vary_along_an_axis_of_length_one_is_its_image() -> None:
    A = evidence(2, 12, 14)
    assert torch.allclose(kms_posterior(A[:, None], 0.9).p_wrong[:, 0], kms_posterior(A, 0.9).p_wrong, atol=1e-6)


def test_evidence_is_capped_so_no_pixel_decides_alone() -> None:
    A = evidence(1, 16, 16)
    A[0, 8, 8] = 1e4
    capped = A.clone()
    capped[0, 8, 8] = 8.0
    assert torch.equal(kms_posterior(A).p_wrong, kms_posterior(capped).p_wrong)


@pytest.mark.parametrize("rho", [0.0, 0.9, 0.9999, -0.9])
@pytest.mark.parametrize("shape", [(1, 1, 40), (1, 40, 1), (1, 1, 1), (1, 8, 8)])
@pytest.mark.parametrize("value", [1e4, -1e4, float("inf")])
def test_extreme_evidence_gives_finite_probabilities(shape: tuple[int, ...], rho: float, value: float) -> None:
    p_wrong, rate, *_ = kms_posterior(torch.full(shape, value), rho)
    for p in (p_wrong, rate):
        assert torch.isfinite(p).all()
        assert p.min() >= 0
        assert p.max() <= 1


def test_evidence_that_is_nan_is_told_with_its_image() -> None:
    A = evidence(3, 6, 7)
    A[2, 1, 1] = float("nan")
    with pytest.raises(ValueError, match="image 2: the evidence is nan"):
        kms_posterior(A)


def test_half_precision_evidence_is_computed_in_float32() -> None:
    A = evidence(1, 20, 20).bfloat16()
    assert torch.equal(kms_posterior(A).p_wrong, kms_posterior(A.float()).p_wrong)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(kms_posterior(A).p_wrong, kms_posterior(A.float()).p_wrong)


def test_no_autograd_graph_is_kept() -> None:
    assert not kms_posterior(evidence(1, 8, 8).requires_grad_()).p_wrong.requires_grad


def test_quadrature_matches_a_fine_rule() -> None:
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()
    for deviation in (0.3, 0.7, 1.3133):
        means = torch.linspace(-8, 8, 33, dtype=torch.float64)
        first, spread = expected_sigmoid(torch.exp(-means), torch.tensor(deviation, dtype=torch.float64))
        s = 1 / (1 + np.exp(-(means.numpy()[:, None] + deviation * nodes)))
        assert np.abs(first.numpy() - s @ weights).max() < 1e-3
        assert np.abs(spread.numpy() - (s * (1 - s)) @ weights).max() < 3e-3


@pytest.mark.parametrize("rho", [0.5, 0.9, 0.97])
def test_six_steps_lie_within_half_a_point_of_a_hundred(draw_model: Model, rho: float) -> None:
    logits, labels, _ = draw_model(images=2)
    A = torch.where(labels == 1, -logits, logits)
    # A network errs in patches of its own and is sure of itself; most labels may be unknown.
    network = torch.from_numpy(np.stack([sample_field((96, 96), 0.93, generator(k, "net")) for k in range(2)])).float()
    coherent = torch.where(network > 0.3, 4.0, -4.0) + 4 * network.flip(1)
    known = torch.rand(2, 96, 96, generator=torch.Generator().manual_seed(3)) < 0.2
    for evidence_, valid in ((A, None), (coherent, None), (coherent, known)):
        few, many = (kms_posterior(evidence_, rho, steps=k, valid=valid).p_wrong for k in (6, 100))
        assert (few - many).abs().mean() < 0.005


def test_the_fixed_point_satisfies_the_equation_of_the_bound() -> None:
    """At a maximum the mean is ``m = mu + sigma**2 K (pi - r)``, checked with the dense covariance."""
    A, rho, sigma = evidence(1, 7, 9, seed=4).double(), (0.9, 0.7), 1.3133
    p_wrong, rate, *_ = kms_posterior(A, rho, steps=400)
    K = KMSLinearOperator((7, 9), rho, dtype=torch.float64).to_dense()
    mean = -2 + sigma**2 * (K @ (p_wrong - rate).flatten())
    curvature = _mean_curvature(mean, A.flatten(), K, sigma)
    deviation = (torch.linalg.inv(torch.linalg.inv(K) / sigma**2 + curvature * torch.eye(63)).diagonal().mean()).sqrt()
    nodes, weights = (torch.from_numpy(v) for v in np.polynomial.hermite_e.hermegauss(5))
    s = torch.sigmoid(mean[:, None] + deviation * nodes)
    assert torch.allclose(s @ weights / weights.sum(), rate.flatten(), atol=1e-6)


def _mean_curvature(mean: Tensor, A: Tensor, K: Tensor, sigma: float) -> float:
    """The fixed point of w between its bounds, by plain iteration."""
    w = 0.15
    nodes, weights = (torch.from_numpy(v) for v in np.polynomial.hermite_e.hermegauss(5))
    weights = weights / weights.sum()
    eigenvalues = torch.linalg.eigvalsh(torch.linalg.inv(K)) / sigma**2
    for _ in range(200):
        g = (1 / (eigenvalues + w)).mean().sqrt()
        r, p = (torch.sigmoid(m[:, None] + g * nodes) for m in (mean, mean + A.clamp(-8, 8)))
        w = float(((r * (1 - r) - p * (1 - p) / 2) @ weights).mean().clamp(0.02, 0.25))
    return w


def test_on_its_own_model_it_is_calibrated_and_ranks_above_the_classifier(draw_model: Model) -> None:
    logits, labels, wrong = draw_model(images=4)
    A = torch.where(labels == 1, -logits, logits)
    p_wrong = kms_posterior(A, 0.9).p_wrong
    plain = torch.sigmoid(A)
    assert expected_calibration_error(p_wrong, wrong) <= 0.02
    assert expected_calibration_error(plain, wrong) > 0.05
    hit = wrong.flatten().numpy()
    assert roc_auc_score(hit, p_wrong.flatten()) > roc_auc_score(hit, plain.flatten()) + 0.005
    assert (p_wrong - wrong.float()).square().mean() < (plain - wrong.float()).square().mean()


def test_it_stays_calibrated_when_errors_are_independent_after_all(draw_model: Model) -> None:
    logits, labels, wrong = draw_model(images=4, rho=0.0)
    p_wrong = kms_posterior(torch.where(labels == 1, -logits, logits), 0.9).p_wrong
    assert expected_calibration_error(p_wrong, wrong) <= 0.02


def test_a_patch_of_suspicion_weighs_more_the_larger_it_is() -> None:
    centre = []
    for half in (0, 1, 2, 4):
        A = torch.full((1, 33, 33), -3.0)
        A[0, 16 - half : 17 + half, 16 - half : 17 + half] = 3.0
        centre.append(float(kms_posterior(A, 0.9).rate[0, 16, 16]))
    assert centre == sorted(centre)
    assert centre[-1] > 2 * centre[0]


@pytest.mark.parametrize("options", [{"sigma": 0.0}, {"cap": -1.0}, {"rho": 1.0}, {"rho": (0.9,)}])
def test_impossible_settings_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"positive|correlation"):
        kms_posterior(torch.zeros(1, 4, 4), **options)
    with pytest.raises(ValueError, match="shape"):
        kms_posterior(torch.zeros(1, 4, 4), valid=torch.ones(1, 4, dtype=torch.bool))

"""The error model learned from evidence alone: how often labels are wrong, how unevenly, and how far errors reach."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.polynomial import Chebyshev
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar
from torch import Tensor
from torch.distributions import Distribution, LogNormal

from segnoise.kms.posterior import capped_evidence

_LAGS = (1, 2, 4, 8)
_RATES = (1e-4, 0.9)
_SIGMAS = (0.4, 4.0)
_RHOS = (0.0, 0.995)
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(40)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()

_Curve = tuple[int, Chebyshev]
"""A distance in pixels, and the log-likelihood of all pairs so far apart as a function of ``log E[r_i r_j]``."""


def _usual_sigma() -> LogNormal:
    """Where nothing speaks for another, sigma stays at the mode, 1.3133."""
    return LogNormal(math.log(1.3133) + 0.25, 0.5)


@dataclass(frozen=True)
class FieldPriors:
    """What is known of a field before its evidence is seen: distributions of torch or gpytorch, or None for nothing.

    Their log-densities are added to the composite likelihood, so the estimate is a maximum a posteriori. What a
    prior rules out is not searched.

    >>> priors = FieldPriors(rho=torch.distributions.Uniform(0.8, 0.95))
    >>> round(math.exp(priors.sigma.base_dist.mean - 0.25), 4)
    1.3133
    """

    rate: Distribution | None = None
    """Of the mean error rate, in (0, 1)."""
    sigma: Distribution | None = field(default_factory=_usual_sigma)
    """Of the standard deviation of the error logits."""
    rho: Distribution | None = None
    """Of the correlation of neighbours along each axis, in [0, 1)."""


class FieldEstimate(NamedTuple):
    """The error model that suits the evidence; ``rho``, ``mu`` and ``sigma`` are those of ``kms_posterior``."""

    rate: float
    """The mean error rate, ``E[sigmoid(eta)]``."""
    mu: float
    """Mean of the error logits."""
    sigma: float
    """Standard deviation of the error logits."""
    rho: tuple[float, ...]
    """Correlation of the error logits of neighbours along each axis; 0 along an axis of length 1, where any serves."""


@torch.no_grad()
def estimate_field(
    log_odds: Float[Tensor, " B *S"],
    valid: Bool[Tensor, " B *S"] | None = None,
    cap: float = 8.0,
    priors: FieldPriors | None = None,
) -> FieldEstimate:
    """The field of error logits that makes pairs of labels most likely: a pairwise composite likelihood.

    With ``a_i = exp(A_i) - 1`` a label has the likelihood ``1 + r a_i`` relative to ``p_i(y_i)``, r the mean error
    rate, and two labels at distance d along an axis ``1 + r (a_i + a_j) + a_i a_j c_d``, where ``c_d = E[r_i r_j]``
    for error logits with correlation ``rho**d``. The rate maximises the former, then sigma and one rho per axis the
    latter, over the distances 1, 2, 4 and 8 that fit into the image.

    Evidence has to come from probabilities that are calibrated and err independently of each other: what a network
    gets wrong in patches counts as errors of the labels. Where errors hardly come in patches sigma is hardly
    identified, since a small sigma with a large rho is as likely as any sigma with a small rho: the search keeps to
    rates in [0.0001, 0.9], sigma in [0.4, 4] and rho in [0, 0.995], and the usual prior draws sigma to 1.3133 by two
    nats per squared unit of its logarithm. Correlations longer than the images show too few patches to tell sigma from
    mu.

    Args:
        log_odds: A, the evidence that each label is wrong (:func:`segnoise.kms.label_log_odds`).
        valid: false where there is no label.
        cap: the evidence of one pixel is cut to [-cap, cap].
        priors: of rate, sigma and rho; without them that of sigma alone (:class:`FieldPriors`).

    Raises:
        ValueError: shapes that differ, a cap outside (0, 100], no labelled pixel with evidence, evidence that is nan,
            with the number of the image, or a prior that rules out everything within these bounds.

    Computed in float64, with some 150 logarithms a pixel of an image.

    >>> from segnoise.kms import sample_field
    >>> rng = np.random.default_rng(0)
    >>> rates = 1 / (1 + np.exp(2 - 1.3133 * sample_field((160, 160), 0.9, rng)))
    >>> evidence = np.where(rng.random(rates.shape) < rates, 5.0, -5.0)  # tells every error
    >>> found = estimate_field(torch.from_numpy(evidence[None]))
    >>> round(found.rate, 2), [round(r, 1) for r in found.rho]
    (0.19, [0.9, 0.9])
    """
    if not 0 < cap <= 100:
        raise ValueError(f"cap {cap} must lie in (0, 100]")
    gain = np.expm1(capped_evidence(log_odds, valid, cap).double().cpu().numpy())
    if not gain.any():
        raise ValueError("no labelled pixel carries evidence, so no error rate can be learned")
    priors = FieldPriors() if priors is None else priors
    rates, sigmas, rhos = (
        _searched(name, getattr(priors, name), bounds)
        for name, bounds in (("rate", _RATES), ("sigma", _SIGMAS), ("rho", _RHOS))
    )
    rate = _maximum(lambda r: float(np.log1p(r * gain).sum()) + _log_density(priors.rate, r), rates, grid=9)
    axes = [_curves(gain, axis, rate) for axis in range(1, gain.ndim)]

    def likelihood(log_sigma: float) -> float:
        sigma = math.exp(log_sigma)
        fits = _correlations(axes, rate, sigma, priors.rho, rhos)
        return sum(value for _, value in fits) + _log_density(priors.sigma, sigma)

    sigma = math.exp(_maximum(likelihood, (math.log(sigmas[0]), math.log(sigmas[1])), grid=9))
    rho = tuple(value for value, _ in _correlations(axes, rate, sigma, priors.rho, rhos))
    return FieldEstimate(rate, mean_logit(rate, sigma), sigma, rho)


def mean_logit(rate: float, sigma: float) -> float:
    """mu, the mean of error logits whose error rate has this mean: ``E[sigmoid(N(mu, sigma**2))] = rate``.

    Raises:
        ValueError: a rate outside (0, 1), or a negative sigma.

    >>> round(mean_logit(0.177, 1.3133), 2)
    -2.0
    """
    if not (0 < rate < 1 and sigma >= 0):
        raise ValueError(f"rate {rate} must lie in (0, 1) and sigma {sigma} must not be negative")
    far = 40 + 10 * sigma
    return float(brentq(lambda mu: _sigmoid(mu + sigma * _NODES) @ _WEIGHTS - rate, -far, far))


def joint_rate(mu: float, sigma: float, correlation: float) -> float:
    """``E[r_i r_j]`` of two error rates whose logits are ``N(mu, sigma**2)`` with a correlation in [0, 1].

    Given the part z that the two logits share they are independent:
    ``E_z[ E_x[ sigmoid(mu + sigma (sqrt(c) z + sqrt(1 - c) x)) ]**2 ]``.

    >>> round(joint_rate(-2.0, 1.3133, 0.0), 4), round(joint_rate(-2.0, 1.3133, 0.9), 4)
    (0.0313, 0.0563)
    """
    shared, own = math.sqrt(correlation), math.sqrt(1 - correlation)
    given_shared = _sigmoid(mu + sigma * (shared * _NODES[:, None] + own * _NODES)) @ _WEIGHTS
    return float(given_shared**2 @ _WEIGHTS)


def _curves(gain: NDArray[np.float64], axis: int, rate: float) -> list[_Curve]:
    """The curve of every distance that fits along an axis, from independent errors to the strongest of the search."""
    strongest = joint_rate(mean_logit(rate, _SIGMAS[1]), _SIGMAS[1], 1.0)
    domain = [2 * math.log(rate), math.log(strongest)]
    length = gain.shape[axis]
    curves = []
    for lag in (lag for lag in _LAGS if lag < length):
        one, other = (np.take(gain, range(start, start + length - lag), axis) for start in (0, lag))
        likelihood = partial(_pair_likelihood, 1 + rate * (one + other), one * other)
        curves.append((lag, Chebyshev.interpolate(likelihood, 15, domain)))
    return curves


def _pair_likelihood(
    alone: NDArray[np.float64], together: NDArray[np.float64], logs: NDArray[np.float64]
) -> NDArray[np.float64]:
    """``sum log(alone + c together)`` for every ``log c``."""
    return np.array([np.log(alone + c * together).sum() for c in np.exp(logs)])


def _axis_likelihood(curves: Sequence[_Curve], mu: float, sigma: float, rho: float) -> float:
    return sum(float(curve(math.log(joint_rate(mu, sigma, rho**lag)))) for lag, curve in curves)


def _correlations(
    axes: Sequence[Sequence[_Curve]],
    rate: float,
    sigma: float,
    prior: Distribution | None,
    bounds: tuple[float, float],
) -> list[tuple[float, float]]:
    """The best correlation along each axis and its log-likelihood, with what the prior adds to it."""
    mu = mean_logit(rate, sigma)
    fits = []
    for curves in axes:
        if not curves:
            fits.append((0.0, 0.0))
            continue
        likelihood = partial(_axis_likelihood, curves, mu, sigma)
        rho = _maximum(lambda r, fit=likelihood: fit(r) + _log_density(prior, r), bounds, grid=20)  # type: ignore[misc]
        fits.append((rho, likelihood(rho) + _log_density(prior, rho)))
    return fits


def _searched(name: str, prior: Distribution | None, bounds: tuple[float, float]) -> tuple[float, float]:
    """The part of the bounds that lies in a prior's support."""
    support = getattr(prior, "support", None)
    low = max(bounds[0], float(getattr(support, "lower_bound", -math.inf)))
    high = min(bounds[1], float(getattr(support, "upper_bound", math.inf)))
    if low > high:
        raise ValueError(f"the prior of {name} leaves nothing of [{bounds[0]}, {bounds[1]}], where it is searched")
    return low, high


def _log_density(prior: Distribution | None, value: float) -> float:
    """Bounded below, so that a maximum can be sought where a density is 0."""
    if prior is None:
        return 0.0
    x = torch.tensor(value, dtype=torch.float64)
    inside = prior.support is None or bool(prior.support.check(x))  # type: ignore[no-untyped-call]
    return max(float(prior.log_prob(x)), _NEVER) if inside else _NEVER


_NEVER = -1e12


def _maximum(function: Callable[[float], float], bounds: tuple[float, float], grid: int = 2) -> float:
    """Where a function is largest, to 1e-5: on a grid, which includes the bounds, then between its neighbours."""
    points = np.linspace(*bounds, grid)
    values = [function(float(x)) for x in points]
    k = int(np.argmax(values))
    between = (points[max(k - 1, 0)], points[min(k + 1, grid - 1)])
    found = minimize_scalar(lambda x: -function(x), bounds=between, method="bounded")
    return float(found.x) if -found.fun > values[k] else float(points[k])


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-x))

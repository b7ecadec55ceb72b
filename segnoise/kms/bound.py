"""How well a posterior of the error field explains the labels: the bound on their likelihood that the E-step raises."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from segnoise.kms.eigen import EigenBasis
from segnoise.kms.operator import per_axis
from segnoise.kms.posterior import Posterior, capped_evidence

# Twenty nodes err by less than 1e-8 at the default sigma and by 1e-4 at a deviation of 3.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(20)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


def kms_bound(
    log_odds: Float[Tensor, " B *S"],
    posterior: Posterior,
    rho: float | Sequence[float] = 0.9,
    mu: float | Float[Tensor, ""] = -2.0,
    sigma: float | Float[Tensor, ""] = 1.3133,
    cap: float = 8.0,
    valid: Bool[Tensor, " B *S"] | None = None,
) -> Float[Tensor, " B"]:
    """The evidence lower bound of an image's labels, with the true class summed out exactly.

    ``sum_i E_q log[(1 - r_i) + r_i exp(A_i)] - KL(q || N(mu, sigma**2 K))`` with ``r_i = sigmoid(eta_i)`` and
    ``q = N(m, (K^-1 / sigma**2 + w I)^-1)`` as :func:`segnoise.kms.kms_posterior` finds it; the sum of
    ``log p_i(y_i)``, which no parameter of the field moves, is left out. Without evidence the bound is minus the
    divergence: 0 at the prior. All pixels of an image share the mean marginal variance of q, as in the E-step.

    Evidence has to come from probabilities that are calibrated and err independently of each other: only then does the
    bound tell which rho, mu or sigma suits the labels. Of a network that errs in patches it prefers a large rho.

    Args:
        log_odds: A, the evidence that the label is wrong.
        posterior: of the same evidence; its ``mean`` and ``curvature`` count.
        rho: correlation of the errors of neighbours along each axis, each in (-1, 1).
        mu: mean of the error logits.
        sigma: standard deviation of the error logits.
        cap: the evidence of one pixel is cut to [-cap, cap].
        valid: false where there is no label; such pixels carry no evidence.

    Differentiable in ``log_odds`` (the gradient is ``p_wrong`` where the evidence is not cut), in ``mean`` and
    ``curvature``, and in mu and sigma if they are tensors.

    Raises:
        ValueError: a correlation outside (-1, 1), a sigma or cap that is not positive, shapes that differ, or evidence
            that is nan, with the number of the image.

    >>> from segnoise.kms import kms_posterior
    >>> evidence = torch.full((1, 9, 9), -3.0)
    >>> evidence[0, 2:7, 2:7] = 3.0
    >>> [round(float(kms_bound(evidence, kms_posterior(evidence, rho), rho)), 1) for rho in (0.0, 0.75)]
    [26.4, 40.9]
    """
    if posterior.mean.shape != log_odds.shape:
        raise ValueError(f"posterior {tuple(posterior.mean.shape)} must have the shape {tuple(log_odds.shape)}")
    with torch.autocast(log_odds.device.type, enabled=False):
        evidence = capped_evidence(log_odds, valid, cap, sigma)
        grid = evidence.shape[1:]
        basis = EigenBasis(grid, per_axis(rho, len(grid)), evidence)
        curvature = posterior.curvature.view(-1, *(1,) * len(grid))
        variance = (1 / (basis.eigenvalues / sigma**2 + curvature)).flatten(1).mean(1)
        data = data_term(evidence, posterior.mean, variance.sqrt().view_as(curvature))
        return data.flatten(1).sum(1) - _divergence(basis, posterior.mean, curvature, mu, sigma)


def data_term(
    evidence: Float[Tensor, " B *S"], mean: Float[Tensor, " B *S"], deviation: Float[Tensor, "#B *#S"]
) -> Float[Tensor, " B *S"]:
    """``E log[(1 - r) + r exp(A)]`` per pixel, with r the sigmoid of ``N(mean, deviation**2)``; finite for any A.

    >>> data_term(torch.tensor([[-1e4, 1e4]]), torch.zeros(1, 2), torch.tensor([[1e-3]])).round(decimals=1)
    tensor([[-7.0000e-01,  9.9993e+03]])
    """
    total = torch.zeros_like(evidence)
    for node, weight in zip(_NODES, _WEIGHTS, strict=True):
        eta = mean + deviation * float(node)
        total = total + float(weight) * torch.logaddexp(logsigmoid(-eta), logsigmoid(eta) + evidence)
    return total


def _divergence(
    basis: EigenBasis,
    mean: Float[Tensor, " B *S"],
    curvature: Float[Tensor, " B *one"],
    mu: float | Float[Tensor, ""],
    sigma: float | Float[Tensor, ""],
) -> Float[Tensor, " B"]:
    """``KL(q || prior) = 1/2 sum_k [ l_k s_k**2 / sigma**2 + log(1 + t_k) - t_k / (1 + t_k) ]``.

    ``l_k`` are the eigenvalues of ``K^-1``, s is ``m - mu`` in its eigenbasis and ``t_k = w sigma**2 / l_k``. No term
    is negative.
    """
    excess = curvature * sigma**2 / basis.eigenvalues
    shift = basis.eigenvalues * (basis.analyse(basis.arrange(mean - mu)) / sigma).square()
    return (shift + torch.log1p(excess) - excess / (1 + excess)).flatten(1).sum(1) / 2

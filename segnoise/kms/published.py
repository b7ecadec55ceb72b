"""The field of error rates under the published bound, which leaves out what the network says of the single label."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from segnoise.kms.eigen import EigenBasis
from segnoise.kms.operator import per_axis
from segnoise.kms.posterior import Posterior, capped_evidence
from segnoise.kms.quadrature import expected_sigmoid

_STEEPEST = 0.0963
"""The largest ``|sigmoid''|``."""


@torch.no_grad()
def published_posterior(
    log_odds: Float[Tensor, " B *S"],
    rho: float | Sequence[float] = 0.9,
    mu: float = -2.0,
    sigma: float = 1.3133,
    steps: int = 30,
    cap: float = 8.0,
    valid: Bool[Tensor, " B *S"] | None = None,
) -> Posterior:
    """The error rates that maximise ``sum_i A_i E_q[r_i] - KL(q || N(mu, sigma**2 K))``; ``p_wrong`` is ``E_q[r]``.

    By Jensen's inequality this is a lower bound of :func:`segnoise.kms.kms_bound`: the posterior of the true class is
    taken for the error channel alone. So ``E_q[r_i]`` is how often labels are wrong around a pixel, not whether this
    one is; it is offered for comparison. q has the form it has in :func:`segnoise.kms.kms_posterior`; the source
    has a standard deviation of its own for each pixel, and estimates expectations from one draw of the field.

    Args and errors are those of :func:`segnoise.kms.kms_posterior`.

    Source: Tadokoro, Takagi and Maeda, "A Bayesian approach to segmentation with noisy labels via spatially
    correlated distributions", arXiv 2504.14795.

    >>> evidence = torch.full((1, 9, 9), -3.0)
    >>> evidence[0, 2:7, 2:7] = 3.0
    >>> rate = published_posterior(evidence, rho=0.75).rate[0]
    >>> bool(rate[4, 4] > 0.7), bool(rate[0, 0] < 0.1)
    (True, True)
    """
    with torch.autocast(log_odds.device.type, enabled=False):
        evidence = capped_evidence(log_odds, valid, cap, sigma)
        rhos = per_axis(rho, evidence.dim() - 1)
        return _ascend(evidence, EigenBasis(evidence.shape[1:], rhos, evidence), mu, sigma, steps)


def published_log_odds(log_probs: Float[Tensor, "B C *S"], labels: Int[Tensor, " B *S"]) -> Float[Tensor, " B *S"]:
    """The evidence of that bound: ``A = mean over k != y of log p(k) - log p(y)``; as usual with two classes.

    >>> published_log_odds(torch.tensor([[[0.5], [0.4], [0.1]]]).log(), torch.tensor([[0]]))
    tensor([[-0.9163]])
    """
    right = log_probs.gather(1, labels.long().unsqueeze(1)).squeeze(1)
    return (log_probs.sum(1) - right) / (log_probs.shape[1] - 1) - right


def _ascend(evidence: Tensor, basis: EigenBasis, mu: float, sigma: float, steps: int) -> Posterior:
    evidence = basis.arrange(evidence)
    per_image = (-1,) + (1,) * (evidence.dim() - 1)
    precision = basis.eigenvalues / sigma**2
    # The bound is not concave in m: steps as short as the steepest evidence asks for.
    caution = precision + _STEEPEST * evidence.abs().flatten(1).amax(1).view(per_image)
    spectrum = torch.zeros_like(evidence)  # of m - mu
    mean = torch.full_like(evidence, mu)
    curvature = evidence.new_zeros(len(evidence))
    for step in range(steps + 1):
        deviation = (1 / (precision + curvature.view(per_image))).flatten(1).mean(1).sqrt().view(per_image)
        rate, spread = expected_sigmoid(torch.exp(-mean), deviation)
        if step == steps:
            break
        spectrum += (basis.analyse(evidence * spread) - precision * spectrum).div_(caution)
        mean = basis.synthesise(spectrum).add_(mu)
        # -A E[s''] with s'' = s' (1 - 2 s), at the mean
        total = (evidence * spread * (2 * torch.sigmoid(mean) - 1)).flatten(1).mean(1)
        curvature = total.clamp(min=0.0, max=0.25)
    rate = basis.restore(rate.clamp_(0, 1))
    return Posterior(rate, rate, basis.restore(mean), curvature)

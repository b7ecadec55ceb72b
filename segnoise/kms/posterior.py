"""Where labels are wrong, given evidence per pixel: the mean-field posterior of a KMS field of error logits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from segnoise.kms.cosine import CosineBasis
from segnoise.kms.eigen import EigenBasis
from segnoise.kms.operator import per_axis
from segnoise.kms.quadrature import SigmoidMoments

_CAUTION = 1.2
"""Steps are this much shorter than Newton's with the mean curvature, which swing where evidence is uneven."""

_COSINES_FROM = 224
"""From this mean side length on, cosine transforms are faster than products with eigenvectors."""

_PIXELS_AT_ONCE = 2**17
"""Images are worked on in groups of about so many pixels a thread, whose arrays stay in its cache."""


_LARGEST_ODDS = 1e18
"""A product of two such stays finite in float32."""


class Posterior(NamedTuple):
    """What the E-step finds: two maps ``B *S`` in [0, 1], and the posterior of the error logits they follow from."""

    p_wrong: Tensor
    """pi, the probability that the given label is wrong."""
    rate: Tensor
    """r, the local error rate: how often labels are wrong around here, whatever the evidence at the pixel."""
    mean: Tensor
    """m, the mean of the error logits, ``B *S``."""
    curvature: Tensor
    """w, the precision that the evidence adds to each pixel's error logit, one number an image, ``B``."""


@torch.no_grad()
def kms_posterior(
    log_odds: Float[Tensor, " B *S"],
    rho: float | Sequence[float] = 0.9,
    mu: float = -2.0,
    sigma: float = 1.3133,
    steps: int = 6,
    cap: float = 8.0,
    valid: Bool[Tensor, " B *S"] | None = None,
) -> Posterior:
    """Probability that each label is wrong when errors come in patches: ``pi_i = E_q[sigmoid(eta_i + A_i)]``.

    The model: error logits ``eta ~ N(mu, sigma**2 K)`` with ``K`` the KMS covariance, an error with probability
    ``r_i = sigmoid(eta_i)``, and ``A_i = log P(label | wrong) - log P(label | right)``. The posterior is
    approximated, image by image, by ``q = N(m, (K^-1 / sigma**2 + w I)^-1)``: ``steps`` ascents of the exact bound
    in m, preconditioned by ``(K^-1 / sigma**2 + 1.2 w I)^-1``, or nearly so where images are large, and w the mean
    curvature of the evidence. Pixels without evidence (A = 0) add no curvature, so without any evidence q is the prior.

    Args:
        log_odds: A, the evidence that the label is wrong, from a model that is not misled by it.
        rho: correlation of the errors of neighbours along each axis, each in (-1, 1).
        mu: mean of the error logits; mu = -2 and sigma = 1.3133 mean an error rate of 0.18 a priori.
        sigma: standard deviation of the error logits.
        steps: ascents; after 6 pi lies within .005 of convergence on average where the evidence is clear.
        cap: the evidence of one pixel is cut to [-cap, cap].
        valid: false where there is no label; such pixels carry no evidence.

    Raises:
        ValueError: a correlation outside (-1, 1), a sigma or cap that is not positive, shapes that differ, or evidence
            that is nan, with the number of the image.

    After Tadokoro, Takagi and Maeda, "A Bayesian approach to segmentation with noisy labels via spatially
    correlated distributions", 2025, with the clean label summed out exactly. No autograd graph is kept. Large images
    take cosine transforms in place of products with eigenvectors: O(N log N) but for a part of the low frequencies.
    Where a correlation is negative they do not, and cost O(N * sum of side lengths).

    >>> evidence = torch.full((1, 9, 9), -3.0)
    >>> evidence[0, 2:7, 2:7] = 3.0
    >>> p_wrong = kms_posterior(evidence, rho=0.75).p_wrong[0]
    >>> bool(p_wrong[4, 4] > 0.9), bool(p_wrong[0, 0] < 0.05)
    (True, True)
    """
    with torch.autocast(log_odds.device.type, enabled=False):
        evidence = capped_evidence(log_odds, valid, cap, sigma)
        grid = evidence.shape[1:]
        basis = _basis(grid, per_axis(rho, len(grid)), evidence)
        maps = (torch.empty_like(evidence) for _ in range(3))
        found = Posterior._make([*maps, evidence.new_empty((len(evidence),))])
        size = _images_at_once(evidence)
        for start in range(0, len(evidence), size):
            group = Posterior._make(values[start : start + size] for values in found)
            _ascend(evidence[start : start + size], basis, mu, sigma, steps, group)
        return found


def capped_evidence(
    log_odds: Float[Tensor, " B *S"],
    valid: Bool[Tensor, " B *S"] | None,
    cap: float,
    sigma: float | Float[Tensor, ""] = 1.0,
) -> Float[Tensor, " B *S"]:
    """The evidence in float32 or float64, cut to [-cap, cap], and 0 where there is no label.

    Raises:
        ValueError: shapes that differ, a cap or a sigma that is not positive, or evidence that is nan, with the number
            of the image.

    >>> capped_evidence(torch.tensor([[9.0, -1.0, torch.nan]]), torch.tensor([[True, True, False]]), 8.0)
    tensor([[ 8., -1.,  0.]])
    """
    if not (sigma > 0 and cap > 0):
        raise ValueError(f"sigma {float(sigma)} and cap {cap} must be positive")
    if valid is not None and valid.shape != log_odds.shape:
        raise ValueError(f"valid {tuple(valid.shape)} must have the shape of log_odds {tuple(log_odds.shape)}")
    evidence = log_odds if log_odds.dtype == torch.float64 else log_odds.float()
    if valid is not None:
        evidence = torch.where(valid, evidence, 0.0)
    if bool((undefined := evidence.isnan().flatten(1).any(1)).any()):
        raise ValueError(f"image {int(undefined.nonzero()[0])}: the evidence is nan")
    return evidence.clamp(-cap, cap)


def _basis(grid: Sequence[int], rho: Sequence[float], like: Tensor) -> EigenBasis | CosineBasis:
    """The faster basis; both lead to the same posterior. Cosines are far from the eigenvectors where rho < 0."""
    long = sum(grid) >= _COSINES_FROM * len(grid)
    return (CosineBasis if long and min(rho) >= 0 else EigenBasis)(grid, rho, like)


def _images_at_once(evidence: Tensor) -> int:
    if evidence.device.type != "cpu":
        return max(1, len(evidence))
    return max(1, _PIXELS_AT_ONCE * torch.get_num_threads() // max(1, evidence[:1].numel()))


def _ascend(
    evidence: Tensor, basis: EigenBasis | CosineBasis, mu: float, sigma: float, steps: int, out: Posterior
) -> None:
    """Fills ``out``, whose maps serve as work arrays until then; ``evidence`` is used up."""
    evidence = basis.arrange(evidence)
    informed = evidence != 0
    share = informed.flatten(1).to(evidence.dtype).mean(1)
    moments = SigmoidMoments(evidence, None if bool((share == 1).all()) else informed)
    odds_ratio = evidence.neg_().exp_().clamp_(max=_LARGEST_ODDS)
    del evidence, informed

    spectrum = basis.zeros(len(odds_ratio))  # of m - mu
    mean = torch.full_like(odds_ratio, mu)
    curvature = 0.15 * share
    for step in range(steps + 1):
        last = step == steps
        deviation = basis.variance(1 / sigma**2, curvature).sqrt_()
        if last:
            out.mean.copy_(mean)
        odds = mean.mul_(-1 / math.log(2)).exp2_().clamp_(max=_LARGEST_ODDS)
        torch.mul(odds, odds_ratio, out=out.p_wrong)
        rate_spread = moments.find(odds, deviation, out=out.rate)
        p_spread = moments.find(odds.copy_(out.p_wrong), deviation, out=out.p_wrong)
        if last:
            break
        del mean, odds
        gradient = basis.analyse(out.p_wrong.sub_(out.rate))
        gradient.sub_(basis.precision(spectrum), alpha=1 / sigma**2)
        spectrum += basis.precondition(gradient, 1 / sigma**2, _CAUTION * curvature)
        del gradient
        mean = basis.synthesise(spectrum).add_(mu)
        # The exact curvature is spread(r) - spread(pi); half of the latter keeps q proper where it is negative.
        total = torch.sub(rate_spread, p_spread, alpha=0.5) / mean[0].numel()
        curvature = total.clamp(min=0.02 * share, max=0.25 * share)
    del mean, odds, odds_ratio, spectrum
    for found in (out.p_wrong.clamp_(0, 1), out.rate.clamp_(0, 1), out.mean):
        found.copy_(basis.restore(found))
    out.curvature.copy_(curvature)

"""Where labels are wrong, given evidence per pixel: the mean-field posterior of a KMS field of error logits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.linalg import eigh_tridiagonal
from torch import Tensor

from segnoise.kms.operator import per_axis

# Five Gauss–Hermite nodes for a standard normal: one at zero and two symmetric pairs.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(5)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
_PAIRS = [(float(_NODES[k]), float(_WEIGHTS[k])) for k in (3, 4)]
_CENTRE = float(_WEIGHTS[2])

_CAUTION = 1.2
"""Steps are this much shorter than Newton's with the mean curvature, which swing where evidence is uneven."""


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
    in m, preconditioned by ``(K^-1 / sigma**2 + 1.2 w I)^-1`` in the eigenbasis of K, and w the mean curvature of the
    evidence. Pixels without evidence (A = 0) add no curvature, so without any evidence q is the prior.

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
    correlated distributions", 2025, with the clean label summed out exactly. No autograd graph is kept. Products
    with the eigenvectors cost O(N * sum of side lengths): fine for windows, slow beyond some 2000 pixels a side.

    >>> evidence = torch.full((1, 9, 9), -3.0)
    >>> evidence[0, 2:7, 2:7] = 3.0
    >>> p_wrong = kms_posterior(evidence, rho=0.75).p_wrong[0]
    >>> bool(p_wrong[4, 4] > 0.9), bool(p_wrong[0, 0] < 0.05)
    (True, True)
    """
    if not (sigma > 0 and cap > 0):
        raise ValueError(f"sigma {sigma} and cap {cap} must be positive")
    with torch.autocast(log_odds.device.type, enabled=False):
        evidence = capped_evidence(log_odds, valid, cap)
        grid = evidence.shape[1:]
        basis = _Basis(grid, per_axis(rho, len(grid)), evidence)
        return _ascend(evidence, basis, mu, sigma, steps)


def capped_evidence(
    log_odds: Float[Tensor, " B *S"], valid: Bool[Tensor, " B *S"] | None, cap: float
) -> Float[Tensor, " B *S"]:
    """The evidence in float32 or float64, cut to [-cap, cap], and 0 where there is no label.

    Raises:
        ValueError: shapes that differ, or evidence that is nan, with the number of the image.

    >>> capped_evidence(torch.tensor([[9.0, -1.0, torch.nan]]), torch.tensor([[True, True, False]]), 8.0)
    tensor([[ 8., -1.,  0.]])
    """
    if valid is not None and valid.shape != log_odds.shape:
        raise ValueError(f"valid {tuple(valid.shape)} must have the shape of log_odds {tuple(log_odds.shape)}")
    evidence = log_odds if log_odds.dtype == torch.float64 else log_odds.float()
    if valid is not None:
        evidence = torch.where(valid, evidence, 0.0)
    if bool((undefined := evidence.isnan().flatten(1).any(1)).any()):
        raise ValueError(f"image {int(undefined.nonzero()[0])}: the evidence is nan")
    return evidence.clamp(-cap, cap)


def _ascend(evidence: Tensor, basis: _Basis, mu: float, sigma: float, steps: int) -> Posterior:
    per_image = (-1,) + (1,) * (evidence.dim() - 1)
    precision = basis.eigenvalues / sigma**2
    informed = (evidence != 0).to(evidence.dtype).flatten(1)
    share = informed.mean(1)
    odds_ratio = torch.exp(-evidence)

    spectrum = torch.zeros_like(evidence)  # of m - mu
    mean = torch.full_like(evidence, mu)
    curvature = 0.15 * share
    for step in range(steps + 1):
        deviation = (1 / (precision + curvature.view(per_image))).flatten(1).mean(1).sqrt().view(per_image)
        odds = torch.exp(-mean)
        rate, rate_spread = _expected_sigmoid(odds, deviation)
        p_wrong, p_spread = _expected_sigmoid(odds * odds_ratio, deviation)
        if step == steps:
            break
        step_size = (precision + _CAUTION * curvature.view(per_image)).reciprocal_()
        spectrum += (basis.analyse(p_wrong - rate) - precision * spectrum).mul_(step_size)
        mean = basis.synthesise(spectrum).add_(mu)
        # The exact curvature is spread(r) - spread(pi); half of the latter keeps q proper where it is negative.
        total = (informed * torch.sub(rate_spread, p_spread, alpha=0.5).flatten(1)).mean(1)
        curvature = total.clamp(min=0.02 * share, max=0.25 * share)
    return Posterior(p_wrong.clamp_(0, 1), rate.clamp_(0, 1), mean, curvature)


def _expected_sigmoid(odds: Tensor, deviation: Tensor) -> tuple[Tensor, Tensor]:
    """``E[s]`` and ``E[s (1 - s)]`` of ``s = 1 / (1 + o exp(-g x))``, x ~ N(0, 1), o = odds, g = deviation.

    With one deviation per image a pixel needs no exponential at all: the nodes +-x share ``D = 1 / (1 + 2
    cosh(g x) o + o**2)``: ``s(x) + s(-x) = 1 + (1 - o**2) D`` and ``s(x) s(-x) = D``.
    """
    odds = odds.clamp(max=1e15)  # o**2 must stay finite in float32
    square = odds * odds
    contrast = 1 - square
    shared = torch.zeros_like(odds)
    shared_square = torch.zeros_like(odds)
    for node, weight in _PAIRS:
        product = torch.addcmul(square + 1, odds, 2 * torch.cosh(deviation * node)).reciprocal_()
        shared.add_(product, alpha=weight)
        shared_square.addcmul_(product, product, value=weight)
    centre = (odds + 1).reciprocal_()
    mass = sum(weight for _, weight in _PAIRS)
    first = (contrast * shared).add_(centre, alpha=_CENTRE).add_(mass)
    # the squares of a pair sum to (1 + c D)**2 - 2 D
    second = torch.add(shared_square * contrast, shared, alpha=2).mul_(contrast).add_(shared, alpha=-2)
    second.addcmul_(centre, centre, value=_CENTRE).add_(mass)
    return first, first - second


class _Basis:
    """Eigenvectors of the KMS precision along each axis of tensors ``B *S``."""

    def __init__(self, grid: Sequence[int], rho: tuple[float, ...], like: Tensor) -> None:
        pairs = [_eigen(n, r, like.dtype, like.device) for n, r in zip(grid, rho, strict=True)]
        self.vectors = [vectors for _, vectors in pairs]
        self.eigenvalues = torch.ones((), dtype=like.dtype, device=like.device)
        for values, _ in pairs:
            self.eigenvalues = self.eigenvalues.unsqueeze(-1) * values

    def analyse(self, x: Tensor) -> Tensor:
        return self._rotate(x, [v.mT for v in self.vectors])

    def synthesise(self, x: Tensor) -> Tensor:
        return self._rotate(x, self.vectors)

    @staticmethod
    def _rotate(x: Tensor, matrices: Sequence[Tensor]) -> Tensor:
        shape = x.shape
        for axis, matrix in enumerate(matrices[:-1], start=1):
            x = (matrix @ x.reshape(shape[:axis].numel(), shape[axis], -1)).view(shape)
        return x @ matrices[-1].mT


@lru_cache(maxsize=64)
def _eigen(n: int, rho: float, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors (columns) of the tridiagonal inverse of a KMS matrix."""
    if n == 1:
        values, vectors = np.ones(1), np.ones((1, 1))
    else:
        diagonal = np.full(n, 1 + rho * rho)
        diagonal[[0, -1]] = 1
        values, vectors = eigh_tridiagonal(diagonal / (1 - rho * rho), np.full(n - 1, -rho / (1 - rho * rho)))
    return (
        torch.as_tensor(values, dtype=dtype, device=device),
        torch.as_tensor(vectors, dtype=dtype, device=device).contiguous(),
    )

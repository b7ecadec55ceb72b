"""Expectations of a sigmoid of a normal variable by five Gauss–Hermite nodes, one exponential a pixel."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

# Five nodes for a standard normal: one at zero and two symmetric pairs.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(5)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
_PAIRS = [(float(_NODES[k]), float(_WEIGHTS[k])) for k in (3, 4)]
_CENTRE = float(_WEIGHTS[2])


def expected_sigmoid(
    odds: Float[Tensor, " B *S"], deviation: Float[Tensor, "#B *#S"]
) -> tuple[Float[Tensor, " B *S"], Float[Tensor, " B *S"]]:
    """``E[s]`` and ``E[s (1 - s)]`` of ``s = 1 / (1 + o exp(-g x))``, x ~ N(0, 1), o = odds, g = deviation.

    With one deviation per image a pixel needs no exponential at all: the nodes +-x share ``D = 1 / (1 + 2
    cosh(g x) o + o**2)``: ``s(x) + s(-x) = 1 + (1 - o**2) D`` and ``s(x) s(-x) = D``.

    >>> [round(float(v), 3) for v in expected_sigmoid(torch.ones(1), torch.ones(1))]
    [0.5, 0.207]
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


class SigmoidMoments:
    """``E[s]`` of every pixel, and ``E[s (1 - s)]`` summed over each image.

    The same five nodes as in :func:`expected_sigmoid`, in half the passes. With ``v = 1 / (1 + o**2)``, ``u = o v``,
    ``b = 1 / (2 cosh(g x))`` and ``z = 1 / (u + b)`` a pair of nodes has ``s(x) + s(-x) = 2 (v + (1 - 2 v) u z)``, and
    its spreads ``s (1 - s)`` sum to ``2 (c + (1 - 2 c) y - (1 - c) y**2)`` with ``y = b z`` and ``c = 4 b**2``, halved:
    only the sums of z and of its square are needed. No difference of near numbers makes a small probability. The node
    at zero is half a pair. Odds must be finite; beyond 1e19 they count as infinite in float32.

    Args:
        like: images ``B *S``.
        counted: whether a pixel counts in the sum; None where all do.

    >>> odds, mean = torch.ones(1, 3), torch.empty(1, 3)
    >>> total = SigmoidMoments(odds).find(odds, torch.ones(1), out=mean)
    >>> round(float(mean[0, 0]), 3), round(float(total) / 3, 3)
    (0.5, 0.207)
    """

    def __init__(self, like: Float[Tensor, " B *S"], counted: Bool[Tensor, " B *S"] | None = None) -> None:
        self._one = like.new_ones(())
        self._nodes, self._weights = like.new_tensor([(0.0, _CENTRE / 2), *_PAIRS]).unbind(1)
        self._counted = counted
        self._pixels: Tensor | int = like[:1].numel() if counted is None else counted.flatten(1).sum(1, keepdim=True)

    def find(
        self, odds: Float[Tensor, " B *S"], deviation: Float[Tensor, " B"], out: Float[Tensor, " B *S"]
    ) -> Float[Tensor, " B"]:
        """The sums of ``s = 1 / (1 + o exp(-g x))``; the expectations go to ``out``; ``odds`` is used up."""
        z, tail = torch.empty_like(odds), torch.empty_like(odds)
        torch.addcmul(self._one, odds, odds, out=out).reciprocal_()
        u = odds.mul_(out)
        poles = 0.5 / torch.cosh(deviation.unsqueeze(1) * self._nodes)
        sums, squares = torch.empty_like(poles), torch.zeros_like(poles)
        for k, weight in enumerate((_CENTRE / 2, *(weight for _, weight in _PAIRS))):
            torch.add(u, poles[:, k].view(-1, *(1,) * (u.dim() - 1)), out=z).reciprocal_()
            if k == 0:
                torch.mul(z, weight, out=tail)
            else:
                tail.add_(z, alpha=weight)
            if self._counted is not None:
                z.mul_(self._counted)
            sums[:, k] = z.flatten(1).sum(1)
            if k > 0:
                squares[:, k] = torch.linalg.vector_norm(z, dim=-1).square_().reshape(len(z), -1).sum(1)
        out.addcmul_(torch.mul(out, -2, out=z).add_(1), tail.mul_(u))
        limit = (2 * poles).square()
        spread = limit * self._pixels + (1 - 2 * limit) * poles * sums - (1 - limit) * poles.square() * squares
        return spread @ self._weights

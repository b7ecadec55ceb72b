"""From the pixels of a bag (an image, a slice, a volume) to one score: is there anything of a class in it?

A bag is a row of pixels. ``u`` holds the log-odds of a class, ``u = log p - log(1 - p)`` (:func:`one_vs_rest`); those
that are ``valid`` count, at least one in each bag. The score is again a log-odds, finite for finite u.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import softplus

Pooling = Literal["lse", "top_q", "noisy_or", "mean"]

_TINY = -10.0
"""The log-odds below which the logarithm of ``softplus(u)`` is ``u - exp(u) / 2`` in single precision."""


def one_vs_rest(log_p: Float[Tensor, " B C *S"]) -> Float[Tensor, " B C *S"]:
    """The log-odds of each class against all others, ``log p_k - log(1 - p_k)``, of at least two classes.

    Exact where p_k rounds to 0 or 1: of a class with p > 0.61, of which there is one at most, 1 - p is summed over the
    others.

    >>> one_vs_rest(torch.tensor([[1e4, -1e4]]).log_softmax(1))
    tensor([[ 20000., -20000.]])
    """
    likely = log_p > -0.5
    others = log_p.masked_fill(likely, -math.inf).logsumexp(1, keepdim=True)
    rest = torch.log1p(-log_p.masked_fill(likely, -1.0).exp())
    return log_p - torch.where(likely, others, rest)


def mean(u: Float[Tensor, "M N"], valid: Bool[Tensor, "M N"]) -> Float[Tensor, " M"]:
    """The mean over a bag: every pixel pulls as much as any other, so positive bags are overfilled.

    Source: Zhou et al., *Learning deep features for discriminative localization*, CVPR 2016.

    >>> mean(torch.tensor([[1.0, 3.0, 9.0]]), torch.tensor([[True, True, False]]))
    tensor([2.])
    """
    return torch.where(valid, u, 0.0).sum(-1) / valid.sum(-1)


def lse(u: Float[Tensor, "M N"], valid: Bool[Tensor, "M N"], r: float) -> Float[Tensor, " M"]:
    """``(1 / r) log mean exp(r u)``, with gradient ``softmax(r u)``: the mean for r = 0, the largest for infinite r.

    The larger r, the fewer pixels satisfy a positive bag, and the rest of the object stays background.

    Source: Pinheiro and Collobert, *From image-level to pixel-level labeling with convolutional networks*, CVPR 2015.

    >>> u, valid = torch.tensor([[0.0, 2.0]]), torch.tensor([[True, True]])
    >>> [round(float(lse(u, valid, r)), 4) for r in (0.0, 1.0, math.inf)]
    [1.0, 1.4338, 2.0]
    """
    if r == 0:
        return mean(u, valid)
    known = u.masked_fill(~valid, -math.inf)
    if math.isinf(r):
        return known.amax(-1)
    largest = known.detach().amax(-1, keepdim=True)
    spread = (r * (known - largest)).logsumexp(-1) - valid.sum(-1).to(u.dtype).log()
    return largest.squeeze(-1) + spread / r


def top_q(u: Float[Tensor, "M N"], valid: Bool[Tensor, "M N"], q: float) -> Float[Tensor, " M"]:
    """The mean of the ``ceil(q n)`` largest of a bag's n pixels: right for objects at least so large, blind below.

    Source: Li and Vasconcelos, *Multiple instance learning for soft bags via top instances*, CVPR 2015.

    >>> top_q(torch.tensor([[1.0, 5.0, 3.0, 9.0]]), torch.tensor([[True, True, True, False]]), 0.5)
    tensor([4.])
    """
    taken = _ceil(q * valid.sum(-1).double())
    most = int(_ceil(torch.tensor(q * u.shape[-1], dtype=torch.float64)))
    largest = u.masked_fill(~valid, -math.inf).topk(most, -1).values
    counts = torch.arange(most, device=u.device) < taken.unsqueeze(-1)
    return torch.where(counts, largest, 0.0).sum(-1) / taken.to(u.dtype)


def noisy_or(u: Float[Tensor, "M N"], valid: Bool[Tensor, "M N"], q: float | None = None) -> Float[Tensor, " M"]:
    """The log-odds of ``P = 1 - prod(1 - p)``: the bag shows the class if any of its pixels independently does.

    Pixels are not independent, and of n = 10,000 with p = 0.001 the product says P = 0.99995: a positive bag then has
    no gradient and a negative one all of it. With ``q`` the product is taken to the power ``1 / (q n)``: an object that
    covers the share q counts as one trial, and P no longer depends on the number of pixels. In logarithms all the
    way: ``T = sum softplus(u) / (q n)``, ``P = 1 - exp(-T)``.

    Source: Maron and Lozano-Pérez, *A framework for multiple-instance learning*, NeurIPS 1997; the power is ours.

    >>> p = torch.tensor([[0.1, 0.2, 0.5]], dtype=torch.float64)
    >>> round(float(noisy_or(p.logit(), p > 0).sigmoid()), 4)  # 1 - 0.9 * 0.8 * 0.5
    0.64
    """
    tiny = u < _TINY
    log_t = torch.where(tiny, u - u.clamp(max=_TINY).exp() / 2, softplus(u.clamp(min=_TINY)).log())
    log_t = log_t.masked_fill(~valid, -math.inf).logsumexp(-1)
    if q is not None:
        log_t = log_t - (q * valid.sum(-1).to(u.dtype)).log()
    few = log_t < _TINY
    t = log_t.clamp(min=_TINY).exp()
    return torch.where(few, log_t + log_t.clamp(max=_TINY).exp() / 2, t + torch.log(-torch.expm1(-t)))


def _ceil(x: Tensor) -> Tensor:
    """Up to the next whole number, from 1; what is one but for rounding stays."""
    return (x - 1e-9).ceil().clamp_min(1)

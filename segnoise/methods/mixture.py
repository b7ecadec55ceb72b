"""Two normal distributions behind one set of values."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

_ROUNDS = 30


@torch.no_grad()
def upper_of_two(values: Float[Tensor, " *G"], valid: Bool[Tensor, " *G"]) -> Float[Tensor, " *G"]:
    """The probability that a value is of the upper of two normal distributions of one variance; 1 where not valid.

    Means, share and the common variance are found by expectation maximisation from the lower and upper quarter. With
    one variance the probability rises with the value. Values that are all equal are all of the upper one.

    >>> x = torch.tensor([0.0, 0.1, 0.2, 5.0, 5.1, 5.2])
    >>> upper_of_two(x, torch.ones(6, dtype=torch.bool)).round().tolist()
    [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    """
    x = values[valid]
    out = torch.ones_like(values)
    if len(x) < 2 or float(x.max() - x.min()) < 1e-9:
        return out
    low, high = x.quantile(0.25), x.quantile(0.75)
    variance, share = x.var(correction=0).clamp_min(1e-12), x.new_tensor(0.5)
    if not low < high:
        low, high = x.min(), x.max()
    upper = x
    for _ in range(_ROUNDS):
        odds = (share / (1 - share)).log() + ((x - low).square() - (x - high).square()) / (2 * variance)
        upper = odds.sigmoid()
        share = upper.mean().clamp(1e-4, 1 - 1e-4)
        high = (upper * x).sum() / upper.sum().clamp_min(1e-9)
        low = ((1 - upper) * x).sum() / (1 - upper).sum().clamp_min(1e-9)
        variance = (upper * (x - high).square() + (1 - upper) * (x - low).square()).mean().clamp_min(1e-12)
    out[valid] = upper
    return out

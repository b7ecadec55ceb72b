"""The likelihood of given labels of which an unknown share is wrong: what a gate compares two networks by."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

TEMPERATURES = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0)
"""What logits are divided by: confident networks are not to lose for their confidence alone."""

RATES = (0.005, 0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45)
"""Shares of labels that may be wrong."""


class ForwardCorrected:
    """How well probabilities explain given labels of which an unknown share is wrong.

    ``min over T, r of - mean log[(1 - r) p_T(y) + r (1 - p_T(y)) / (C - 1)]`` with ``p_T = softmax(z / T)``,
    T from 0.25 to 2, r from 0.005 to 0.45. The plain likelihood would punish a network for every wrong label that it
    does not repeat.

    >>> score = ForwardCorrected()
    >>> score.add(torch.tensor([[[8.0, 8.0, 8.0, 8.0], [0.0, 0.0, 0.0, 0.0]]]), torch.tensor([[0, 0, 0, 1]]))
    >>> round(score.value(), 3), round(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)), 3)
    (0.563, 0.562)
    """

    def __init__(self) -> None:
        self.sums = torch.zeros(len(TEMPERATURES), len(RATES), dtype=torch.float64)
        self.count = torch.zeros((), dtype=torch.float64)

    def add(self, logits: Float[Tensor, " B C *S"], labels: Int[Tensor, " B *S"]) -> None:
        """Takes in a batch; labels of 255 are unknown."""
        known = labels != 255
        z = logits.movedim(1, -1)[known].double().cpu()
        y = labels[known].long().cpu().unsqueeze(1)
        others = max(logits.shape[1] - 1, 1)
        rates = torch.tensor(RATES, dtype=torch.float64)
        for k, temperature in enumerate(TEMPERATURES):
            right = (z / temperature).softmax(1).gather(1, y)
            self.sums[k] -= ((1 - rates) * right + rates * (1 - right) / others).log().sum(0)
        self.count += len(z)

    def value(self) -> float:
        """The score so far, lower is better; infinite without any label."""
        return float(self.sums.min() / self.count) if self.count else math.inf

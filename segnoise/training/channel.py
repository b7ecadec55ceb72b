"""What given labels, some of them wrong, say of a network: its temperature, the share of wrong ones, the likelihood."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from segnoise.methods import Channel

TEMPERATURES = (0.04, 0.055, 0.08, 0.11, 0.16, 0.22, 0.3, 0.42, 0.6, 0.8, 1.0, 1.4, 2.0)
"""What logits are divided by."""

RATES = (0.005, 0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45)
"""Shares of labels that may be wrong."""


class ForwardCorrected:
    """How well probabilities explain given labels of which an unknown share is wrong.

    ``L(T, r) = - mean log[(1 - r) p_T(y) + r (1 - p_T(y)) / (C - 1)]`` with ``p_T = softmax(z / T)``, on a grid of T
    from 0.04 to 2 and r from 0.005 to 0.45. The plain likelihood would punish a network for every wrong label that it
    does not repeat.

    A network that says of each label how likely *it* is (T = 1, r = 0) explains labels about as well as a sure one
    behind a channel that spoils many of them. So :meth:`channel` is the largest r that is not worse than the best by
    more than one standard error of the difference over images.

    >>> score = ForwardCorrected()
    >>> score.add(torch.tensor([[[8.0, 8.0, 8.0, 8.0], [0.0, 0.0, 0.0, 0.0]]]), torch.tensor([[0, 0, 0, 1]]))
    >>> round(score.value(), 3), round(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)), 3)
    (0.562, 0.562)
    >>> score.channel().rate
    0.25
    """

    def __init__(self) -> None:
        size = len(TEMPERATURES) * len(RATES)
        self.sums = torch.zeros(size, dtype=torch.float64)
        self.products = torch.zeros(size, size, dtype=torch.float64)
        self.counts = torch.zeros(2, dtype=torch.float64)
        """Labels, and images that have any."""

    def add(self, logits: Float[Tensor, " B C *S"], labels: Int[Tensor, " B *S"]) -> None:
        """Takes in a batch; labels of 255 are unknown."""
        others = max(logits.shape[1] - 1, 1)
        rates = torch.tensor(RATES, dtype=torch.float64)
        slope = 1 - rates - rates / others
        for image, given in zip(logits, labels, strict=True):
            known = given != 255
            if not bool(known.any()):
                continue
            z = image.movedim(0, -1)[known].double().cpu()
            y = given[known].long().cpu().unsqueeze(1)
            right = [(z / temperature).softmax(1).gather(1, y).squeeze(1) for temperature in TEMPERATURES]
            loss = torch.cat([-torch.addcmul(rates / others, p.unsqueeze(1), slope).log().sum(0) for p in right])
            self.sums += loss
            self.products += torch.outer(loss, loss)
            self.counts += torch.tensor([len(z), 1.0], dtype=torch.float64)

    def value(self) -> float:
        """The least L, lower is better; infinite without any label."""
        return float(self.sums.min() / self.counts[0]) if self.counts[0] else math.inf

    def channel(self) -> Channel | None:
        """Temperature and rate; None without any label."""
        if not self.counts[0]:
            return None
        best = int(self.sums.argmin())
        images = float(self.counts[1])
        difference = self.sums - self.sums[best]
        square = self.products.diagonal() - 2 * self.products[best] + self.products[best, best]
        spread = (square - difference**2 / images).clamp_min(0) * images / max(images - 1, 1)
        possible = (difference <= spread.sqrt()).view(len(TEMPERATURES), len(RATES))
        rate = int(possible.any(0).nonzero().max())
        losses = torch.where(possible[:, rate], self.sums.view(possible.shape)[:, rate], math.inf)
        return Channel(TEMPERATURES[int(losses.argmin())], RATES[rate])

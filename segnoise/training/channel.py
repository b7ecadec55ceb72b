"""What held-out labels say of a network and of themselves: its temperature, and how often each class is mislabelled."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from segnoise.methods.base import Channel, Confusion

TEMPERATURES = (0.04, 0.055, 0.08, 0.11, 0.16, 0.22, 0.3, 0.42, 0.6, 0.8, 1.0, 1.4, 2.0)
"""What logits are divided by."""

_PIXELS_OF_AN_IMAGE = 512
_PIXELS = 30_000
_ITERATIONS = 12
_PRIOR = 1e-3
"""Share of the pixels that are added to each class as labelled right, so that what is not seen is taken for right."""


class ChannelFit:
    """A noisy channel between true classes and given labels, fitted by maximum likelihood behind a fixed network.

    ``P(label y) = sum_k softmax(z / T)_k K[k, y]``: for each T of a grid the confusion K by expectation maximisation,
    on up to 512 evenly spread pixels of each image. A uniform K has one error rate for all classes, and a wrong label
    is any other class alike. A network that says of each label how likely *it* is (T = 1, no
    errors) explains labels about as well as a sure one behind a channel that spoils many of them. So the confusion is
    that of the smallest temperature whose likelihood is not worse than the best by more than one standard error of the
    difference over images. Behind that confusion, in turn, small temperatures are hardly told apart, and what is made
    surer than is known turns a small bias of the network into wrong labels: the temperature itself is the largest whose
    likelihood with this confusion is not worse than the best by more than one standard error.

    After Patrini et al., *Making deep neural networks robust to label noise*, CVPR 2017 (the channel); Breiman et al.,
    *Classification and regression trees*, 1984 (the rule of one standard error).

    >>> fit = ChannelFit()
    >>> labels = torch.tensor([[0] * 12 + [1] * 6 + [0] * 2])
    >>> fit.add(torch.nn.functional.one_hot(torch.tensor([[0] * 12 + [1] * 8]), 2).movedim(-1, 1) * 9.0, labels)
    >>> [[round(p, 2) for p in row] for row in fit.channel("learned").confusion]  # two of eight in class 1
    [[1.0, 0.0], [0.25, 0.75]]
    >>> fit.channel().confusion[0]  # two of twenty
    (0.9, 0.1)
    """

    def __init__(self) -> None:
        self.logits: list[Float[Tensor, "N C"]] = []
        self.labels: list[Int[Tensor, " N"]] = []

    def add(self, logits: Float[Tensor, " B C *S"], labels: Int[Tensor, " B *S"]) -> None:
        """Takes in a batch; labels of 255 are unknown."""
        for image, given in zip(logits, labels, strict=True):
            known = given != 255
            count = int(known.sum())
            if count:
                chosen = (torch.arange(min(count, _PIXELS_OF_AN_IMAGE)) + 0.5) * max(count / _PIXELS_OF_AN_IMAGE, 1.0)
                index = chosen.long().to(given.device)
                self.logits.append(image.movedim(0, -1)[known][index].float().cpu())
                self.labels.append(given[known][index].long().cpu())

    def channel(self, confusion: Confusion = "uniform") -> Channel | None:
        """The channel; None without any label."""
        if not self.labels:
            return None
        every = max(math.ceil(sum(len(y) for y in self.labels) / _PIXELS), 1)
        z = torch.cat([z[::every] for z in self.logits]).double()
        y = torch.cat([y[::every] for y in self.labels])
        sizes = torch.tensor([len(y[::every]) for y in self.labels])
        image = torch.repeat_interleave(torch.arange(len(sizes)), sizes)

        def fits(assumed: Confusion) -> tuple[list[tuple[Tensor, Tensor, Tensor]], Int[Tensor, " T"]]:
            """The fit at each temperature, and which temperatures are as good as the best."""
            made = [_fit((z / temperature).softmax(1), y, assumed) for temperature in TEMPERATURES]
            losses = torch.stack([torch.zeros(len(sizes)).double().index_add_(0, image, loss) for _, _, loss in made])
            difference = losses - losses[int(losses.sum(1).argmin())]
            one_image = torch.zeros(len(made))
            spread = difference.std(1, correction=1) * math.sqrt(len(sizes)) if len(sizes) > 1 else one_image
            return made, (difference.sum(1) <= spread).nonzero().flatten()

        made, good = fits(confusion)
        found = tuple(map(tuple, made[int(good.min())][0].tolist()))
        made, good = fits(found)
        chosen = int(good.max())
        return Channel(TEMPERATURES[chosen], found, tuple(made[chosen][1].tolist()))


def _fit(
    p: Float[Tensor, "N C"], labels: Int[Tensor, " N"], assumed: Confusion
) -> tuple[Float[Tensor, "C C"], Float[Tensor, " C"], Float[Tensor, " N"]]:
    """The confusion, the shares of the true classes, and the negative log-likelihood of each label."""
    classes = p.shape[1]
    given = torch.nn.functional.one_hot(labels, classes).to(p)
    prior = len(p) * _PRIOR * (torch.eye(classes).to(p) + 0.01)
    confusion = _uniform(0.9, classes).to(p) if isinstance(assumed, str) else torch.tensor(assumed).to(p)
    for _ in range(_ITERATIONS if isinstance(assumed, str) else 0):
        counts = _posterior(p, labels, confusion).mT @ given + prior
        if assumed == "uniform":
            # Labels are not taken to be worse than chance.
            confusion = _uniform(max(float(counts.trace() / counts.sum()), 1 / classes), classes).to(p)
        else:
            confusion = counts / counts.sum(1, keepdim=True)
    likely = (p * confusion.mT[labels]).sum(1).clamp_min(1e-30)
    return confusion, _posterior(p, labels, confusion).mean(0), -likely.log()


def _posterior(p: Float[Tensor, "N C"], labels: Int[Tensor, " N"], confusion: Float[Tensor, "C C"]) -> Tensor:
    """Of the true classes, ``N C``."""
    joint = (p * confusion.mT[labels]).clamp_min(1e-30)
    return joint / joint.sum(1, keepdim=True)


def _uniform(right: float, classes: int) -> Float[Tensor, "C C"]:
    return torch.full((classes, classes), (1 - right) / max(classes - 1, 1)).fill_diagonal_(right)

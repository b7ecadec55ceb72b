"""How well the label of a pixel agrees with another frame: feature affinity in its exact factorised form, and a vote.

Features and labels lie on one grid ``*G``; those of the reference frame may lie on another. All is float32 and without
gradient: what is found here reweights or relabels, it is nothing to be optimised.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from segnoise.data.sample import IGNORE_INDEX


@dataclass(frozen=True)
class Affinity:
    """Mean similarity of each pixel to the reference's pixels of its own class, and of the others.

    ``confidence = positive + 1 - negative``, larger where the label looks right; ``valid`` where it is defined, that is
    where the label is known and the reference has both pixels of its class and pixels of others. Elsewhere all three
    are 0 and mean nothing.
    """

    positive: Float[Tensor, " B *G"]
    negative: Float[Tensor, " B *G"]
    confidence: Float[Tensor, " B *G"]
    valid: Bool[Tensor, " B *G"]


@torch.no_grad()
def temporal_affinity(
    features: Float[Tensor, " B D *G"],
    reference: Float[Tensor, " B D *R"],
    labels: Int[Tensor, " B *G"],
    reference_labels: Int[Tensor, " B *R"],
    num_classes: int,
) -> Affinity:
    """The affinity of MS-TFAL between a frame and a reference, in O(N D) instead of O(N^2 D).

    With unit features f (frame) and f' (reference), labels y and y', and N known reference pixels,

        P_i = mean{ <f_i, f'_j> : y'_j = y_i } = <f_i, S_c> / n_c
        Q_i = mean{ <f_i, f'_j> : y'_j != y_i } = <f_i, S - S_c> / (N - n_c)

    where ``c = y_i``, ``S_k`` is the sum of the reference's features of class k, ``n_k`` their number, and ``S`` the
    sum of all: the means over all pairs factorise exactly. Features of length 0 stay 0. Pixels labelled 255 are asked
    nothing and vouch for nothing.

    Args:
        features, reference: of the frame and of the reference, of any length.
        labels, reference_labels: class indices on the same grids, 255 where unknown.

    Source: MS-TFAL (*Multi-scale temporal feature affinity learning*), MICCAI 2023.

    >>> f = torch.eye(2)[None].movedim(1, -1)  # two pixels, orthogonal features
    >>> found = temporal_affinity(f, f, torch.tensor([[0, 0]]), torch.tensor([[0, 1]]), num_classes=2)
    >>> found.confidence.tolist()  # the second is labelled like the first, and looks like the other
    [[2.0, 0.0]]
    """
    f, g = (_unit(x).flatten(2) for x in (features, reference))
    y, z = labels.flatten(1), reference_labels.flatten(1)
    own = one_hot(z.where(z != IGNORE_INDEX, num_classes), num_classes + 1)[..., :num_classes].to(f.dtype)
    count = own.sum(1)  # B K
    sums = g @ own  # B D K
    similar = f.mT @ sums  # B N K: similarity to the sum of each class
    c = y.where(y != IGNORE_INDEX, 0).unsqueeze(-1)
    same, n_same = similar.gather(2, c).squeeze(-1), count.gather(1, c.squeeze(-1))
    n_other = count.sum(1, keepdim=True) - n_same
    valid = (y != IGNORE_INDEX) & (n_same > 0) & (n_other > 0)
    positive = torch.where(valid, same / n_same.clamp_min(1), 0.0)
    negative = torch.where(valid, (similar.sum(-1) - same) / n_other.clamp_min(1), 0.0)
    confidence = torch.where(valid, positive + 1 - negative, 0.0)
    grid = labels.shape
    return Affinity(positive.view(grid), negative.view(grid), confidence.view(grid), valid.view(grid))


@torch.no_grad()
def within_class(
    values: Float[Tensor, " B *G"], labels: Int[Tensor, " B *G"], valid: Bool[Tensor, " B *G"], num_classes: int
) -> Float[Tensor, " B *G"]:
    """Values standardised within each labelled class of each sample: mean 0, standard deviation 1; 0 where not valid.

    A class of heterogeneous looks, as a background is, has low affinity everywhere; standardised, its pixels can be
    ranked beside those of others. What tells whole frames apart is lost by it. A class of fewer than two valid pixels,
    or of equal values, is 0.

    >>> within_class(torch.tensor([[1.0, 3.0, 7.0]]), torch.tensor([[0, 0, 1]]), torch.ones(1, 3) > 0, 2).tolist()
    [[-1.0, 1.0, 0.0]]
    """
    x, known = values.flatten(1), valid.flatten(1)
    y = labels.flatten(1).where(known, num_classes)
    own = one_hot(y, num_classes + 1)[..., :num_classes].to(x.dtype)
    count = own.sum(1).clamp_min(1)
    mean = (own * x.unsqueeze(-1)).sum(1) / count
    deviation = torch.where(known, x - (own @ mean.unsqueeze(-1)).squeeze(-1), 0.0)
    spread = ((own * deviation.square().unsqueeze(-1)).sum(1) / count).sqrt()
    scale = (own @ spread.unsqueeze(-1)).squeeze(-1)
    return torch.where(scale > 1e-12, deviation / scale.clamp_min(1e-12), 0.0).view(values.shape)


@torch.no_grad()
def soft_vote(
    features: Float[Tensor, " B D *G"],
    reference: Float[Tensor, " B D *R"],
    reference_labels: Int[Tensor, " B *R"],
    num_classes: int,
    temperature: float = 0.05,
    chunk: int = 1024,
) -> Float[Tensor, " B K *G"]:
    """What the labels of a reference say of each pixel: ``v_ik = sum_j softmax_j(<f_i, f'_j> / t) [y'_j = k]``.

    Sums to 1 over classes; where no reference label is known it is 0. Pixels are taken ``chunk`` at a time, so that
    memory is that of ``chunk`` times the reference's pixels.

    >>> f = torch.eye(2)[None].movedim(1, -1)
    >>> [round(float(v), 3) for v in soft_vote(f, f, torch.tensor([[1, 0]]), 2)[0, 1]]
    [1.0, 0.0]
    """
    f, g = (_unit(x).flatten(2) for x in (features, reference))
    z = reference_labels.flatten(1)
    known = z != IGNORE_INDEX
    own = one_hot(z.where(known, num_classes), num_classes + 1)[..., :num_classes].to(f.dtype)
    anybody = known.any(1).view(-1, 1, 1)
    parts = []
    for part in torch.split(f, chunk, dim=2):
        likeness = part.mT @ g / temperature  # B n M
        likeness = likeness.masked_fill(~known.unsqueeze(1), -math.inf).masked_fill(~anybody, 0.0)
        parts.append(likeness.softmax(-1) @ own)
    votes = torch.cat(parts, 1).mT
    return votes.reshape(*votes.shape[:2], *features.shape[2:])


def _unit(x: Float[Tensor, " B D *G"]) -> Float[Tensor, " B D *G"]:
    """Features of length 1, or 0 where they are 0."""
    x = x.detach().float()
    return x / x.norm(dim=1, keepdim=True).clamp_min(1e-12)

"""From any model's class probabilities to the probability that each given label is wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from segnoise.kms.estimate import mean_logit
from segnoise.kms.posterior import kms_posterior

USUAL_MEAN = -2.0
"""mu where nothing is known of the share of wrong labels: 0.18 of them a priori."""

LEAST_RATE = 0.001
"""The smallest share of wrong labels that is reckoned with."""


def error_map(
    probs: Float[Tensor, "B C *S"],
    labels: Int[Tensor, " B *S"],
    rho: float | Sequence[float] = 0.9,
    mu: float | None = None,
    sigma: float = 1.3133,
    steps: int = 6,
    ignore_index: int = 255,
    confusion: Float[Tensor, "C C"] | None = None,
) -> Float[Tensor, " B *S"]:
    """``P(label is wrong)`` per pixel, when errors come in patches.

    ``pi_i = E_q[ r_i w_i / ((1 - r_i) p_i(y_i) + r_i w_i) ]`` with ``w_i = (1 - p_i(y_i)) / (C - 1)`` and r the
    error rate, a KMS field (:func:`segnoise.kms.kms_posterior`). As calibrated as the probabilities are. A wrong label
    is any other class alike, unless a confusion says otherwise (:func:`label_log_odds`).

    Args:
        probs: class probabilities, summing to 1 over axis 1.
        labels: the given labels, class indices, ``ignore_index`` where there is none.
        rho: correlation of the errors of neighbours along each axis; 0.9 is a length of 9.5 pixels.
        mu: mean of the error logits; by default -2, and with a confusion what gives its share of wrong labels.
        sigma: standard deviation of the error logits.
        steps: ascents of the posterior.
        ignore_index: label without meaning; the map is 0 there.
        confusion: ``P(label l | class k)``, a row a class, where the classes' labels go wrong unlike.

    Raises:
        ValueError: fewer than two classes, shapes that differ, rows of a confusion that are no probabilities, labels
            that are no class, or values that are no probabilities at a labelled pixel (nan, negative, or a sum further
            than 0.02 from 1), with the number of the image.

    >>> probs = torch.full((1, 2, 8, 8), 0.1)
    >>> probs[:, 1] = 0.9
    >>> labels = torch.ones(1, 8, 8, dtype=torch.long)
    >>> labels[0, 4:, 4:] = 0
    >>> p_wrong = error_map(probs, labels)
    >>> bool(p_wrong[0, 6, 6] > 0.5), bool(p_wrong[0, 1, 1] < 0.05)
    (True, True)
    """
    if labels.shape != (probs.shape[0], *probs.shape[2:]):
        raise ValueError(f"labels {tuple(labels.shape)} do not fit probabilities {tuple(probs.shape)}")
    valid = labels != ignore_index
    probs = probs if probs.dtype == torch.float64 else probs.float()
    _check(probs, labels, valid)
    log_probs = probs.clamp(min=torch.finfo(probs.dtype).tiny).log()
    rate = None
    if confusion is not None:
        check_confusion(confusion, probs.shape[1])
        wrong = torch.where(valid, torch.einsum("bk...,k->b...", probs, 1 - confusion.diagonal().to(probs)), 0.0)
        rate = min(max(float(wrong.sum() / valid.sum().clamp_min(1)), LEAST_RATE), 0.5)
    log_odds = label_log_odds(log_probs, torch.where(valid, labels, 0), confusion, rate)
    if mu is None:
        mu = USUAL_MEAN if rate is None else mean_logit(rate, sigma)
    return torch.where(valid, kms_posterior(log_odds, rho, mu, sigma, steps, valid=valid).p_wrong, 0.0)


def _check(probs: Tensor, labels: Tensor, valid: Tensor) -> None:
    """ValueError that names the first image with a label that is no class or values that are no probabilities."""
    no_class = (valid & ((labels < 0) | (labels >= probs.shape[1]))).flatten(1)
    if bool(no_class.any()):
        image = int(no_class.any(1).nonzero()[0])
        label = int(labels[image].flatten()[no_class[image]][0])
        raise ValueError(f"image {image}: holds the label {label}, but there are {probs.shape[1]} classes")
    total = probs.sum(1)
    # nan fails every comparison, so it is asked what is right.
    right = ((total - 1).abs() <= 0.02) & (probs.amin(1) >= -1e-6)
    wrong = (valid & ~right).flatten(1)
    if bool(wrong.any()):
        image = int(wrong.any(1).nonzero()[0])
        value = float(total[image].flatten()[wrong[image]][0])
        raise ValueError(
            f"image {image}: probabilities of a pixel sum to {value:.3g}; give softmax outputs, not logits"
        )


def label_log_odds(
    log_probs: Float[Tensor, "B C *S"],
    labels: Int[Tensor, " B *S"],
    confusion: Float[Tensor, "C C"] | None = None,
    rate: float | None = None,
) -> Float[Tensor, " B *S"]:
    """The evidence that each label is wrong: ``A = log((1 - p(y)) / (C - 1)) - log p(y)``.

    Where classes go wrong unlike, ``confusion[k, l] = P(label l | class k)`` and the share of wrong labels give
    ``A = log sum_{k != y} p(k) confusion[k, y] - log(p(y) confusion[y, y]) - logit(rate)``: exact for a constant error
    rate, while a field that raises the rate raises that of all classes by the same odds.

    Log-probabilities (``log_softmax`` of logits) keep it exact where p(y) rounds to one. Labels must be classes;
    put any class where there is no label and discard the result there.

    Raises:
        ValueError: fewer than two classes; a confusion without a rate in (0, 1), or one that is not ``C x C`` with rows
            that sum to 1.

    >>> label_log_odds(torch.tensor([[[0.8], [0.2]]]).log(), torch.tensor([[0]]))
    tensor([[-1.3863]])
    >>> missed = torch.tensor([[1.0, 0.0], [0.3, 0.7]])  # class 1 is labelled 0 three times in ten, never the reverse
    >>> label_log_odds(torch.tensor([[[0.2], [0.8]]]).log(), torch.tensor([[0]]), missed, rate=0.24).sigmoid() > 0.5
    tensor([[True]])
    """
    classes = log_probs.shape[1]
    if classes < 2:
        raise ValueError(f"{classes} class: whether a label is wrong needs at least two")
    index = labels.long().unsqueeze(1)
    if confusion is None:
        right = log_probs.gather(1, index).squeeze(1)
        return log_probs.scatter(1, index, -torch.inf).logsumexp(1) - math.log(classes - 1) - right
    if rate is None or not 0 < rate < 1:
        raise ValueError(f"rate {rate} must lie in (0, 1) where a confusion is given")
    joint = _joint(log_probs, labels, confusion)
    right = joint.gather(1, index).squeeze(1)
    return joint.scatter(1, index, -torch.inf).logsumexp(1) - right - math.log(rate / (1 - rate))


def check_confusion(confusion: Float[Tensor, "C C"], classes: int) -> None:
    """ValueError unless a matrix holds, row by row, the probabilities of the labels of each class."""
    if confusion.shape != (classes, classes):
        raise ValueError(
            f"confusion {tuple(confusion.shape)} must be {classes} x {classes}: a row a class, a column a label"
        )
    if not bool((confusion >= 0).all() and ((confusion.sum(1) - 1).abs() < 1e-3).all()):
        raise ValueError("confusion: each row must hold probabilities that sum to 1")


def _joint(
    log_probs: Float[Tensor, "B C *S"], labels: Int[Tensor, " B *S"], confusion: Float[Tensor, "C C"]
) -> Float[Tensor, "B C *S"]:
    """``log p(k) P(label | class k)`` with a finite floor."""
    check_confusion(confusion, log_probs.shape[1])
    likely = confusion.to(log_probs).clamp_min(1e-9).log()
    return log_probs.clamp(min=torch.finfo(log_probs.dtype).min / 4) + likely.mT[labels.long()].movedim(-1, 1)


def soft_target(
    log_probs: Float[Tensor, "B C *S"],
    labels: Int[Tensor, " B *S"],
    p_wrong: Float[Tensor, " B *S"],
    confusion: Float[Tensor, "C C"] | None = None,
) -> Float[Tensor, "B C *S"]:
    """The posterior of the true class: ``tau(y) = 1 - pi`` and ``tau(k) = pi p(k) / (1 - p(y))`` for k != y.

    Exact when a wrong label is any other class alike: ``tau(k) = E_q[r p(k) / ((C - 1) Z)]`` with ``Z`` the
    probability of the label. With a confusion ``tau(k)`` is proportional to ``p(k) confusion[k, y]``. Stable where
    p(y) rounds to one. Labels must be classes, as for :func:`label_log_odds`.

    >>> log_probs = torch.tensor([[[0.5], [0.3], [0.2]]]).log()
    >>> soft_target(log_probs, torch.tensor([[0]]), torch.tensor([[0.5]])).flatten()
    tensor([0.5000, 0.3000, 0.2000])
    """
    index = labels.long().unsqueeze(1)
    # A finite floor: where every other class has log-probability -inf they share the error equally.
    floor = torch.finfo(log_probs.dtype).min / 4
    weights = log_probs.clamp(min=floor) if confusion is None else _joint(log_probs, labels, confusion)
    others = weights.scatter(1, index, -torch.inf).softmax(1)
    wrong = p_wrong.unsqueeze(1)
    return (others * wrong).scatter(1, index, 1 - wrong)

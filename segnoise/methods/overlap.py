"""Losses of the overlap of whole regions: Dice and Tversky."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from segnoise.errors import UserError
from segnoise.methods.base import Method, Output, Supervision


class Tversky(Method):
    """One minus the Tversky index ``TP / (TP + alpha FP + beta FN)``, averaged over an image's classes, then images.

    ``TP = sum_i w_i p_ik tau_ik``, ``FP = sum_i w_i p_ik (1 - tau_ik)``, ``FN = sum_i w_i (1 - p_ik) tau_ik``. A class
    that is absent from an image's labels is left out there. ``alpha = beta = 0.5`` is Dice; a larger beta makes missing
    pixels dearer. An overlap is no mean over pixels, so robustness to symmetric errors does not apply: the mask that
    maximises the expected Dice takes all pixels above half of the Dice that can be had, so noise, which lowers it,
    inflates masks. Under label noise use it beside cross-entropy, never alone.

    Args:
        alpha, beta: the price of false positives and of false negatives.

    Raises:
        UserError: negative prices.

    Source: Salehi et al., *Tversky loss function for image segmentation using 3D fully convolutional deep networks*,
    MLMI 2017.

    >>> import torch
    >>> from segnoise.methods import Objective
    >>> logits, mask = torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long)
    >>> round(float(Objective(["dice"], num_classes=2)(logits, {"mask": mask}).loss), 4)  # 1 - 2 * 8 / (8 + 16)
    0.3333
    """

    supplies = frozenset({"loss"})

    def __init__(self, num_classes: int, alpha: float = 0.3, beta: float = 0.7) -> None:
        super().__init__()
        if min(alpha, beta) < 0:
            raise UserError("method.alpha and method.beta: must not be negative")
        self.alpha, self.beta = alpha, beta

    def loss(self, output: Output, supervision: Supervision, valid: Bool[Tensor, " B *S"]) -> Float[Tensor, " B"]:
        return tversky_loss(output, supervision, self.alpha, self.beta)


class Dice(Tversky):
    """One minus Dice's coefficient ``2 TP / (2 TP + FP + FN)``: :class:`Tversky` with ``alpha = beta = 0.5``.

    Source: Milletari, Navab and Ahmadi, *V-Net: fully convolutional neural networks for volumetric medical image
    segmentation*, 3DV 2016.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes, 0.5, 0.5)


def tversky_loss(output: Output, supervision: Supervision, alpha: float, beta: float) -> Float[Tensor, " B"]:
    """``1 - TP / (TP + alpha FP + beta FN)`` of each image, the mean over the classes that its targets hold.

    >>> from segnoise.methods import Output, Supervision
    >>> target = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]).view(1, 2, 2)
    >>> sure = Output(20 * target)
    >>> round(float(tversky_loss(sure, Supervision(target, torch.ones(1, 2)), 0.5, 0.5)), 4)
    0.0
    """
    weight = supervision.weight.unsqueeze(1)
    p, target = output.log_p.exp(), supervision.target
    hit = (weight * p * target).flatten(2).sum(-1)
    said, there = ((weight * x).flatten(2).sum(-1) for x in (p, target))
    index = hit / (hit + alpha * (said - hit) + beta * (there - hit)).clamp_min(1e-6)
    return mean_of_present(1 - index, there)


def mean_of_present(values: Float[Tensor, " B C"], mass: Float[Tensor, " B C"]) -> Float[Tensor, " B"]:
    """The mean over the classes that have pixels; 0 where none has.

    >>> mean_of_present(torch.tensor([[0.2, 0.4], [0.3, 9.0]]), torch.tensor([[5.0, 2.0], [1.0, 0.0]]))
    tensor([0.3000, 0.3000])
    """
    present = mass > 0
    return torch.where(present, values, 0.0).sum(1) / present.sum(1).clamp_min(1)

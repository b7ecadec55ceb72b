"""Normalised cross-entropy with a passive partner: active and passive losses."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Bool, Float
from torch import Tensor

from segnoise.errors import UserError
from segnoise.methods.base import Method, Output, Supervision
from segnoise.methods.sce import REVERSE


class NCERCE(Method):
    """``l = alpha N + beta A (1 - p_y)`` with normalised cross-entropy ``N = log p_y / sum_k log p_k``.

    Both terms have a constant sum over the labels, so errors that hit every class alike cancel. N alone underfits, for
    it can fall by making other classes less likely still; the second term, reverse cross-entropy with ``A = -log
    1e-4``, only by making the label more likely. With soft targets both are their mean over the target.

    Args:
        alpha: of N.
        beta: of the second term; published pairs are (1, 1) for 10 classes and (10, 0.1) for 100.

    Raises:
        UserError: a negative value, or both 0.

    Source: Ma et al., *Normalized loss functions for deep learning with noisy labels*, ICML 2020.

    >>> import torch
    >>> from segnoise.methods import Objective
    >>> logits, mask = torch.zeros(1, 4, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long)
    >>> round(float(Objective([{"name": "nce_rce", "beta": 0.0}], num_classes=4)(logits, {"mask": mask}).loss), 4)
    0.25
    """

    supplies = frozenset({"loss"})
    evidence = "self"
    scale: ClassVar[float] = REVERSE

    def __init__(self, num_classes: int, alpha: float = 1.0, beta: float = 0.1) -> None:
        super().__init__()
        if min(alpha, beta) < 0 or alpha + beta == 0:
            raise UserError(f"method.alpha and method.beta: {alpha} and {beta} must not be negative, nor both 0")
        if num_classes < 2:
            raise UserError("method nce_rce, nce_mae: one class alone has nothing to be normalised with")
        self.alpha, self.beta = alpha, beta

    def loss(self, output: Output, supervision: Supervision, valid: Bool[Tensor, " B *S"]) -> Float[Tensor, " B *S"]:
        log_p = output.log_p
        normalised = (supervision.target * log_p).sum(1) / log_p.sum(1)
        passive = 1 - (supervision.target * log_p.exp()).sum(1)
        return self.alpha * normalised + self.beta * self.scale * passive


class NCEMAE(NCERCE):
    """``l = alpha N + beta (1 - p_y)``: normalised cross-entropy with the mean absolute error (:class:`NCERCE`).

    >>> import torch
    >>> from segnoise.methods import Objective
    >>> logits, mask = torch.zeros(1, 4, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long)
    >>> round(float(Objective(["nce_mae"], num_classes=4)(logits, {"mask": mask}).loss), 4)
    1.0
    """

    scale = 1.0

    def __init__(self, num_classes: int, alpha: float = 1.0, beta: float = 1.0) -> None:
        super().__init__(num_classes, alpha, beta)

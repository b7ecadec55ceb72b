"""Symmetric cross-entropy: cross-entropy plus reverse cross-entropy."""

from __future__ import annotations

import math
from collections.abc import Sequence

from segnoise.errors import UserError
from segnoise.methods.base import Batch, Context, Method, Output, Supervision

REVERSE = -math.log(1e-4)
"""A, what the logarithm of a probability of 0 is taken for in reverse cross-entropy, negated."""


class SCE(Method):
    """Symmetric cross-entropy ``l = alpha (-log p_y) + beta A (1 - p_y)``, as the weight ``alpha + beta A p_y``.

    The second term is reverse cross-entropy, ``-sum_k p_k log e_k`` with ``log 0 = -A``, ``A = -log 1e-4``: its sum
    over all labels is constant, so that errors that hit every class alike cancel. Like every loss of p_y alone it is
    made for scattered errors: a coherent patch is learned, p_y rises there, and the weight with it.

    Args:
        alpha: of cross-entropy, which makes learning quick.
        beta: of reverse cross-entropy, which makes it robust; published pairs are (0.1, 1) for 10 classes and (6, 0.1)
            for 100.

    Raises:
        UserError: a negative value, or both 0.

    Source: Wang et al., *Symmetric cross entropy for robust learning with noisy labels*, ICCV 2019.

    >>> import torch
    >>> from segnoise.methods import Objective
    >>> logits, mask = torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long)
    >>> result = Objective([{"name": "sce", "alpha": 1.0, "beta": 1.0}], num_classes=2)(logits, {"mask": mask})
    >>> round(float(result.weight[0, 0, 0]), 4)  # 1 + 9.2103 / 2
    5.6052
    """

    supplies = frozenset({"weight"})
    evidence = "self"

    def __init__(self, num_classes: int, alpha: float = 0.1, beta: float = 0.1) -> None:
        super().__init__()
        if min(alpha, beta) < 0 or alpha + beta == 0:
            raise UserError(f"method.alpha and method.beta: {alpha} and {beta} must not be negative, nor both 0")
        self.alpha, self.beta = alpha, beta

    def supervise(
        self, outputs: Sequence[Output], batch: Batch, supervision: list[Supervision], ctx: Context
    ) -> list[Supervision]:
        pairs = zip(outputs, supervision, strict=True)
        return [s.reweight(lambda p: self.alpha + self.beta * REVERSE * p, o) for o, s in pairs]

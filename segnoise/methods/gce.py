"""Generalised cross-entropy: between cross-entropy and mean absolute error."""

from __future__ import annotations

from collections.abc import Sequence

from segnoise.errors import UserError
from segnoise.methods.base import Batch, Context, Method, Output, Supervision


class GCE(Method):
    """Generalised cross-entropy ``l = (1 - p_y^q) / q``, as the weight ``p_y^q`` on cross-entropy (same gradient).

    q -> 0 is cross-entropy, q = 1 is ``1 - p_y`` (half the L1 distance). A pixel whose label the network does not
    believe counts less; errors that come in coherent blobs are believed sooner or later, so this method is made
    for independent noise and does not see correlated or one-sided errors.

    Args:
        q: in (0, 1].
        warmup: fraction of training in which q is at most 0.1, so that early learning is not starved.

    Raises:
        UserError: for values outside these ranges.

    Source: Zhang and Sabuncu, *Generalized cross entropy loss for training deep neural networks with noisy
    labels*, NeurIPS 2018.

    >>> import torch
    >>> from segnoise.methods import Objective
    >>> logits, mask = torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long)
    >>> result = Objective([{"name": "gce", "q": 1.0}], num_classes=2)(logits, {"mask": mask})
    >>> round(float(result.weight[0, 0, 0]), 4)
    0.5
    """

    supplies = frozenset({"weight"})
    evidence = "self"

    def __init__(self, num_classes: int, q: float = 0.7, warmup: float = 0.1) -> None:
        super().__init__()
        if not 0 < q <= 1:
            raise UserError(f"method.q: {q} is not in (0, 1]")
        if not 0 <= warmup <= 1:
            raise UserError(f"method.warmup: {warmup} is not in [0, 1]")
        self.q, self.warmup = q, warmup

    def supervise(
        self, outputs: Sequence[Output], batch: Batch, supervision: list[Supervision], ctx: Context
    ) -> list[Supervision]:
        q = self.q if ctx.progress >= self.warmup else min(self.q, 0.1)
        return [s.reweight(lambda p: p.pow(q), o) for o, s in zip(outputs, supervision, strict=True)]

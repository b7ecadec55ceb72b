"""Mean absolute error, and reverse cross-entropy, which is the same on another scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from segnoise.methods.base import Batch, Context, Method, Output, Supervision
from segnoise.methods.sce import REVERSE


class MAE(Method):
    """Half the L1 distance of p to the label, ``l = 1 - p_y``, as the weight ``p_y`` on cross-entropy.

    Its sum over all labels is constant, so errors that hit every class alike cancel in the mean. It learns slowly: a
    pixel that the network does not believe hardly counts, right or wrong. It is a part of others (``nce_mae``, ``gce``
    with q = 1) rather than a method to train with.

    Source: Ghosh, Kumar and Sastry, *Robust loss functions under label noise for deep neural networks*, AAAI 2017.

    >>> import torch
    >>> from segnoise.methods import Objective
    >>> logits, mask = torch.zeros(1, 4, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long)
    >>> float(Objective(["mae"], num_classes=4)(logits, {"mask": mask}).weight[0, 0, 0])
    0.25
    """

    supplies = frozenset({"weight"})
    evidence = "self"
    scale: ClassVar[float] = 1.0

    def __init__(self, num_classes: int) -> None:
        super().__init__()

    def supervise(
        self, outputs: Sequence[Output], batch: Batch, supervision: list[Supervision], ctx: Context
    ) -> list[Supervision]:
        return [s.reweight(lambda p: self.scale * p, o) for o, s in zip(outputs, supervision, strict=True)]


class RCE(MAE):
    """Reverse cross-entropy ``l = -sum_k p_k log e_k = A (1 - p_y)`` with ``log 0 = -A``, ``A = -log 1e-4``.

    That is A times the mean absolute error; under Adam, which divides gradients by their size, it is the same.

    Source: Wang et al., *Symmetric cross entropy for robust learning with noisy labels*, ICCV 2019.

    >>> import torch
    >>> from segnoise.methods import Objective
    >>> logits, mask = torch.zeros(1, 4, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long)
    >>> round(float(Objective(["rce"], num_classes=4)(logits, {"mask": mask}).weight[0, 0, 0]), 4)
    2.3026
    """

    scale = REVERSE

"""Bootstrapping: the label and what the network, or its teacher, makes of the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from segnoise.errors import UserError
from segnoise.methods.base import Batch, Context, Method, Needs, Output, Supervision, Teacher, risen


class BootstrapSoft(Method):
    """Soft bootstrapping ``l = beta (-log p_y) + (1 - beta) H(p)``, H the entropy: be sure, but not too fond of labels.

    Published as cross-entropy to ``beta e_y + (1 - beta) p``, whose gradient reaches the target too. With a fixed
    target it would be cross-entropy times beta; the entropy is what it does.

    Args:
        beta: in (0, 1]; published 0.95.
        ramp: fraction of training over which the share falls from 1 to beta.

    Raises:
        UserError: for values outside these ranges.

    Source: Reed et al., *Training deep neural networks on noisy labels with bootstrapping*, ICLR 2015 workshop.

    >>> import torch
    >>> from segnoise.methods import Objective
    >>> logits, mask = torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long)
    >>> result = Objective([{"name": "bootstrap_soft", "beta": 0.8}], num_classes=2)(logits, {"mask": mask})
    >>> round(float(result.weight[0, 0, 0]), 2), round(float(result.terms.regularisers["entropy"]), 4)  # 0.2 log 2
    (0.8, 0.1386)
    """

    supplies = frozenset({"weight", "regulariser"})

    def __init__(self, num_classes: int, beta: float = 0.9, ramp: float = 0.3) -> None:
        super().__init__()
        self.beta, self.ramp = _checked(beta, ramp)

    def supervise(
        self, outputs: Sequence[Output], batch: Batch, supervision: list[Supervision], ctx: Context
    ) -> list[Supervision]:
        share = _share(self.beta, self.ramp, ctx)
        return [replace(s, weight=share * s.weight) for s in supervision]

    def regularise(
        self, outputs: Sequence[Output], batch: Batch, supervision: list[Supervision], ctx: Context
    ) -> dict[str, Tensor]:
        share = _share(self.beta, self.ramp, ctx)
        valid = batch["mask"] < outputs[0].logits.shape[1]
        entropy = torch.stack([ctx.mean(-(o.log_p.exp() * o.log_p).sum(1), valid) for o in outputs]).sum()
        return {"entropy": (1 - share) * entropy}


class BootstrapHard(Method):
    """Hard bootstrapping: the target ``beta e_y + (1 - beta) e_k``, k what the EMA teacher holds for most likely.

    Args:
        beta: in (0, 1]; published 0.8, with the network itself in the place of the teacher.
        ramp: fraction of training over which the share falls from 1 to beta.
        decay: of the EMA teacher.

    Raises:
        UserError: for values outside these ranges.

    Source: Reed et al., *Training deep neural networks on noisy labels with bootstrapping*, ICLR 2015 workshop.

    >>> import torch
    >>> from segnoise.methods import Objective, Output
    >>> logits, mask = torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long)
    >>> teacher = torch.tensor([0.3, 0.7]).view(1, 2, 1, 1).expand(1, 2, 4, 4)
    >>> result = Objective(["bootstrap_hard"], num_classes=2)(Output(logits, teacher), {"mask": mask})
    >>> [round(float(t), 2) for t in result.target[0, :, 0, 0]]
    [0.8, 0.2]
    """

    supplies = frozenset({"target"})

    def __init__(self, num_classes: int, beta: float = 0.8, ramp: float = 0.3, decay: float = 0.99) -> None:
        super().__init__()
        self.beta, self.ramp = _checked(beta, ramp)
        if not 0 <= decay < 1:
            raise UserError(f"method.decay: {decay} is not in [0, 1)")
        self.needs = Needs(Teacher(decay))

    def supervise(
        self, outputs: Sequence[Output], batch: Batch, supervision: list[Supervision], ctx: Context
    ) -> list[Supervision]:
        share = _share(self.beta, self.ramp, ctx)
        result = []
        for output, s in zip(outputs, supervision, strict=True):
            if output.teacher_p is None:
                raise UserError("bootstrap_hard needs a teacher: pass Output(logits, teacher=probabilities)")
            believed = torch.zeros_like(s.target).scatter_(1, output.teacher_p.argmax(1, keepdim=True), 1.0)
            result.append(replace(s, target=torch.lerp(believed, s.target, share)))
        return result


def _checked(beta: float, ramp: float) -> tuple[float, float]:
    if not 0 < beta <= 1:
        raise UserError(f"method.beta: {beta} is not in (0, 1]")
    if not 0 <= ramp <= 1:
        raise UserError(f"method.ramp: {ramp} is not in [0, 1]")
    return beta, ramp


def _share(beta: float, ramp: float, ctx: Context) -> float:
    """The share of the given label now."""
    return 1 - (1 - beta) * risen(ctx.progress, 0.0, ramp)

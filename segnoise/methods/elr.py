"""Early-learning regularisation: hold on to what was believed before the wrong labels were learned."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from segnoise.errors import UserError
from segnoise.methods.base import Batch, Context, Memory, Method, Needs, Output, Supervision, Teacher, risen

_AGREEMENT = 1 - 1e-4
"""What <p, t> is cut to, so that the logarithm stays finite."""


class ELR(Method):
    """Cross-entropy plus ``lambda * mean_i log(1 - <p_i, t_i>)``, t the belief of an EMA teacher (or of a memory).

    The gradient of the second term in a logit is ``p_c (<p, t> - t_c) / (1 - <p, t>)``: it keeps p where t is sure.
    With two classes and t = p it holds a right belief against a wrong label only if ``lambda > 2`` and p is above
    ``lambda / (2 (lambda - 1))``. It works while the network learns what is right before what is wrong, and fails where
    errors are one-sided (missing objects, displaced outlines), for t is wrong there too.

    Args:
        strength: lambda; by default 7 for two classes and 3 for more.
        start, ramp: the strength is 0 until ``start`` and rises over ``ramp``, fractions of training.
        decay: of the EMA teacher, or with ``memory`` of the belief of each pixel.
        memory: keep a belief for every pixel of the training sources, as published (``t <- decay t + (1 - decay) p`` at
            each visit), in the place of the teacher; no second forward pass.
        every: the regulariser acts in every such step only, as many times as strong, so that its mean is the same and
            the teacher's forward pass is paid for once in so many steps.

    Raises:
        UserError: for values outside these ranges.

    Source: Liu et al., *Early-learning regularization prevents memorization of noisy labels*, NeurIPS 2020 (strength 3
    and decay 0.7 for 10 classes, 7 and 0.9 for 100).

    >>> import torch
    >>> from segnoise.methods import Objective, Output
    >>> logits, mask = torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long)
    >>> objective = Objective([{"name": "elr", "strength": 3.0}], num_classes=2)
    >>> result = objective(Output(logits, teacher=logits + 0.5), {"mask": mask})
    >>> round(float(result.terms.regularisers["elr"]), 4)  # 3 log(1 - 1 / 2)
    -2.0794
    """

    supplies = frozenset({"regulariser"})

    def __init__(
        self,
        num_classes: int,
        strength: float | None = None,
        start: float = 0.1,
        ramp: float = 0.2,
        decay: float = 0.99,
        memory: bool = False,
        every: int = 1,
    ) -> None:
        super().__init__()
        if strength is not None and strength < 0:
            raise UserError(f"method.strength: {strength} must not be negative")
        if not (0 <= start <= 1 and 0 <= ramp <= 1):
            raise UserError("method.start and method.ramp: must lie in [0, 1]")
        if not 0 <= decay < 1:
            raise UserError(f"method.decay: {decay} is not in [0, 1)")
        if not isinstance(memory, bool):
            raise UserError(f"method.memory: {memory!r} is neither true nor false")
        if not (isinstance(every, int) and every >= 1):
            raise UserError(f"method.every: {every} is not a whole number of steps from 1")
        if every > 1 and memory:
            raise UserError("method.every: is for the teacher; what memory holds costs no forward pass")
        self.full = (7.0 if num_classes == 2 else 3.0) if strength is None else strength
        self.start, self.ramp, self.decay, self.every = start, ramp, decay, every
        self.needs = Needs(memory={"belief": Memory(num_classes)}) if memory else Needs(Teacher(decay))

    def strength(self, progress: float) -> float:
        """lambda at this point of training."""
        return self.full * risen(progress, self.start, self.ramp)

    def regularise(
        self, outputs: Sequence[Output], batch: Batch, supervision: list[Supervision], ctx: Context
    ) -> dict[str, Tensor]:
        strength = self.every * self.strength(ctx.progress)
        if strength == 0 or ctx.step % self.every:
            return {}
        valid = batch["mask"] < outputs[0].logits.shape[1]
        terms = []
        for output in outputs:
            agreement = (output.log_p.exp() * self._belief(output, batch, ctx)).sum(1)
            terms.append(ctx.mean(torch.log1p(-agreement.clamp(max=_AGREEMENT)), valid))
        return {"elr": strength * torch.stack(terms).sum()}

    def observe(self, outputs: Sequence[Output], batch: Batch, supervision: list[Supervision], ctx: Context) -> None:
        if (memory := ctx.memory.get("belief")) is not None:
            memory.write(batch, torch.stack([self._belief(output, batch, ctx) for output in outputs]).mean(0))

    def _belief(self, output: Output, batch: Batch, ctx: Context) -> Float[Tensor, " B C *S"]:
        """t, without gradient."""
        if (memory := ctx.memory.get("belief")) is not None:
            return torch.lerp(output.p, memory.read(batch), self.decay)
        if output.teacher_p is not None:
            return output.teacher_p
        if self.needs.memory:
            return torch.zeros_like(output.p)  # an audit: nothing is remembered
        raise UserError("elr needs a teacher: pass Output(logits, teacher=probabilities of an EMA model)")

"""JoCoR: two networks that agree with each other, and learn where they both agree with the label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from segnoise.errors import UserError
from segnoise.methods.base import Batch, Channel, Context, Method, Needs, Output, Supervision
from segnoise.methods.small_loss import Level, SmallLoss, label_loss


class JoCoR(Method):
    """Joint training with co-regularisation: ``l = (1 - lam) (CE_1 + CE_2) + lam (KL(p_1 | p_2) + KL(p_2 | p_1))``.

    Both networks learn on the pixels where l is small, a share of each given class as in
    :class:`segnoise.methods.CoTeaching`. The divergences couple them, with gradients into both. They predict with the
    mean of their probabilities: compare them with two plain networks averaged.

    Args:
        lam: share of the agreement, in [0, 1); published 0.1 to 0.9.
        forget, ramp, level, region: as in co-teaching.

    Raises:
        UserError: for values outside these ranges.

    Source: Wei et al., *Combating noisy labels by agreement: a joint training method with co-regularization*, CVPR
    2020.

    >>> import torch
    >>> from segnoise.methods import Objective, Output
    >>> logits, mask = torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long)
    >>> result = Objective([{"name": "jocor", "lam": 0.25}], num_classes=2)([Output(logits)] * 2, {"mask": mask})
    >>> round(float(result.loss), 4)  # 2 * 3 / 4 log 2
    1.0397
    """

    supplies = frozenset({"weight", "regulariser"})
    evidence = "self"

    def __init__(
        self,
        num_classes: int,
        lam: float = 0.65,
        forget: float | str = "held_out",
        ramp: float = 0.3,
        level: Level = "pixel",
        region: int = 9,
    ) -> None:
        super().__init__()
        if not 0 <= lam < 1:
            raise UserError(f"method.lam: {lam} is not in [0, 1)")
        self.lam = lam
        self.small = SmallLoss(num_classes, 1, forget, ramp, level, region)
        self.needs = Needs(networks=2, channel="uniform" if self.small.asks else None)

    def calibrate(self, channel: Channel) -> None:
        self.small.calibrate(channel)

    def supervise(
        self, outputs: Sequence[Output], batch: Batch, supervision: list[Supervision], ctx: Context
    ) -> list[Supervision]:
        kept = self.small.kept(0, self._joint(outputs, batch), batch, ctx)
        return [replace(s, weight=(1 - self.lam) * s.weight * kept) for s in supervision]

    def regularise(
        self, outputs: Sequence[Output], batch: Batch, supervision: list[Supervision], ctx: Context
    ) -> dict[str, Tensor]:
        if self.lam == 0:
            return {}
        kept = self.small.kept(0, self._joint(outputs, batch), batch, ctx)
        valid = batch["mask"] < outputs[0].logits.shape[1]
        return {"agreement": self.lam * ctx.mean(kept * _disagreement(outputs), valid)}

    def observe(self, outputs: Sequence[Output], batch: Batch, supervision: list[Supervision], ctx: Context) -> None:
        self.small.see([self._joint(outputs, batch)], batch, ctx)

    def _joint(self, outputs: Sequence[Output], batch: Batch) -> Float[Tensor, " B *S"]:
        """l, without gradient."""
        plain = torch.stack([label_loss(output, batch) for output in outputs]).sum(0)
        return (1 - self.lam) * plain + self.lam * _disagreement(outputs).detach()


def _disagreement(outputs: Sequence[Output]) -> Float[Tensor, " B *S"]:
    """``KL(p_1 | p_2) + KL(p_2 | p_1) = sum_k (p_1k - p_2k) (log p_1k - log p_2k)``."""
    first, second = (o.log_p for o in outputs)
    return ((first.exp() - second.exp()) * (first - second)).sum(1)

"""Co-teaching: two networks, each learning from what the other finds easy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from segnoise.methods.base import Batch, Channel, Context, Method, Needs, Output, Supervision
from segnoise.methods.small_loss import Level, SmallLoss, label_loss


class CoTeaching(Method):
    """Each of two networks learns on the pixels whose loss is small under the other one.

    Of each given class the share ``R = 1 - forget min(progress / ramp, 1)`` is kept; thresholds are running quantiles
    (:class:`segnoise.methods.small_loss.SmallLoss`). The two err differently, so that one does not confirm itself. They
    predict with the mean of their probabilities: compare them with two plain networks averaged. Where whole objects are
    missing those are the pixels of large loss, and it is the right part that is dropped.

    Args:
        forget: the share of wrong labels, or ``held_out``: of each given class, as the validation labels tell.
        ramp: fraction of training after which it is left out entirely.
        level: ``pixel``, ``region`` (mean loss of the class within ``region`` pixels around), or ``image``.
        region: odd side of the surroundings; about the size of the errors.

    Raises:
        UserError: for values outside these ranges.

    Source: Han et al., *Co-teaching: robust training of deep neural networks with extremely noisy labels*, NeurIPS
    2018, where the rate is known and the losses of a batch are ranked together.

    >>> import torch
    >>> from segnoise.methods import Objective, Output
    >>> objective = Objective([{"name": "co_teaching", "forget": 0.25}], num_classes=2)
    >>> logits, mask = torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, dtype=torch.long)
    >>> logits[0, 1] = torch.tensor([[0.0, 1.0], [2.0, 3.0]])  # ever less like the label
    >>> outputs, batch = [Output(logits), Output(logits)], {"mask": mask}
    >>> objective.observe(outputs, batch, [], Context())
    >>> objective(outputs, batch).weight[0]
    tensor([[1., 1.],
            [1., 0.]])
    """

    needs = Needs(networks=2)
    supplies = frozenset({"weight"})
    evidence = "self"

    def __init__(
        self,
        num_classes: int,
        forget: float | str = "held_out",
        ramp: float = 0.3,
        level: Level = "pixel",
        region: int = 9,
    ) -> None:
        super().__init__()
        self.small = SmallLoss(num_classes, 2, forget, ramp, level, region)
        self.needs = Needs(networks=2, channel="uniform" if self.small.asks else None)

    def calibrate(self, channel: Channel) -> None:
        self.small.calibrate(channel)

    def supervise(
        self, outputs: Sequence[Output], batch: Batch, supervision: list[Supervision], ctx: Context
    ) -> list[Supervision]:
        losses = [label_loss(output, batch) for output in outputs]
        return [
            replace(s, weight=s.weight * self.small.kept(1 - n, losses[1 - n], batch, ctx))
            for n, s in enumerate(supervision)
        ]

    def observe(self, outputs: Sequence[Output], batch: Batch, supervision: list[Supervision], ctx: Context) -> None:
        self.small.see([label_loss(output, batch) for output in outputs], batch, ctx)

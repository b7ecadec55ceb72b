"""Cross-entropy, with label smoothing, class weights and an optional Dice or Tversky term: the plain baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from segnoise.errors import UserError
from segnoise.methods.base import Batch, Context, Method, Output, Supervision
from segnoise.methods.overlap import tversky_loss


class CrossEntropy(Method):
    """Cross-entropy to the given label.

    Per pixel, ``l = - a_y sum_k tau_k log p_k`` with ``tau = (1 - eps) e_y + eps / C`` (label smoothing) and class
    weights ``a``. With ``dice`` > 0 the loss also gets ``dice * mean over images and present classes of
    (1 - TI)``, the Tversky index ``TI = TP / (TP + alpha FP + beta FN)`` on probabilities over valid pixels
    (``alpha = beta = 0.5`` is Dice); a class that is absent from an image's valid labels is left out there.

    Args:
        label_smoothing: eps in [0, 1).
        class_weights: one weight per class, or None for equal weights.
        dice: weight of the overlap term.
        tversky: (alpha, beta), the price of false positives and of false negatives.

    Raises:
        UserError: for values outside these ranges.

    Source: Szegedy et al., *Rethinking the Inception architecture*, CVPR 2016 (label smoothing); Salehi et al.,
    *Tversky loss function for image segmentation*, MLMI 2017.

    >>> import torch
    >>> from segnoise.methods import Objective
    >>> logits, mask = torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long)
    >>> round(float(Objective(["cross_entropy"], num_classes=2)(logits, {"mask": mask}).loss), 4)
    0.6931
    """

    def __init__(
        self,
        num_classes: int,
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
        dice: float = 0.0,
        tversky: tuple[float, float] = (0.5, 0.5),
    ) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise UserError(f"method.label_smoothing: {label_smoothing} is not in [0, 1)")
        if class_weights is not None and len(class_weights) != num_classes:
            raise UserError(f"method.class_weights: {len(class_weights)} weights for {num_classes} classes")
        if dice < 0 or min(tversky) < 0:
            raise UserError("method.dice and method.tversky: must not be negative")
        self.label_smoothing, self.dice, self.tversky, self.num_classes = label_smoothing, dice, tversky, num_classes
        self.class_weights: Tensor | None
        self.register_buffer(
            "class_weights", None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        )
        supplies = {"target"} if label_smoothing else set()
        supplies |= {"weight"} if class_weights is not None else set()
        supplies |= {"regulariser"} if dice else set()
        self.supplies = frozenset(supplies)

    def supervise(
        self, outputs: Sequence[Output], batch: Batch, supervision: list[Supervision], ctx: Context
    ) -> list[Supervision]:
        if self.class_weights is not None:
            weight = self.class_weights[batch["mask"].clamp(max=self.num_classes - 1)]
            supervision = [replace(s, weight=s.weight * weight) for s in supervision]
        if self.label_smoothing:
            eps = self.label_smoothing
            supervision = [replace(s, target=(1 - eps) * s.target + eps / self.num_classes) for s in supervision]
        return supervision

    def regularise(
        self, outputs: Sequence[Output], batch: Batch, supervision: list[Supervision], ctx: Context
    ) -> dict[str, Tensor]:
        if not self.dice:
            return {}
        valid = (batch["mask"] < self.num_classes).float()
        losses = [
            ctx.mean_images(tversky_loss(output, replace(s, weight=valid), *self.tversky))
            for output, s in zip(outputs, supervision, strict=True)
        ]
        return {"dice": self.dice * torch.stack(losses).sum()}

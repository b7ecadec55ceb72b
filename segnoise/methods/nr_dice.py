"""Noise-robust Dice: Dice with a milder price for large differences."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from segnoise.errors import UserError
from segnoise.methods.base import Method, Output, Supervision
from segnoise.methods.overlap import mean_of_present


class NoiseRobustDice(Method):
    """``l = sum_i w_i |p_ik - tau_ik|**gamma / sum_i w_i (p_ik**2 + tau_ik**2)``, the mean over an image's classes.

    gamma = 2 is one minus the Dice coefficient of squares; with gamma < 2 a large difference, as at a wrong label that
    the network does not believe, counts for less beside the small ones. A class that is absent from an image's labels
    is left out there. With ``squared: false`` the denominator is ``sum_i w_i (p_ik + tau_ik)``, and gamma = 1 is one
    minus Dice for hard targets.

    Args:
        gamma: in [1, 2].
        squared: the denominator's terms.

    Raises:
        UserError: for values outside these ranges.

    Source: Wang et al., *A noise-robust framework for automatic segmentation of COVID-19 pneumonia lesions from CT
    images*, IEEE TMI 2020.

    >>> import torch
    >>> from segnoise.methods import Objective
    >>> logits, mask = torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long)
    >>> loss = Objective([{"name": "nr_dice", "gamma": 2.0}], num_classes=2)(logits, {"mask": mask}).loss
    >>> round(float(loss), 4)  # (1 / 4) / (1 / 4 + 1)
    0.2
    """

    supplies = frozenset({"loss"})

    def __init__(self, num_classes: int, gamma: float = 1.5, squared: bool = True) -> None:
        super().__init__()
        if not 1 <= gamma <= 2:
            raise UserError(f"method.gamma: {gamma} is not in [1, 2]")
        if not isinstance(squared, bool):
            raise UserError(f"method.squared: {squared!r} is neither true nor false")
        self.gamma, self.power = gamma, 2 if squared else 1

    def loss(self, output: Output, supervision: Supervision, valid: Bool[Tensor, " B *S"]) -> Float[Tensor, " B"]:
        weight = supervision.weight.unsqueeze(1)
        p, target = output.log_p.exp(), supervision.target
        # |x|**gamma has no gradient in float at 0 where gamma < 2: a difference that small counts as that of 1e-6
        apart = (p - target).abs().clamp_min(1e-6).pow(self.gamma)
        off, said, there = ((weight * x).flatten(2).sum(-1) for x in (apart, p.pow(self.power), target.pow(self.power)))
        return mean_of_present(off / (said + there).clamp_min(1e-6), there)

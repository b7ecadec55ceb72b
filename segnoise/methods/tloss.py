"""T-Loss: a whole image's differences under a heavy-tailed distribution, so that bad images count less."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from segnoise.errors import UserError
from segnoise.methods.base import Method, Output, Supervision


class TLoss(Method):
    """The negative log-likelihood of an image's differences ``delta = p - tau`` under a Student t distribution, over D.

    ``l = [ -lgamma((nu + D) / 2) + lgamma(nu / 2) + D / 2 log(pi nu) + (nu + D) / 2 log(1 + |delta|**2 / nu) ] / D``

    D counts the numbers in delta: valid pixels times classes, or valid pixels where there are two classes, whose
    differences are the same but for the sign. nu > 0 is learned. All pixels of an image share the weight ``(nu + D) /
    (nu + |delta|**2)``, so it can drop bad *images*, never bad pixels: it is for annotators with bad days. Weights of
    pixels multiply their squared differences and count in D.

    Args:
        nu: where nu starts.
        lr: the learning rate of log nu, which the schedule does not change.

    Raises:
        UserError: values that are not positive.

    Source: Gonzalez-Jimenez et al., *Robust T-Loss for medical image segmentation*, MICCAI 2023; there D is that of one
    image size given beforehand, the loss is not divided by it, and nu is not kept in checkpoints.

    >>> import torch
    >>> from segnoise.methods import Objective
    >>> logits, mask = torch.zeros(1, 2, 1, 1), torch.zeros(1, 1, 1, dtype=torch.long)
    >>> objective = Objective([{"name": "tloss", "nu": 1.0}], num_classes=2)
    >>> round(float(objective(logits, {"mask": mask}).loss), 4)  # Cauchy: log pi + log(1 + 1 / 4)
    1.3679
    """

    supplies = frozenset({"loss"})

    def __init__(self, num_classes: int, nu: float = math.e, lr: float = 1e-3) -> None:
        super().__init__()
        if nu <= 0 or lr <= 0:
            raise UserError(f"method.nu and method.lr: {nu} and {lr} must be positive")
        self.lr = lr
        self.log_nu = nn.Parameter(torch.tensor(math.log(nu)))

    def loss(self, output: Output, supervision: Supervision, valid: Bool[Tensor, " B *S"]) -> Float[Tensor, " B"]:
        apart = (output.log_p.exp() - supervision.target).square()
        each = apart[:, 0] if apart.shape[1] == 2 else apart.sum(1)
        distance = (supervision.weight * each).flatten(1).sum(1).double()  # float32 is off in the gradient of nu
        numbers = 1 if apart.shape[1] == 2 else apart.shape[1]
        size = (numbers * supervision.weight.flatten(1).sum(1).double()).clamp_min(1e-6)
        nu = self.log_nu.double().exp()
        constant = torch.lgamma(nu / 2) - torch.lgamma((nu + size) / 2) + size / 2 * torch.log(math.pi * nu)
        return ((constant + (nu + size) / 2 * torch.log1p(distance / nu)) / size).float()

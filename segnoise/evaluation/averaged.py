"""Several trained networks as one: the mean of their probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segnoise.training import Model


class Averaged(nn.Module):
    """Raw pixel values ``B C *S`` in, ``log(mean over networks of softmax)`` ``B K *S`` out.

    The softmax of that is the mean again, so it goes wherever a single model goes. All networks have the classes
    and the window of the first.
    """

    def __init__(self, models: Sequence[Model]) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)
        self.classes = models[0].classes
        self.window = models[0].window
        self.sides, self.overlap = models[0].sides, models[0].overlap
        self.fill = models[0].fill
        self.channels = models[0].channels

    def forward(self, image: Float[Tensor, " B C *S"]) -> Float[Tensor, " B K *S"]:
        each = torch.stack([model(image).log_softmax(1) for model in self.models])
        return each.logsumexp(0) - torch.log(torch.tensor(float(len(self.models))))

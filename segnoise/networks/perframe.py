"""A network for images, used on every frame of a clip."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class PerFrame(nn.Module):
    """Maps clips ``B C T H W`` to logits ``B K T H W`` by a network for images, whose batch is then all frames.

    >>> PerFrame(nn.Conv2d(3, 2, 1))(torch.zeros(2, 3, 4, 8, 6)).shape
    torch.Size([2, 2, 4, 8, 6])
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, clip: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B K T H W"]:
        frames = clip.transpose(1, 2).flatten(0, 1)
        # channels last is faster, see docs/performance.md
        logits: Tensor = self.network(frames.contiguous(memory_format=torch.channels_last))
        return logits.reshape(len(clip), clip.shape[2], *logits.shape[1:]).transpose(1, 2).contiguous()

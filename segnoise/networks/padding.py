"""Images of any size for networks that halve them several times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class PadTo(nn.Module):
    """Pads an image at its far ends to what a network can take, and crops the logits back.

    An axis of n pixels grows to the next multiple of m, and to ``at_least`` multiples, by repeating the last
    pixel. Padding at the far ends only keeps the network's grid of strides where it is, so an image that needs no
    padding gives the same logits with and without this module. The coarsest features of a network that divides by
    m are then ``at_least`` pixels wide: with the default of 2, normalisation over space is never over one pixel.

    Args:
        network: maps ``B C *S`` to logits ``B K *S``, or to a sequence whose first entry that is.
        multiple: m, for all axes or one per axis.
        at_least: the smallest number of multiples.

    >>> import torch
    >>> PadTo(nn.AvgPool2d(1), multiple=16)(torch.zeros(1, 3, 37, 5)).shape
    torch.Size([1, 3, 37, 5])
    """

    def __init__(self, network: nn.Module, multiple: int | Sequence[int], at_least: int = 2) -> None:
        super().__init__()
        self.network = network
        self.multiple = multiple if isinstance(multiple, int) else tuple(multiple)
        self.at_least = at_least

    def forward(self, image: Float[Tensor, "B C *S"]) -> Float[Tensor, "B K *S"]:
        size = image.shape[2:]
        multiples = [self.multiple] * len(size) if isinstance(self.multiple, int) else self.multiple
        missing = [max(-(-n // m), self.at_least if m > 1 else 1) * m - n for n, m in zip(size, multiples, strict=True)]
        if any(missing):
            # torch counts axes from the last one, and wants (before, after) for each.
            ends = [end for grow in reversed(missing) for end in (0, grow)]
            image = functional.pad(image, ends, mode="replicate")
        output = self.network(image)
        logits = output if isinstance(output, Tensor) else output[0]
        inside: tuple[Any, ...] = (..., *(slice(0, n) for n in size))
        return logits[inside]

"""Which pixels of each given class have a small loss, against thresholds that move with training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool1d, avg_pool2d, avg_pool3d

from segnoise.errors import UserError
from segnoise.methods.base import Batch, Channel, Context, Output, risen

Level = Literal["pixel", "region", "image"]

_BINS = 512
_RANGE = (math.log(1e-8), math.log(1e3))
"""Of the logarithm of a loss."""

_MEMORY = 0.95
"""What a step leaves of the counts before: the thresholds look back on some twenty steps."""


class SmallLoss(nn.Module):
    """A share R of each given class, that of the smallest losses, as a threshold on the loss of every class.

    ``R_c = 1 - forget_c min(progress / ramp, 1)``. The threshold is the R_c-quantile of the losses of the last steps,
    over all ranks, from a histogram that fades: it depends on no batch alone, and a rare class keeps its share.
    ``forget_c`` is the share of wrong labels among those given as c: a number for all, or what held-out labels tell,
    ``P(class not c | label c)``, at most 0.9.

    Args:
        num_classes: C.
        views: how many sets of thresholds there are: one for each network, or one for all.
        forget: a share in [0, 1), or ``held_out``.
        ramp: fraction of training after which the full share is left out.
        level: what is chosen: pixels, pixels by the mean loss of their class within ``region`` pixels around, or the
            pixels of a class in an image by their mean loss.
        region: side of the square (cube) around a pixel, odd.

    Raises:
        UserError: for values outside these ranges.
    """

    def __init__(
        self,
        num_classes: int,
        views: int,
        forget: float | str = "held_out",
        ramp: float = 0.3,
        level: Level = "pixel",
        region: int = 9,
    ) -> None:
        super().__init__()
        if not (forget == "held_out" or (isinstance(forget, int | float) and 0 <= forget < 1)):
            raise UserError(f"method.forget: {forget} is neither held_out nor a share in [0, 1)")
        if not 0 <= ramp <= 1:
            raise UserError(f"method.ramp: {ramp} is not in [0, 1]")
        if level not in ("pixel", "region", "image"):
            raise UserError(f"method.level: {level!r} is none of pixel, region, image")
        if not isinstance(region, int) or region < 1 or region % 2 == 0:
            raise UserError(f"method.region: {region} is no odd number of pixels")
        self.asks = forget == "held_out"
        self.ramp, self.level, self.region = ramp, level, region
        self._forget: Tensor
        self._counts: Tensor
        self.register_buffer("_forget", torch.full((num_classes,), 0.0 if self.asks else float(forget)))
        self.register_buffer("_counts", torch.zeros(views, num_classes, _BINS))

    def calibrate(self, channel: Channel) -> None:
        """Takes over what held-out labels tell, where it was asked for."""
        if self.asks:
            joint = torch.tensor(channel.confusion) * torch.tensor(channel.shares).unsqueeze(1)
            right = joint.diagonal() / joint.sum(0).clamp_min(1e-12)
            self._forget.copy_((1 - right).clamp(0, 0.9))

    def kept(self, view: int, loss: Float[Tensor, " B *S"], batch: Batch, ctx: Context) -> Float[Tensor, " B *S"]:
        """1 where the loss is small for the given class, else 0; all before the first losses were seen."""
        thresholds = self._thresholds(ctx.progress)[view]
        valid, labels = _labels(batch, len(thresholds))
        return (self._pooled(loss, labels, valid) <= thresholds[labels]).to(loss.dtype) * valid

    def see(self, losses: Sequence[Float[Tensor, " B *S"]], batch: Batch, ctx: Context) -> None:
        """The losses of a training batch, one for each view."""
        classes = self._counts.shape[1]
        valid, labels = _labels(batch, classes)
        low, high = _RANGE
        seen = torch.zeros_like(self._counts)
        for view, loss in enumerate(losses):
            pooled = self._pooled(loss, labels, valid)[valid]
            place = (pooled.clamp_min(1e-12).log() - low) * (_BINS / (high - low))
            index = labels[valid] * _BINS + place.long().clamp(0, _BINS - 1)
            seen[view] = torch.bincount(index, minlength=classes * _BINS).view(classes, _BINS).to(seen.dtype)
        self._counts.mul_(_MEMORY).add_(ctx.over_ranks(seen))

    def _thresholds(self, progress: float) -> Float[Tensor, "V C"]:
        share = 1 - self._forget * risen(progress, 0.0, self.ramp)
        total = self._counts.sum(-1)
        wanted = (share * total).unsqueeze(-1)
        cumulated = self._counts.cumsum(-1)
        index = torch.searchsorted(cumulated, wanted).clamp(max=_BINS - 1)
        inside = self._counts.gather(-1, index)
        below = cumulated.gather(-1, index) - inside
        place = (index + ((wanted - below) / inside.clamp_min(1e-12)).clamp(0, 1)).squeeze(-1)
        low, high = _RANGE
        thresholds = (low + place * ((high - low) / _BINS)).exp()
        return torch.where((total > 0) & (share < 1), thresholds, math.inf)

    def _pooled(
        self, loss: Float[Tensor, " B *S"], labels: Tensor, valid: Bool[Tensor, " B *S"]
    ) -> Float[Tensor, " B *S"]:
        """The loss of what a pixel is chosen with."""
        if self.level == "pixel":
            return loss
        pooled = torch.zeros_like(loss)
        for c in range(self._counts.shape[1]):
            member = ((labels == c) & valid).to(loss.dtype)
            if self.level == "image":
                axes = tuple(range(1, loss.dim()))
                total = (loss * member).sum(axes, keepdim=True), member.sum(axes, keepdim=True)
            else:
                total = self._around(loss * member), self._around(member)
            pooled += member * total[0] / total[1].clamp_min(1e-6)
        return pooled

    def _around(self, x: Float[Tensor, " B *S"]) -> Float[Tensor, " B *S"]:
        pool = {2: avg_pool1d, 3: avg_pool2d, 4: avg_pool3d}[x.dim()]
        pooled: Tensor = pool(x.unsqueeze(1), self.region, 1, self.region // 2)
        return pooled.squeeze(1)


def label_loss(output: Output, batch: Batch) -> Float[Tensor, " B *S"]:
    """``-log p_y`` of the given labels, without gradient; anything where the label is unknown."""
    _, labels = _labels(batch, output.logits.shape[1])
    return -output.log_p.detach().gather(1, labels.unsqueeze(1)).squeeze(1)


def _labels(batch: Batch, classes: int) -> tuple[Bool[Tensor, " B *S"], Tensor]:
    valid = batch["mask"] < classes
    return valid, torch.where(valid, batch["mask"], 0)

"""Weights of whole videos and of clips from how far their labels are to be trusted, learned from visit to visit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from segnoise.errors import UserError
from segnoise.methods.base import Batch, Context, Method

_PATIENCE = 20
"""Visits over which the statistics of a video are averaged."""


class MultiScale(Method):
    """What methods share that trust videos, clips and pixels by a confidence, one scale after another.

    From three moments of training on (``stages``, fractions of it):

    - **video**: the weight ``b = clip(lowest + 1.4 (r - 4/14), lowest, 1)``, where r in [0, 1] is the rank of a video's
      mean confidence, worst first;
    - **image**: the weight ``a = exp(scale (C_clip - C_all))``;
    - **pixel**: in the share ``worst`` of the videos pixels are relabelled; there a = 1 and b = 0.7.

    Means of videos are running means over training visits. A video that was not seen yet counts as good.
    """

    videos: Float[Tensor, "V M"]
    """A row a video: visits, the mean confidence, and further means."""

    def __init__(self, stages: Sequence[float], worst: float, scale: float, lowest: float, further: int = 0) -> None:
        super().__init__()
        if len(stages) != 3 or sorted(stages) != list(stages) or not 0 <= stages[0] <= stages[-1] <= 1:
            raise UserError(f"method.stages: {list(stages)} are not three fractions of training in order")
        for option, fraction in (("worst", worst), ("lowest", lowest)):
            check_fraction(option, fraction)
        self.stages, self.worst, self.scale, self.lowest = tuple(stages), worst, scale, lowest
        self.register_buffer("videos", torch.zeros(0, 2 + further))

    def begin(self, sources: int) -> None:
        if len(self.videos) != sources:
            self.videos = self.videos.new_zeros(sources, self.videos.shape[1])

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        if (known := state_dict.get(f"{prefix}videos")) is not None:
            self.videos = torch.zeros_like(known, device=self.videos.device)
        super()._load_from_state_dict(state_dict, prefix, *rest)  # type: ignore[no-untyped-call]

    def remember(
        self, values: Sequence[Float[Tensor, " B *G"]], valid: Bool[Tensor, " B *G"], batch: Batch, ctx: Context
    ) -> None:
        """Moves the means of the videos of this step, all ranks together; the first of ``values`` is the confidence."""
        if not len(self.videos):
            return
        there = valid.flatten(1).any(1)
        rows = torch.stack([there.to(self.videos.dtype), *(mean_of(x, valid) for x in values)], 1)
        sums = torch.zeros_like(self.videos).index_add_(0, batch["index"], rows * there.unsqueeze(1))
        sums = ctx.over_ranks(sums)
        visits = sums[:, 0]
        total = self.videos[:, 0] + visits
        rate = torch.where(visits > 0, visits / total.clamp(min=1, max=_PATIENCE), 0.0).clamp(max=1)
        now = sums[:, 1:] / visits.clamp_min(1).unsqueeze(1)
        self.videos[:, 1:] += rate.unsqueeze(1) * (now - self.videos[:, 1:])
        self.videos[:, 0] = total

    def scales(
        self, confidence: Float[Tensor, " B *G"], valid: Bool[Tensor, " B *G"], batch: Batch, ctx: Context
    ) -> tuple[Float[Tensor, " B"], Bool[Tensor, " B"]]:
        """The weight of each clip, and which clips are relabelled."""
        clips = len(valid)
        one, never = confidence.new_ones(clips), torch.zeros(clips, dtype=torch.bool, device=valid.device)
        known = self.videos[:, 0] > 0
        if ctx.progress < self.stages[0] or not known.any():
            return one, never
        index = batch["index"]
        order = torch.where(known, self.videos[:, 1], math.inf).argsort(stable=True)
        place = torch.empty_like(order)
        place[order] = torch.arange(len(order), device=order.device)
        rank = place.float() / max(int(known.sum()) - 1, 1)
        b = (self.lowest + 1.4 * (rank - 4 / 14)).clamp(self.lowest, 1.0)[index]
        a, relabelled = one, never
        if ctx.progress >= self.stages[1]:
            there = valid.flatten(1).any(1)
            above = mean_of(confidence, valid) - self.videos[known, 1].mean()
            a = torch.where(there, (self.scale * above).exp(), 1.0)
        if ctx.progress >= self.stages[2]:
            relabelled = place[index] < round(self.worst * int(known.sum()))
            a, b = torch.where(relabelled, 1.0, a), torch.where(relabelled, 0.7, b)
        return a * b, relabelled


def mean_of(values: Float[Tensor, " B *G"], valid: Bool[Tensor, " B *G"]) -> Float[Tensor, " B"]:
    """Over the valid pixels of each clip; 0 where there is none."""
    return torch.where(valid, values, 0.0).flatten(1).sum(1) / valid.flatten(1).sum(1).clamp_min(1)


def first_choice(belief: Float[Tensor, " B C *S"]) -> Float[Tensor, " B C *S"]:
    """The class of the highest probability as a target; several share where they are equal."""
    first = (belief == belief.amax(1, keepdim=True)).to(belief.dtype)  # much faster than argmax over classes
    return first / first.sum(1, keepdim=True)


def check_fraction(option: str, value: float) -> None:
    """Raises UserError for an option that is not in [0, 1]."""
    if not 0 <= value <= 1:
        raise UserError(f"method.{option}: {value} is not in [0, 1]")

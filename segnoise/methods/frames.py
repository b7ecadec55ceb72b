"""The frames of a clip on the grid of a network's features, and which frame each is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from segnoise.errors import UserError, nearest
from segnoise.methods.affinity import Affinity, soft_vote, temporal_affinity

REFERENCES = ("previous", "next", "both", "same", "random")


@dataclass(frozen=True)
class Frames:
    """Features ``B T D h w`` and labels ``B T h w`` of the frames of clips; ``axis`` is where time is in the clip."""

    features: Float[Tensor, "B T D h w"]
    labels: Int[Tensor, "B T h w"]
    axis: int
    shape: tuple[int, ...]

    @classmethod
    def of(
        cls, features: Float[Tensor, " B D *G"], mask: Int[Tensor, " B *S"], axis: int, stride: int, method: str
    ) -> Frames:
        """Features are averaged to one for about ``stride`` pixels of the image, labels taken at their middles.

        Raises UserError, in the name of the method, for images without an axis to follow or clips of one frame.
        """
        if mask.dim() != 4:
            raise UserError(f"method {method}: is for clips and volumes, but the images have {mask.dim() - 1} axes")
        if mask.shape[1 + axis] < 2:
            raise UserError(f"method {method}: compares neighbouring frames, but a clip has one; set data.frames to 2")
        f, y = features.detach().movedim(2 + axis, 1), mask.movedim(1 + axis, 1)
        sides = zip(f.shape[-2:], y.shape[-2:], strict=True)
        pooled = [max(1, round(stride * g / n)) for g, n in sides]
        flat = avg_pool2d(f.flatten(0, 1).float(), pooled, ceil_mode=True)
        f = flat.view(*f.shape[:3], *flat.shape[-2:])
        y = _at_middles(y, (f.shape[1], *f.shape[-2:]))
        return cls(f, y, axis, tuple(mask.shape[1:]))

    def references(self, which: str, step: int, ctx_step: int) -> list[list[int]]:
        """For each comparison to be made, the reference of every frame; at an end the neighbour on the other side.

        ``random`` is a function of the optimiser step.
        """
        count = self.features.shape[1]
        back = [t - step if t >= step else min(t + step, count - 1) for t in range(count)]
        ahead = [t + step if t + step < count else max(t - step, 0) for t in range(count)]
        if which == "both":
            return [back, ahead]
        if which == "random":
            g = torch.Generator().manual_seed(ctx_step)
            return [torch.randint(0, count, (count,), generator=g).tolist()]
        return [{"previous": back, "next": ahead, "same": list(range(count))}[which]]

    def affinity(self, reference: Sequence[int], num_classes: int) -> Affinity:
        """Of every frame to its reference, ``B T h w``."""
        f, y = self._flat(), self.labels.flatten(0, 1)
        g, z = self.features[:, reference].flatten(0, 1), self.labels[:, reference].flatten(0, 1)
        found = temporal_affinity(f, g, y, z, num_classes)
        grid = self.labels.shape
        return Affinity(*(x.view(grid) for x in (found.positive, found.negative, found.confidence, found.valid)))

    def vote(self, reference: Sequence[int], num_classes: int, temperature: float) -> Float[Tensor, "B T K h w"]:
        """What the labels of its reference say of every frame."""
        g, z = self.features[:, reference].flatten(0, 1), self.labels[:, reference].flatten(0, 1)
        votes = soft_vote(self._flat(), g, z, num_classes, temperature)
        return votes.view(*self.labels.shape[:2], *votes.shape[1:])

    def _flat(self) -> Float[Tensor, "N D h w"]:
        return self.features.flatten(0, 1)

    def on_image(self, values: Float[Tensor, "B T K h w"]) -> Float[Tensor, " B K *S"]:
        """Values of the grid on the clip's own pixels, interpolated within frames."""
        target = list(self.shape)
        frames = target.pop(self.axis)
        time = _middles(values.shape[1], frames).to(values.device)
        spread = interpolate(values.flatten(0, 1), tuple(target), mode="bilinear", align_corners=False)
        spread = spread.view(*values.shape[:3], *target)[:, time]
        return spread.movedim(1, 2 + self.axis)


def check_reference(which: str, method: str) -> str:
    """Raises UserError naming the nearest reference if there is none of this name."""
    if which not in REFERENCES:
        raise UserError(f"method.reference: {method} knows no reference {which!r}; {nearest(which, REFERENCES)}")
    return which


def _middles(many: int, few: int) -> Int[Tensor, " n"]:
    """Which of ``many`` cells each of ``few`` equal cells has its middle in."""
    return ((torch.arange(few) + 0.5) * many / few).long()


def _at_middles(labels: Int[Tensor, "B T H W"], grid: Sequence[int]) -> Int[Tensor, "B t h w"]:
    for axis, few in enumerate(grid, 1):
        labels = labels.index_select(axis, _middles(labels.shape[axis], few).to(labels.device))
    return labels

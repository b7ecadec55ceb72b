"""Multi-scale temporal feature affinity: videos, clips and pixels weighted by how well neighbouring frames agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from segnoise.data.sample import IGNORE_INDEX
from segnoise.errors import UserError, nearest
from segnoise.methods.affinity import Affinity, within_class
from segnoise.methods.base import Batch, Context, Needs, Output, Supervision, Teacher
from segnoise.methods.frames import Frames, check_reference
from segnoise.methods.mixture import upper_of_two
from segnoise.methods.multiscale import MultiScale, check_fraction, first_choice

Rule = Literal["quantile", "mean", "mixture"]
Relabel = Literal["teacher", "self"]


class MSTFAL(MultiScale):
    """Labels are trusted as far as the features of a neighbouring frame vouch for them, at three scales.

    The affinity of :func:`segnoise.methods.affinity.temporal_affinity` gives every pixel of a frame P, Q and the
    confidence C = P + 1 - Q. From three moments of training on (``stages``, fractions of it) its means act:

    - **video**: the weight ``b = clip(lowest + 1.4 (r - 4/14), lowest, 1)``, where r in [0, 1] is the rank of a video's
      mean C, worst first. With ``lowest`` 0.4 this is the published table of fifteen videos, for any number of them;
    - **image**: the weight ``a = exp(scale (C_clip - C_all))``;
    - **pixel**: in the share ``worst`` of the videos, pixels that look wrong are given the class that ``relabel`` sees
      in them; there a = 1 and b = 0.7.

    The loss is ``a b`` times cross-entropy; with ``ohem`` that of the pixels whose loss is above -log 0.7, at least a
    sixteenth of them. A pixel looks wrong by ``rule``: among the lowest ``share`` of P *and* the highest of Q of its
    frame (``quantile``, which flags share^2 by chance), below the mean of P and above that of Q of all videos
    (``mean``), or more likely of the lower of two normal distributions of C (``mixture``). With ``normalise: class``
    P, Q and C are standardised within each labelled class before the pixel rule; videos and clips are always ranked by
    raw values. The means of a video are running means over training visits, so no pass over the data is needed.

    A pixel whose class the reference lacks has no confidence: it is never relabelled. It is made for sets of which some
    videos are bad throughout. C ranks videos and clips; what is reported as ``label_error`` is the network's own
    ``1 - p(label)``.

    Args:
        reference: the frame compared with: ``previous``, ``next``, ``both`` (the mean), ``same``, ``random``.
        step: how many frames away.
        stages: when the weights of videos, of clips, and relabelling set in.
        worst: share of the videos that are relabelled.
        rule, share, normalise, relabel: see above; ``relabel: teacher`` is an EMA teacher, ``self`` the network itself.
        scale, lowest: of the weights of clips and videos.
        ohem: the published loss, which prefers the very pixels whose labels may be wrong.
        stride: pixels of the image for one feature.
        axis: of the image that is time (0 in clips), or the one across the slices of volumes.

    Raises:
        UserError: for values outside these ranges, images without such an axis, clips of one frame.

    Source: MS-TFAL, MICCAI 2023. Published: ``reference: previous, rule: quantile, share: 0.3, normalise: raw,
    ohem: true``, with the best checkpoint on test frames in the place of the teacher.

    >>> from segnoise.methods import Objective
    >>> mask = torch.tensor([0, 1]).repeat(1, 2, 4, 2)  # a clip of two frames of 4 x 4
    >>> logits, features = torch.zeros(1, 2, 2, 4, 4), torch.rand(1, 8, 2, 4, 4)
    >>> objective = Objective([{"name": "ms_tfal", "stride": 1, "relabel": "self"}], num_classes=2)
    >>> objective.begin(sources=1)
    >>> result = objective(Output(logits, features=features), {"mask": mask, "index": torch.tensor([0])}, progress=0.1)
    >>> round(float(result.loss), 4), tuple(result.label_error.shape)
    (0.6931, (1, 2, 4, 4))
    """

    supplies = frozenset({"target", "weight"})

    def __init__(
        self,
        num_classes: int,
        reference: str = "previous",
        step: int = 1,
        stages: Sequence[float] = (0.12, 0.2, 0.28),
        worst: float = 0.2,
        rule: Rule = "quantile",
        share: float = 0.3,
        normalise: Literal["class", "raw"] = "class",
        relabel: Relabel = "teacher",
        scale: float = 2.0,
        lowest: float = 0.4,
        ohem: bool = False,
        stride: int = 8,
        axis: int = 0,
        decay: float = 0.995,
    ) -> None:
        super().__init__(stages, worst, scale, lowest, further=2)
        self.reference = check_reference(reference, "ms_tfal")
        for name, value, known in (
            ("rule", rule, get_args(Rule)), ("relabel", relabel, get_args(Relabel)),
            ("normalise", normalise, ("class", "raw")),
        ):  # fmt: skip
            if value not in known:
                raise UserError(f"method.{name}: ms_tfal knows no {value!r}; {nearest(str(value), known)}")
        check_fraction("share", share)
        for name, number in (("step", step), ("stride", stride)):
            if number < 1:
                raise UserError(f"method.{name}: {number} is less than 1")
        self.num_classes, self.step, self.rule, self.share = num_classes, step, rule, share
        self.normalise, self.relabel, self.ohem, self.stride, self.axis = normalise, relabel, ohem, stride, axis
        self.needs = Needs(teacher=Teacher(decay) if relabel == "teacher" else None, features=True, sources=True)

    def supervise(
        self, outputs: Sequence[Output], batch: Batch, supervision: list[Supervision], ctx: Context
    ) -> list[Supervision]:
        return [
            self._one(output, self._seen(output, batch, ctx), batch, given, ctx)
            for output, given in zip(outputs, supervision, strict=True)
        ]

    def observe(self, outputs: Sequence[Output], batch: Batch, supervision: list[Supervision], ctx: Context) -> None:
        _, found = self._seen(outputs[0], batch, ctx)
        self.remember((found.confidence, found.positive, found.negative), found.valid, batch, ctx)

    def _seen(self, output: Output, batch: Batch, ctx: Context) -> tuple[Frames, Affinity]:
        assert output.features is not None
        frames = Frames.of(output.features, batch["mask"], self.axis, self.stride, "ms_tfal")
        found = [frames.affinity(r, self.num_classes) for r in frames.references(self.reference, self.step, ctx.step)]
        return frames, _averaged(found)

    def _one(
        self, output: Output, seen: tuple[Frames, Affinity], batch: Batch, given: Supervision, ctx: Context
    ) -> Supervision:
        frames, found = seen
        weight, target = given.weight, given.target
        scale, relabelled = self.scales(found.confidence, found.valid, batch, ctx)
        if relabelled.any():
            wrong = self._looks_wrong(frames, found) & relabelled.view(-1, *(1,) * (weight.dim() - 1))
            belief = output.teacher_p if self.relabel == "teacher" else output.p
            assert belief is not None
            target = torch.where(wrong.unsqueeze(1), first_choice(belief), target)
        weight = weight * scale.view(-1, *(1,) * (weight.dim() - 1))
        if self.ohem:
            weight = weight * _hardest(-(target * output.log_p.detach()).sum(1), batch["mask"] != IGNORE_INDEX)
        return Supervision(target, weight)

    def _looks_wrong(self, frames: Frames, found: Affinity) -> Bool[Tensor, " B *S"]:
        """On the clip's own pixels: those that the rule takes for wrong."""
        p, q, c = found.positive, found.negative, found.confidence
        if self.normalise == "class":
            labels, valid = frames.labels.flatten(1), found.valid.flatten(1)
            p, q, c = (within_class(x.flatten(1), labels, valid, self.num_classes).view(x.shape) for x in (p, q, c))
        if self.rule == "quantile":
            low = _below(p, found.valid, self.share)
            wrong = low & _below(-q, found.valid, self.share)
        elif self.rule == "mean":
            about = [0.0, 0.0] if self.normalise == "class" else self.videos[self.videos[:, 0] > 0, 2:].mean(0).tolist()
            wrong = found.valid & (p < about[0]) & (q > about[1])
        else:
            wrong = (
                torch.stack([1 - upper_of_two(x, v) > 0.5 for x, v in zip(c, found.valid, strict=True)]) & found.valid
            )
        return frames.on_image(wrong.float().unsqueeze(2)).squeeze(1) > 0.5


def _averaged(found: Sequence[Affinity]) -> Affinity:
    """The mean over the references in which a pixel has an affinity."""
    if len(found) == 1:
        return found[0]
    valid = torch.stack([f.valid for f in found])
    count = valid.sum(0).clamp_min(1)
    p, q = (torch.stack([getattr(f, name) for f in found]).sum(0) / count for name in ("positive", "negative"))
    known = valid.any(0)
    return Affinity(p, q, torch.where(known, p + 1 - q, 0.0), known)


def _below(values: Float[Tensor, "B T h w"], valid: Bool[Tensor, "B T h w"], share: float) -> Bool[Tensor, "B T h w"]:
    """The lowest share of the valid pixels of each frame."""
    flat, known = values.flatten(2), valid.flatten(2)
    limit = torch.where(known, flat, math.nan).nanquantile(share, dim=2, keepdim=True)
    return (known & (flat <= limit)).view(values.shape)


def _hardest(loss: Float[Tensor, " B *S"], valid: Bool[Tensor, " B *S"]) -> Float[Tensor, " B *S"]:
    """Weights that make the mean of all valid pixels that of the hard ones: online hard example mining."""
    known = loss[valid]
    if not len(known):
        return torch.zeros_like(loss)
    least = max(len(known) // 16, 1)
    limit = min(-math.log(0.7), float(known.topk(least).values[-1]))
    kept = valid & (loss >= limit)
    return kept * (len(known) / kept.sum())

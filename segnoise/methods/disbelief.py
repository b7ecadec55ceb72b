"""Videos, clips and pixels weighed by what the network, and on request neighbouring frames, say of each label."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from segnoise.data.sample import IGNORE_INDEX
from segnoise.errors import UserError
from segnoise.methods.base import Batch, Context, Needs, Output, Supervision, Teacher
from segnoise.methods.frames import Frames, check_reference
from segnoise.methods.multiscale import MultiScale, check_fraction, first_choice


class Disbelief(MultiScale):
    """Like ``ms_tfal``, but labels are trusted as far as the network believes them, and on request the frames around.

    The belief of a pixel is ``q(k) ~ p(k)^(1 - vote) v(k)^vote``: p is what the network says, v what the labels of
    neighbouring frames say, counted by the likeness of features (:func:`segnoise.methods.affinity.soft_vote`), so that
    no label vouches for itself. The confidence is ``C = q(y)``. Its means act at three scales as in
    :class:`segnoise.methods.MSTFAL`: the weight of a video by its rank, that of a clip by ``exp(scale (C_clip -
    C_all))``, and in the share ``worst`` of the videos a pixel with ``q(y) < least`` gets the class that q puts first.

    ``label_error`` is ``1 - q(y)``, a score. With ``vote: 0`` it is the network's disbelief alone: no features are
    needed, and images will do as well as clips.

    Args:
        vote: how much the vote counts beside the network, in [0, 1].
        reference, step: which frames vote: ``previous``, ``next``, ``both`` (the mean), ``same``, ``random``; how far.
        stages: when the weights of videos, of clips, and relabelling set in, as fractions of training.
        worst: share of the videos that are relabelled.
        least: belief below which a label is replaced there.
        scale, lowest: of the weights of clips and videos.
        temperature: of the vote; the smaller, the fewer pixels decide.
        stride: pixels of the image for one feature.
        axis: of the image that is time (0 in clips), or the one across the slices of volumes.
        decay: of an EMA teacher that is asked in the place of the network; None asks the network itself.

    Raises:
        UserError: for values outside these ranges, and with a vote for images without such an axis or clips of one
            frame.

    Source: the scales are those of MS-TFAL, MICCAI 2023; the score is ours.

    >>> from segnoise.methods import Objective
    >>> mask = torch.tensor([0, 1]).repeat(1, 2, 4, 2)  # a clip of two frames of 4 x 4
    >>> logits = torch.zeros(1, 2, 2, 4, 4)
    >>> objective = Objective(["disbelief"], num_classes=2)
    >>> objective.begin(sources=1)
    >>> result = objective(logits, {"mask": mask, "index": torch.tensor([0])}, progress=0.1)
    >>> round(float(result.loss), 4), round(float(result.label_error.mean()), 4)
    (0.6931, 0.5)
    """

    supplies = frozenset({"target", "weight"})

    def __init__(
        self,
        num_classes: int,
        vote: float = 0.0,
        reference: str = "both",
        step: int = 1,
        stages: Sequence[float] = (0.12, 0.2, 0.28),
        worst: float = 0.5,
        least: float = 0.3,
        scale: float = 2.0,
        lowest: float = 0.4,
        temperature: float = 0.05,
        stride: int = 8,
        axis: int = 0,
        decay: float | None = None,
    ) -> None:
        super().__init__(stages, worst, scale, lowest)
        self.reference = check_reference(reference, "disbelief")
        check_fraction("vote", vote)
        check_fraction("least", least)
        for name, number in (("step", step), ("stride", stride)):
            if number < 1:
                raise UserError(f"method.{name}: {number} is less than 1")
        if not temperature > 0:
            raise UserError(f"method.temperature: {temperature} is not above 0")
        self.num_classes, self.vote, self.step, self.least = num_classes, vote, step, least
        self.temperature, self.stride, self.axis = temperature, stride, axis
        self.needs = Needs(teacher=None if decay is None else Teacher(decay), features=vote > 0, sources=True)

    def supervise(
        self, outputs: Sequence[Output], batch: Batch, supervision: list[Supervision], ctx: Context
    ) -> list[Supervision]:
        valid = batch["mask"] != IGNORE_INDEX
        result = []
        for output, given in zip(outputs, supervision, strict=True):
            belief = self._belief(output, batch, ctx)
            confidence = (belief * given.target).sum(1)
            scale, relabelled = self.scales(confidence, valid, batch, ctx)
            shape = (len(valid), *(1,) * (valid.dim() - 1))
            target = given.target
            if relabelled.any():
                wrong = relabelled.view(shape) & (confidence < self.least) & valid
                target = torch.where(wrong.unsqueeze(1), first_choice(belief), target)
            result.append(Supervision(target, given.weight * scale.view(shape), 1 - confidence, calibrated=False))
        return result

    def observe(self, outputs: Sequence[Output], batch: Batch, supervision: list[Supervision], ctx: Context) -> None:
        """Moves the means of the videos of this step by the confidence that ``supervise`` found."""
        valid = batch["mask"] != IGNORE_INDEX
        error = supervision[0].label_error
        if error is not None:
            self.remember((1 - error,), valid, batch, ctx)

    def _belief(self, output: Output, batch: Batch, ctx: Context) -> Float[Tensor, " B C *S"]:
        taught = output.teacher_p if self.needs.teacher is not None else None
        p = output.p if taught is None else taught
        if self.vote == 0:
            return p
        assert output.features is not None
        frames = Frames.of(output.features, batch["mask"], self.axis, self.stride, "disbelief")
        votes = [
            frames.vote(r, self.num_classes, self.temperature)
            for r in frames.references(self.reference, self.step, ctx.step)
        ]
        said = torch.stack(votes).mean(0)
        heard = frames.on_image(torch.where(said.sum(2, keepdim=True) > 0, said, 1 / self.num_classes))
        log_q = (1 - self.vote) * p.clamp_min(1e-6).log() + self.vote * heard.clamp_min(1e-3).log()
        return log_q.softmax(1)

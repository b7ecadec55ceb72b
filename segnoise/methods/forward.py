"""Forward correction: one confusion of classes for all pixels, given, told by held-out labels, or learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from segnoise.errors import UserError
from segnoise.methods.base import Batch, Channel, Context, Method, Needs, Output, Supervision
from segnoise.methods.confusion import given_confusion


class Forward(Method):
    """The likelihood of the given labels behind a confusion T, ``l = -log sum_k p_k T[k, y]``, ``T[k, y] = P(y | k)``.

    Its gradient is that of cross-entropy to the posterior ``tau_k = p_k T[k, y] / sum_j p_j T[j, y]``, which is the
    target here; ``1 - tau_y`` is the probability that the label is wrong. A learned T moves by ``-sum_k tau_k log
    T[k, y]``, whose gradient in T is that of the likelihood. That alone does not identify T, for a network that repeats
    wrong labels explains them as well as a T that makes them: hence ``volume``, which draws ``log |det T|`` down, or
    ``trace``, which draws the trace down; either asks for the noisiest T that explains the labels.

    It is the model of :class:`segnoise.methods.KMS` with one error rate everywhere: made for scattered errors whose
    classes tell their rate.

    Args:
        confusion: ``learned``; ``held_out``: one error rate, any other class alike, told by the given validation labels
            after each epoch (:class:`segnoise.methods.base.Channel`); or the matrix itself, a row a class.
        rate: the error rate that learning starts from.
        volume: weight of ``log |det T|``; published 1e-4.
        trace: weight of the trace of T; published 0.01.
        lr: the learning rate of a learned T, which the schedule does not change.

    Raises:
        UserError: for values outside these ranges, and for a matrix that is none of probabilities.

    Sources: Patrini et al., *Making deep neural networks robust to label noise: a loss correction approach*, CVPR 2017;
    Li et al., *Provably end-to-end label-noise learning without anchor points*, ICML 2021 (volume); Tanno et al.,
    *Learning from noisy labels by regularized estimation of annotator confusion*, CVPR 2019 (trace).

    >>> import torch
    >>> from segnoise.methods import Objective
    >>> logits, mask = torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long)
    >>> method = {"name": "forward", "confusion": [[0.6, 0.4], [0.0, 1.0]]}
    >>> result = Objective([method], num_classes=2)(logits, {"mask": mask})
    >>> float(result.target[0, 0, 0, 0])  # class 1 is never labelled 0
    1.0
    """

    evidence = "posterior"

    def __init__(
        self,
        num_classes: int,
        confusion: str | Sequence[Sequence[float]] = "learned",
        rate: float = 0.1,
        volume: float = 0.0,
        trace: float = 0.0,
        lr: float = 1e-2,
    ) -> None:
        super().__init__()
        if not 0 < rate < 1:
            raise UserError(f"method.rate: {rate} is not in (0, 1)")
        if min(volume, trace) < 0 or lr <= 0:
            raise UserError("method.volume and method.trace must not be negative, method.lr must be positive")
        if num_classes < 2:
            raise UserError("method forward: one class alone cannot be confused")
        self.volume, self.trace, self.lr = volume, trace, lr
        self._logits: nn.Parameter | None = None
        self._given: Tensor
        learned = confusion == "learned"
        if (volume or trace) and not learned:
            raise UserError("method.volume and method.trace: are for confusion: learned")
        if learned:
            apart = torch.full((num_classes, num_classes), rate / (num_classes - 1))
            self._logits = nn.Parameter(apart.fill_diagonal_(1 - rate).log())
        matrix = given_confusion(confusion, num_classes, ["learned", "held_out"])
        self.register_buffer("_given", torch.eye(num_classes) if matrix is None else matrix)
        self.needs = Needs(channel="uniform") if confusion == "held_out" else Needs()
        self.supplies = frozenset({"target", "regulariser"} if learned else {"target"})

    def confusion(self) -> Float[Tensor, "C C"]:
        """T, with gradient where it is learned."""
        return self._given if self._logits is None else self._logits.softmax(1)

    def calibrate(self, channel: Channel) -> None:
        if self.needs.channel is not None:
            self._given.copy_(torch.tensor(channel.confusion))

    def supervise(
        self, outputs: Sequence[Output], batch: Batch, supervision: list[Supervision], ctx: Context
    ) -> list[Supervision]:
        log_t = self.confusion().detach().log()
        classes = log_t.shape[0]
        valid = batch["mask"] < classes
        labels = torch.where(valid, batch["mask"], 0)
        reached = log_t.T[labels].movedim(-1, 1)  # log T[k, y] of every class k
        result = []
        for output, s in zip(outputs, supervision, strict=True):
            joint = output.log_p.detach() + reached
            possible = torch.isfinite(joint).any(1, keepdim=True)
            target = torch.where(possible, joint.softmax(1).nan_to_num(), s.target)
            wrong = 1 - target.gather(1, labels.unsqueeze(1)).squeeze(1)
            result.append(replace(s, target=target, label_error=wrong.clamp(0, 1), calibrated=True))
        return result

    def regularise(
        self, outputs: Sequence[Output], batch: Batch, supervision: list[Supervision], ctx: Context
    ) -> dict[str, Tensor]:
        if self._logits is None:
            return {}
        t = self.confusion()
        valid = batch["mask"] < t.shape[0]
        labels = torch.where(valid, batch["mask"], 0)
        reached = t.log().T[labels].movedim(-1, 1)
        likelihood = torch.stack([ctx.mean(-(s.target * reached).sum(1), valid) for s in supervision]).sum()
        terms = {"confusion": likelihood}
        share = ctx.mean(torch.ones_like(labels, dtype=t.dtype), valid)  # of the pixels of the step that are here
        if self.volume:
            terms["volume"] = share * self.volume * torch.linalg.slogdet(t).logabsdet
        if self.trace:
            terms["trace"] = share * self.trace * t.trace()
        return terms

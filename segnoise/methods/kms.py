"""The spatially correlated label-error model in training: targets corrected by the posterior of a KMS field."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from segnoise.errors import UserError, nearest
from segnoise.kms import kms_posterior, label_log_odds, mean_logit, published_log_odds, published_posterior, soft_target
from segnoise.kms.error_map import LEAST_RATE, USUAL_MEAN
from segnoise.length import length_of
from segnoise.methods.base import (
    Batch,
    Channel,
    Confusion,
    Context,
    Gate,
    Memory,
    Method,
    Needs,
    Output,
    Supervision,
    Teacher,
    risen,
)
from segnoise.methods.confusion import given_confusion

_SOLVERS = {"exact": kms_posterior, "elbo": published_posterior}


class KMS(Method):
    """Label errors follow a Gaussian field with Kac-Murdock-Szego covariance; the clean label is summed out.

    The logit of a label's error rate is ``eta ~ N(mu, sigma^2 kron_a R(rho_a))``, ``R(rho)_ij = rho^|i-j|``. With
    the evidence ``A_i = log(w_i / p_i(y_i))``, ``w_i = (1 - p_i(y_i)) / (C - 1)``, the field's posterior gives
    ``pi_i = P(label i is wrong)``; the target becomes ``(1 - lambda) e_y + lambda tau`` with
    ``tau(y) = 1 - pi`` and ``tau(k) = pi p(k) / (1 - p(y))``. lambda is 0 until ``start`` and then rises to 1 over
    ``ramp`` (fractions of training): what the network has not learnt yet looks like a label error, so it is asked
    late, and the given labels lose their say gradually.

    A network that learns from wrong labels is far less sure than it is right. So the given validation labels tell,
    after each epoch, by which temperature its logits are to be divided and how often the labels of each class are wrong
    (:class:`segnoise.methods.base.Channel`). With that confusion K the evidence is
    ``A_i = log sum_{k != y} p(k) K[k, y] - log p(y) K[y, y] - logit(rate)``, ``tau(k)`` is proportional to
    ``p(k) K[k, y]``, and mu is such that ``E[sigmoid(eta)]`` is the share of wrong labels. Where hardly any are wrong,
    hardly any is corrected.

    In training the probabilities p are a temporal ensemble: from the first step on, each visit of a pixel mixes what
    the network says with what it said before, ``p <- ensemble p_before + (1 - ensemble) p_now``, so that no single
    crop, turn or moment decides, and no second forward pass is needed; only on a pixel's first visit does the present
    word stand alone. Without a memory (an audit, a loop of one's own, ``ensemble`` 0) they are the EMA teacher's.

    It is made for heavy, coherent errors that have nothing to do with the image and that the network would learn by
    heart; docs/results.md has what it was measured to do. It does not help where boundaries are displaced or objects
    are missing: there the errors are one-sided and the network agrees with them.

    Args:
        rho: correlation of neighbouring pixels along each axis of the source, or one for all; in [0, 1).
        length: replaces rho: the distance over which correlation falls to 1/e, such as 30m on maps, 2mm in volumes or
            9px; ``rho = exp(-spacing / length)`` along each axis.
        mu, sigma: mean and standard deviation of the field; without ``mu`` the mean follows from the share of wrong
            labels, and is -2 where nothing is known of it.
        start, ramp: when the correction sets in, as fractions of training.
        calibrate: learn the temperature from the validation labels, and the confusion where it is not given.
        confusion: what is assumed of P(label | class): ``uniform``, one error rate and any other class alike;
            ``learned``, a rate for each pair of classes, which finds missing objects but takes displaced outlines for
            missing ones; or the matrix itself, a row a class.
        ensemble: share of what was said before, in [0, 1); 0 keeps no memory.
        decay: of the EMA teacher.
        peers: train two networks, each corrected by what the other one says, so that none confirms itself; they predict
            with the mean of their probabilities.
        gate: from ``start`` on go on twice, with the correction and without, and keep what explains the given
            validation labels better (:class:`segnoise.methods.base.Gate`); training takes ``2 - start`` times as long.
        steps: iterations of the E-step.
        cap: bound on ``|A|``.
        variant: ``exact``, or ``elbo``: the published bound, in which pi is the error rate around the pixel and a wrong
            label is any other class alike (:func:`segnoise.kms.published_posterior`; it wants more steps).

    Raises:
        UserError: for values outside these ranges.

    Source: Tadokoro, Takagi and Maeda, *A Bayesian approach to segmentation with noisy labels via spatially
    correlated distributions*, arXiv 2504.14795 (the model); here the exact marginal replaces its bound. Laine and
    Aila, *Temporal ensembling for semi-supervised learning*, ICLR 2017 (the memory).

    >>> import torch
    >>> from segnoise.methods import Objective, Output
    >>> logits = torch.tensor([4.0, -4.0]).reshape(1, 2, 1, 1).expand(1, 2, 8, 8)
    >>> mask = torch.zeros(1, 8, 8, dtype=torch.long)
    >>> mask[:, :, 4:] = 1
    >>> result = Objective(["kms"], num_classes=2)(Output(logits, teacher=logits.softmax(1)), {"mask": mask})
    >>> bool(result.label_error[0, 4, 7] > 0.9), bool(result.label_error[0, 4, 0] < 0.1)
    (True, True)
    """

    supplies = frozenset({"target"})
    evidence = "posterior"

    def __init__(
        self,
        num_classes: int,
        rho: float | Sequence[float] = 0.9,
        length: str | None = None,
        mu: float | None = None,
        sigma: float = 1.3133,
        start: float = 0.5,
        ramp: float = 0.5,
        calibrate: bool = True,
        confusion: str | Sequence[Sequence[float]] = "uniform",
        ensemble: float = 0.7,
        decay: float = 0.995,
        peers: bool = False,
        gate: bool = False,
        steps: int = 6,
        cap: float = 8.0,
        variant: str = "exact",
    ) -> None:
        super().__init__()
        if variant not in _SOLVERS:
            raise UserError(f"method.variant: {nearest(str(variant), _SOLVERS)}")
        rhos = [rho] if isinstance(rho, int | float) else list(rho)
        if not rhos or not all(0 <= r < 1 for r in rhos):
            raise UserError(f"method.rho: {rho} is not in [0, 1)")
        if sigma <= 0 or cap <= 0 or steps < 1:
            raise UserError("method.sigma, method.cap and method.steps: must be positive")
        if not (0 <= start <= 1 and 0 <= ramp <= 1):
            raise UserError("method.start and method.ramp: must lie in [0, 1]")
        if not 0 <= decay < 1:
            raise UserError(f"method.decay: {decay} is not in [0, 1)")
        if not 0 <= ensemble < 1:
            raise UserError(f"method.ensemble: {ensemble} is not in [0, 1)")
        for name, value in (("peers", peers), ("gate", gate), ("calibrate", calibrate)):
            if not isinstance(value, bool):
                raise UserError(f"method.{name}: {value!r} is neither true nor false")
        self.rho = (rhos[0],) if len(set(rhos)) == 1 else tuple(rhos)
        self.length = None if length is None else length_of("kms", "length", length)
        if self.length is not None and not self.length.value > 0:
            raise UserError(f"method.length: {length} must be longer than nothing")
        self.mu, self.sigma, self.start, self.ramp = mu, sigma, start, ramp
        self.ensemble, self.steps, self.cap, self.variant = ensemble, steps, cap, variant
        given = given_confusion(confusion, num_classes, ["uniform", "learned"])
        assumed: Confusion = tuple(map(tuple, given.tolist())) if given is not None else confusion  # type: ignore[assignment]
        networks = 2 if peers else 1
        memory = {"evidence": Memory(networks * num_classes)} if ensemble else {}
        gated = Gate(start) if gate else None
        self.needs = Needs(Teacher(decay), memory, gated, assumed if calibrate else None, networks)
        self._temperature: Tensor
        self._confusion: Tensor
        self._shares: Tensor
        self.register_buffer("_temperature", torch.ones(()))
        self.register_buffer("_confusion", torch.full((num_classes, num_classes), math.nan) if given is None else given)
        self.register_buffer("_shares", torch.full((num_classes,), 1 / num_classes))

    def strength(self, progress: float) -> float:
        """lambda at this point of training."""
        return risen(progress, self.start, self.ramp)

    def calibrate(self, channel: Channel) -> None:
        if self.needs.channel is not None:
            self._temperature.fill_(channel.temperature)
            self._confusion.copy_(torch.tensor(channel.confusion))
            self._shares.copy_(torch.tensor(channel.shares))

    @property
    def channel(self) -> Channel | None:
        """What is known of the labels: what held-out ones said last, or the confusion that was given."""
        if bool(self._confusion.isnan().any()):
            return None
        confusion, shares = self._confusion.tolist(), self._shares.tolist()
        return Channel(float(self._temperature), tuple(map(tuple, confusion)), tuple(shares))

    def supervise(
        self, outputs: Sequence[Output], batch: Batch, supervision: list[Supervision], ctx: Context
    ) -> list[Supervision]:
        strength = self.strength(ctx.progress)
        if strength == 0 or (ctx.plain and self.needs.gate is not None):
            return supervision
        channel, result = self.channel, []
        rate = None if channel is None else min(max(channel.rate, LEAST_RATE), 0.5)
        confusion = None if channel is None else torch.tensor(channel.confusion)
        evidence = self._evidence(outputs, batch, ctx)
        if self.needs.networks == 2:
            evidence.reverse()
        for said, s in zip(evidence, supervision, strict=True):
            log_p = said.clamp_min(1e-12).log()
            if channel is not None:
                log_p = (log_p / channel.temperature).log_softmax(1)
            valid = batch["mask"] < log_p.shape[1]
            labels = torch.where(valid, batch["mask"], 0)
            published = self.variant == "elbo"
            if published:
                log_odds = published_log_odds(log_p, labels)
            else:
                log_odds = label_log_odds(log_p, labels, confusion, rate)
            p_wrong = self._posterior(log_odds, valid, self._mean(rate), batch)
            if published:
                corrected = soft_target(torch.zeros_like(log_p), labels, p_wrong)
            else:
                corrected = soft_target(log_p, labels, p_wrong, confusion)
            target = torch.lerp(s.target, corrected, strength)
            result.append(replace(s, target=target, label_error=p_wrong, calibrated=True))
        return result

    def observe(self, outputs: Sequence[Output], batch: Batch, supervision: list[Supervision], ctx: Context) -> None:
        memory = ctx.memory.get("evidence")
        if memory is not None:
            said = self._evidence(outputs, batch, ctx)
            memory.write(batch, torch.cat(said, 1) if self.needs.networks == 2 else torch.stack(said).mean(0))

    def _evidence(self, outputs: Sequence[Output], batch: Batch, ctx: Context) -> list[Float[Tensor, " B C *S"]]:
        """Each network's probabilities mixed with those before, or its teacher's where there is no memory."""
        memory = ctx.memory.get("evidence")
        if memory is None:
            taught = [output.teacher_p for output in outputs]
            if any(p is None for p in taught):
                raise UserError("kms needs a teacher: pass Output(logits, teacher=probabilities of an EMA model)")
            return [p for p in taught if p is not None]
        kept = memory.read(batch)
        before = kept.chunk(2, 1) if self.needs.networks == 2 else [kept] * len(outputs)
        return [self._mixed(output.p, b) for output, b in zip(outputs, before, strict=True)]

    def _mixed(self, p: Float[Tensor, " B C *S"], before: Float[Tensor, " B C *S"]) -> Float[Tensor, " B C *S"]:
        total = before.sum(1, keepdim=True)  # near 1, or 0 where nothing was written yet
        return torch.where(total > 0, torch.lerp(p, before / total.clamp_min(0.5), self.ensemble), p)

    def _mean(self, rate: float | None) -> float:
        """mu of the field."""
        if self.mu is not None:
            return self.mu
        return USUAL_MEAN if rate is None else mean_logit(rate, self.sigma)

    def _posterior(
        self, log_odds: Float[Tensor, " B *S"], valid: Tensor, mu: float, batch: Batch
    ) -> Float[Tensor, " B *S"]:
        """P(label wrong), the crops of one geometry together."""
        options: dict[str, Any] = {"mu": mu, "sigma": self.sigma, "steps": self.steps, "cap": self.cap}
        solve = _SOLVERS[self.variant]
        correlations = self._correlations(batch, len(log_odds), log_odds.dim() - 1)
        kinds = torch.unique(correlations, dim=0)
        if len(kinds) == 1:
            return solve(log_odds, tuple(kinds[0].tolist()), valid=valid, **options).p_wrong
        p_wrong = torch.empty_like(log_odds)
        for rho in kinds:
            rows = (correlations == rho).all(1).to(log_odds.device)
            p_wrong[rows] = solve(log_odds[rows], tuple(rho.tolist()), valid=valid[rows], **options).p_wrong
        return p_wrong

    def _correlations(self, batch: Batch, crops: int, axes: int) -> Float[Tensor, " B N"]:
        """Of neighbours along the axes of each crop; those of the source, permuted where the crop is turned."""
        if self.length is None:
            if len(self.rho) not in (1, axes):
                raise UserError(f"method.rho: {len(self.rho)} correlations for {axes} axes")
            rho = torch.tensor(self.rho, dtype=torch.float64).expand(axes)
            order = batch.get("orientation", torch.arange(1, axes + 1)).cpu().abs() - 1
            return rho[order.expand(crops, axes)]
        spacing = torch.ones(crops, axes) if self.length.unit == "px" else batch.get("spacing")
        if spacing is None or not bool((spacing > 0).all()):
            raise UserError(f"method.length: {self.length}, but the size of the pixels is unknown; give it in px")
        return (-spacing.cpu().double() / self.length.value).exp()

"""The contract of a method: how supervision is made from the networks' outputs and the given labels.

A method may *retarget*, *reweight*, *regularise* or replace the loss. It is a module (so its parameters and buffers are
saved), pure except in its own buffers, and never touches files, devices, gradients or the optimiser. Notation, per
pixel i: logits z, p = softmax(z), given label y, target tau (sums to 1), weight w, label known v in {0, 1}.
The loss that the objective makes of it is

    L = sum_i w_i (- sum_k tau_ik log p_ik) / sum_i v_i + regularisers.

The normaliser counts valid labels, not weights: a weight of 0 removes a pixel's gradient and changes no other. Where a
method supplies a loss of its own, that stands in the place of cross-entropy, or, for whole images, of the first term.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Literal, Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

Batch = dict[str, Any]


@dataclass(frozen=True)
class Teacher:
    """A copy of the network whose weights are an exponential moving average of the student's.

    After step s the average moves with ``min(decay, (1 + s) / (10 + s))``: it spans about the last tenth of the steps
    so far, at most ``1 / (1 - decay)`` of them. Floating buffers are averaged too.
    """

    decay: float = 0.995


@dataclass(frozen=True)
class Memory:
    """A wish to keep ``channels`` values for every pixel of the training sources, in half precision."""

    channels: int


class PixelMemory(Protocol):
    """Values per pixel of the training sources that last from visit to visit; 0 where nothing was written yet.

    They are kept in the source's own geometry: ``window`` and ``orientation`` of the batch say where a crop lies.
    """

    def read(self, batch: Batch) -> Float[Tensor, " B K *S"]:
        """What is known of the batch's pixels, turned as the batch is turned."""
        ...

    def write(self, batch: Batch, values: Float[Tensor, " B K *S"]) -> None:
        """Replaces it; where crops overlap the last in the order of ranks and samples stays."""
        ...


@dataclass(frozen=True)
class Gate:
    """A wish to be proved useful: from ``start`` (a fraction of training) on, the loop goes on twice from the same
    weights, with the method and, ``Context.plain``, without what it does; the continuation that explains the given
    validation labels better, allowing for wrong ones, is kept.
    """

    start: float


Confusion = Literal["uniform", "learned"] | tuple[tuple[float, ...], ...]
"""What is assumed of ``P(label | class)``."""


@dataclass(frozen=True)
class Channel:
    """What held-out given labels say of the network and of themselves.

    The true class has the probabilities ``softmax(logits / temperature)`` and the share ``shares[k]`` of the pixels,
    and its label is l with probability ``confusion[k][l]``. A network that learnt from labels of which 40 % are wrong
    is hardly surer than 0.6 of anything, and right much more often: its temperature is far below 1.

    >>> round(Channel(0.5, ((1.0, 0.0), (0.3, 0.7)), (0.8, 0.2)).rate, 2)
    0.06
    """

    temperature: float
    confusion: tuple[tuple[float, ...], ...]
    shares: tuple[float, ...]

    @property
    def rate(self) -> float:
        """The share of wrong labels."""
        return sum(share * (1 - row[k]) for k, (share, row) in enumerate(zip(self.shares, self.confusion, strict=True)))


@dataclass(frozen=True)
class Needs:
    """What a method asks the training loop (or the caller of the objective) to provide.

    ``channel``: to be told (:meth:`Method.calibrate`) after each validation, with a confusion that is ``uniform`` (one
    error rate, any other class alike), ``learned``, or given as a matrix. A method must work without its memories and
    without a channel: an audit, an evaluation and a loop of one's own may have none. ``networks``: how many are trained
    on the same batches, from initialisations of their own; they predict with the mean of their probabilities.
    ``features``: those of each network before its last layer, in ``Output.features``. ``sources``: to be told
    (:meth:`Method.begin`) before training how many sources there are; ``batch["index"]`` says which one a sample is of.
    """

    teacher: Teacher | None = None
    memory: Mapping[str, Memory] = field(default_factory=dict)
    gate: Gate | None = None
    channel: Confusion | None = None
    networks: int = 1
    features: bool = False
    sources: bool = False


@dataclass(frozen=True)
class Output:
    """What one network says about a batch.

    Args:
        logits: class scores before the softmax, ``B C *S``.
        teacher: probabilities of the teacher on the same input, ``B C *S``, or a function that computes them
            (then a step in which no method looks at the teacher does not pay for it).
        features: of the network before its last layer, ``B D *G``, on a grid that covers the image and may be coarser.
    """

    logits: Float[Tensor, " B C *S"]
    teacher: Float[Tensor, " B C *S"] | Callable[[], Float[Tensor, " B C *S"]] | None = None
    features: Float[Tensor, " B D *G"] | None = None

    @cached_property
    def log_p(self) -> Float[Tensor, " B C *S"]:
        """log softmax of the logits, float32, with gradient; an ordinary tensor, whatever kind the logits are of."""
        return self.logits.as_subclass(Tensor).float().log_softmax(1)  # type: ignore[attr-defined, no-any-return]

    @cached_property
    def p(self) -> Float[Tensor, " B C *S"]:
        """Probabilities without gradient: what methods use as evidence."""
        return self.log_p.detach().exp()

    @cached_property
    def teacher_p(self) -> Float[Tensor, " B C *S"] | None:
        """The teacher's probabilities, float32, without gradient."""
        p = self.teacher() if callable(self.teacher) else self.teacher
        return None if p is None else p.detach().as_subclass(Tensor).float()  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Supervision:
    """What one network is told: soft targets, weights, and the probability that each given label is wrong.

    ``target`` ``B C *S`` sums to 1 over classes where the label is valid and is 0 elsewhere; ``weight`` ``B *S``
    is >= 0 and 0 where the label is not valid; ``label_error`` ``B *S`` in [0, 1] or None; ``calibrated`` says
    whether it is meant as a probability or as a score.
    """

    target: Float[Tensor, " B C *S"]
    weight: Float[Tensor, " B *S"]
    label_error: Float[Tensor, " B *S"] | None = None
    calibrated: bool = False

    def reweight(self, g: Callable[[Tensor], Tensor], output: Output) -> Supervision:
        """The weight g(p_y) on cross-entropy, for any loss that depends on p_y alone; works on soft targets too.

        With target tau the weight is ``sum_k tau_k g(p_k)`` and the new target ``tau_k g(p_k)`` over that sum:
        the gradient of ``sum_k tau_k l(k)``.
        """
        product = self.target * g(output.p)
        share = product.sum(1)
        target = torch.where((share > 0).unsqueeze(1), product / share.clamp_min(1e-30).unsqueeze(1), self.target)
        return replace(self, target=target, weight=self.weight * share)


@dataclass(frozen=True)
class Context:
    """Where training stands.

    Args:
        progress: fraction of the planned optimiser steps already done, in [0, 1].
        step: number of optimiser steps done.
        n_valid: valid labels of the whole optimiser step over all ranks; None means those of the batch at hand.
        n_images: images of the whole optimiser step over all ranks; None means those of the batch at hand.
        world: number of data-parallel ranks (whose gradients are averaged).
        memory: the memories that methods asked for, by name; empty outside training.
        over_ranks: the sum of a tensor over all ranks.
        plain: this is the continuation without the methods that asked for a :class:`Gate`.
    """

    progress: float = 1.0
    step: int = 0
    n_valid: float | None = None
    n_images: int | None = None
    world: int = 1
    memory: Mapping[str, PixelMemory] = field(default_factory=dict)
    over_ranks: Callable[[Tensor], Tensor] = lambda values: values
    plain: bool = False

    def mean(self, values: Float[Tensor, " B *S"], valid: Bool[Tensor, " B *S"]) -> Float[Tensor, ""]:
        """The mean over the valid pixels of the whole step, so that ranks and micro-batches add up exactly."""
        total = float(valid.sum()) if self.n_valid is None else self.n_valid
        return self.world * torch.where(valid, values, 0.0).sum() / max(total, 1.0)

    def mean_images(self, values: Float[Tensor, " B"]) -> Float[Tensor, ""]:
        """The mean over the images of the whole step."""
        return self.world * values.sum() / (self.n_images or max(len(values), 1))


def risen(progress: float, start: float, over: float) -> float:
    """How far something has risen that is 0 until ``start`` and then rises to 1 over a fraction of training.

    >>> risen(0.5, 0.4, 0.2), risen(0.3, 0.4, 0.2), risen(0.4, 0.4, 0.0)
    (0.5, 0.0, 1.0)
    """
    if over == 0:
        return float(progress >= start)
    return min(max((progress - start) / over, 0.0), 1.0)


class Method(nn.Module):
    """A way to learn from imperfect labels. Subclasses override the hooks they need.

    Class attributes: ``needs`` (what must be provided), ``supplies`` (subset of ``target``, ``weight``, ``loss``,
    ``regulariser``; composition rules read only this), ``evidence``: ``"posterior"`` if the target is a posterior
    over the true class, ``"self"`` if the weight depends on the network's own probabilities (the two together
    would use the same evidence twice and are refused), ``lr``: the learning rate of the method's own parameters, which
    the schedule does not change and no weight decay pulls at.
    """

    needs: Needs = Needs()
    supplies: frozenset[str] = frozenset()
    evidence: ClassVar[str | None] = None
    lr: float = 1e-3

    def supervise(
        self, outputs: Sequence[Output], batch: Batch, supervision: list[Supervision], ctx: Context
    ) -> list[Supervision]:
        """New supervision, one per network. Results are detached and masked to valid labels by the objective."""
        return supervision

    def regularise(
        self, outputs: Sequence[Output], batch: Batch, supervision: list[Supervision], ctx: Context
    ) -> dict[str, Tensor]:
        """Named scalars added to the loss, already averaged with ``ctx.mean`` or ``ctx.mean_images``."""
        return {}

    def loss(
        self, output: Output, supervision: Supervision, valid: Bool[Tensor, " B *S"]
    ) -> Float[Tensor, " B *S"] | Float[Tensor, " B"]:
        """Where ``loss`` is supplied: the loss of each pixel, to be weighted, or of each image, weights included.

        It takes soft targets, and is finite for any finite logits, also of an image without a valid label.
        """
        raise NotImplementedError(f"{type(self).__name__} supplies no loss")

    def observe(self, outputs: Sequence[Output], batch: Batch, supervision: list[Supervision], ctx: Context) -> None:
        """After the loss of a training batch, without gradient: the only place to write what lasts."""

    def begin(self, sources: int) -> None:
        """Before training, where ``needs.sources``: how many there are. A resumed training calls it, too."""

    def calibrate(self, channel: Channel) -> None:
        """After a validation, where ``needs.channel``: to be kept in buffers, so that it is saved with the weights."""


@dataclass(frozen=True)
class Terms:
    """The parts of a loss, for the log: the supervised term and each regulariser, without gradient."""

    supervised: Tensor
    regularisers: dict[str, Tensor] = field(default_factory=dict)

"""Labels of whole images, slices or volumes as supervision of their pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from segnoise.data.sample import IGNORE_INDEX
from segnoise.errors import UserError, nearest
from segnoise.methods import pooling as pool
from segnoise.methods.base import Batch, Context, Method, Output, Supervision
from segnoise.methods.pooling import Pooling, one_vs_rest


class ImageLevelLabels(Method):
    """Learns pixels from what is said of whole images: class k is in it (1), is not (0), or nobody knows (nan).

    ``batch["labels"]`` ``B C`` speaks of images and volumes, ``batch["slice_labels"]`` ``B C Z`` of slices of volumes
    across their last axis; both may be absent, and the background is left nan. Added to the loss are

    - the binary cross-entropy of each known label to the pooled log-odds ``u_ik = log p_ik - log(1 - p_ik)`` of its
      pixels (:mod:`segnoise.methods.pooling`), averaged over all known labels of the step;
    - ``absent`` times the mean of ``-log(1 - sum_{k absent} p_ik)`` over pixels without a label of their own whose
      image or slice lacks a class. It is no guess: what an image lacks, each pixel lacks, and where all classes but the
      background are absent this is the cross-entropy of a mask that is background throughout. It is added here, not
      given as a target, because a target counts among the labels of pixels, of which there is none;
    - with ``area = (least, largest)``, ``area_weight`` times the squared hinge ``[least - a]_+^2 + [a - largest]_+^2``
      of the share ``a = mean_i p_ik`` that a present class takes, averaged over present classes;
    - in volumes, ``smooth`` times the mean of ``sum_k |p_zk - p_{z+1,k}| / 2`` over neighbours across slices, in
      volumes of which anything is known.

    Only observed pixels count. An unknown label changes nothing, nor does an image of which nothing is known. A crop
    may miss what its image holds: there 1 has to become nan, while 0 holds. Pixels with labels of their own keep their
    loss, and every other method works beside this one. How well *images* are told apart says little: ``lse`` and
    ``noisy_or`` can do it by one tell-tale pixel an image. Judge them on pixels.

    In a step made of micro-batches, ``Context.over_ranks`` has to give the sum of :meth:`counts` over them, too.

    Args:
        pooling: ``top_q``, ``lse``, ``noisy_or`` or ``mean``.
        r: sharpness of ``lse``, 0 (the mean) to infinity (the largest); 4 to 10 for slices.
        q: the least share of an image that a present class is thought to cover, in (0, 1]: what ``top_q`` averages, and
            what counts as one trial in ``noisy_or``.
        weight, absent, smooth: weights of the terms; 0 leaves one out. Small networks without normalisation layers fell
            to background everywhere with ``absent`` 1, hardly with 0.2.
        area: least and largest share of a present class, or None.
        area_weight: weight of the hinge.

    Raises:
        UserError: for values outside these ranges; for labels of another shape, or other than 0, 1 and nan; for an
            image that lacks every class; for ``smooth`` with images that are no volumes.

    Sources: with the poolings; Kervadec et al., *Constrained-CNN losses for weakly supervised segmentation*, Medical
    Image Analysis 2019 (hinge).

    >>> from segnoise.methods import Objective
    >>> mask, logits = torch.full((2, 4, 4), 255), torch.zeros(2, 2, 4, 4)
    >>> labels = torch.tensor([[math.nan, 1.0], [math.nan, 0.0]])
    >>> result = Objective(["image_labels"], num_classes=2)(logits, {"mask": mask, "labels": labels})
    >>> {name: round(float(value), 4) for name, value in result.terms.regularisers.items()}  # log 2 and a fifth
    {'image_labels': 0.6931, 'absent': 0.1386}
    """

    supplies = frozenset({"regulariser"})

    def __init__(
        self,
        num_classes: int,
        pooling: Pooling = "top_q",
        r: float = 5.0,
        q: float = 0.05,
        weight: float = 1.0,
        absent: float = 0.2,
        area: Sequence[float] | None = None,
        area_weight: float = 5.0,
        smooth: float = 0.0,
    ) -> None:
        super().__init__()
        if num_classes < 2:
            raise UserError("method image_labels: one class alone is everywhere")
        if pooling not in get_args(Pooling):
            raise UserError(
                f"method.pooling: there is no pooling {pooling!r}; {nearest(str(pooling), get_args(Pooling))}"
            )
        if not r >= 0:
            raise UserError(f"method.r: {r} is not in [0, inf]")
        if not 0 < q <= 1:
            raise UserError(f"method.q: {q} is not in (0, 1]")
        for name, value in (("weight", weight), ("absent", absent), ("area_weight", area_weight), ("smooth", smooth)):
            if not 0 <= value < math.inf:
                raise UserError(f"method.{name}: {value} is not a weight of 0 or more")
        self.num_classes, self.pooling, self.r, self.q = num_classes, pooling, r, q
        self.weight, self.absent, self.area_weight, self.smooth = weight, absent, area_weight, smooth
        self.area = None if area is None else _shares(area)

    def counts(self, batch: Batch) -> Float[Tensor, " 4"]:
        """What the terms are averaged over: known labels, present classes, pixels that lack a class, neighbours."""
        return _read(batch, self.num_classes).counts

    def regularise(
        self, outputs: Sequence[Output], batch: Batch, supervision: list[Supervision], ctx: Context
    ) -> dict[str, Tensor]:
        if self.smooth and batch["mask"].dim() != 4:
            raise UserError(
                f"method.smooth: is for volumes, but the images have {batch['mask'].dim() - 1} axes; leave it at 0"
            )
        told = _read(batch, self.num_classes)
        share = ctx.world / ctx.over_ranks(told.counts).clamp_min(1)  # asked by every rank, whatever it was told
        terms = torch.stack([self._terms(output.log_p, told) for output in outputs]).sum(0) * share
        weights = {
            "image_labels": self.weight,
            "area": self.area_weight if self.area else 0.0,
            "absent": self.absent,
            "smoothness": self.smooth,
        }
        return {name: w * term for (name, w), term in zip(weights.items(), terms, strict=True) if w}

    def _terms(self, log_p: Float[Tensor, " B C *S"], told: _Told) -> Float[Tensor, " 4"]:
        """The sums of the four terms over what they count, in the order of ``counts``."""
        zero = log_p.new_zeros(())
        label, area, absent, smooth = zero, zero, zero, zero
        u = one_vs_rest(log_p) if self.weight and told.bags else log_p
        for bags in told.bags:
            if self.weight:
                score = self._pool(bags.of(u), bags.seen)
                label = label + binary_cross_entropy_with_logits(score, bags.labels, reduction="sum")
            if self.area:
                least, largest = self.area
                share = pool.mean(bags.of(log_p).exp(), bags.seen)[bags.labels == 1]
                area = area + ((least - share).relu().square() + (share - largest).relu().square()).sum()
        if self.absent and told.absent is not None:
            left = log_p.masked_fill(told.absent, -math.inf).logsumexp(1)  # log(1 - sum of what is absent)
            absent = -left[told.lacking].sum()
        if self.smooth:
            p = log_p.exp()
            smooth = (p[..., 1:] - p[..., :-1]).abs().sum(1)[told.neighbours].sum() / 2
        return torch.stack([label, area, absent, smooth])

    def _pool(self, u: Float[Tensor, "M N"], seen: Bool[Tensor, "M N"]) -> Float[Tensor, " M"]:
        if self.pooling == "lse":
            return pool.lse(u, seen, self.r)
        if self.pooling == "top_q":
            return pool.top_q(u, seen, self.q)
        if self.pooling == "noisy_or":
            return pool.noisy_or(u, seen, self.q)
        return pool.mean(u, seen)


@dataclass(frozen=True)
class _Bags:
    """The bags of which something is known: for each of M pairs of a bag and a class its label and seen pixels."""

    known: Bool[Tensor, " B C"] | Bool[Tensor, " B C Z"]
    labels: Float[Tensor, " M"]
    seen: Bool[Tensor, "M N"]

    def of(self, x: Float[Tensor, " B C *S"]) -> Float[Tensor, "M N"]:
        """The pixels of these bags."""
        return _bagged(x, self.known.dim() == 3)[self.known]


@dataclass(frozen=True)
class _Told:
    """What the labels of a batch say, whatever the network says.

    ``absent``: the classes that a pixel's image or slice lacks, to be broadcast; ``lacking``: the seen pixels without a
    label of their own for which there are any; ``neighbours``: the pairs of seen voxels next to each other across
    slices, in volumes of which anything is known.
    """

    bags: list[_Bags]
    absent: Bool[Tensor, " B C *S"] | None
    lacking: Bool[Tensor, " B *S"]
    neighbours: Bool[Tensor, " B *S"]

    @property
    def counts(self) -> Float[Tensor, " 4"]:
        none = self.lacking.new_zeros((), dtype=torch.float32)
        known = sum((bags.known.sum() for bags in self.bags), none)
        present = sum((bags.labels.sum() for bags in self.bags), none)
        return torch.stack([known, present, self.lacking.sum(), self.neighbours.sum()])


def _read(batch: Batch, num_classes: int) -> _Told:
    mask: Tensor = batch["mask"]
    n, axes = len(mask), mask.dim() - 1
    seen = batch.get("observed")
    if seen is None or seen.shape != mask.shape:  # a label grid of its own, such as a map of patches
        seen = torch.ones_like(mask, dtype=torch.bool)
    bags: list[_Bags] = []
    absent: Tensor | None = None
    anything = torch.zeros_like(seen[(slice(None),) + (0,) * axes])
    for key, slices in (("labels", False), ("slice_labels", True)):
        if (given := batch.get(key)) is None:
            continue
        if slices and axes != 3:
            raise UserError(f"slice_labels: are for volumes, but the images have {axes} axes; give labels")
        labels = _checked(key, given, (n, num_classes, mask.shape[-1])[: 2 + slices])
        pixels = _bagged(seen.unsqueeze(1), slices)
        known = ~labels.isnan() & pixels.any(-1)
        if len(values := labels[known]):
            bags.append(_Bags(known, values, pixels.expand(*labels.shape, -1)[known]))
        anything = anything | known.flatten(1).any(1)
        between = (1,) * (axes - slices)
        lacks = (labels == 0).view(n, num_classes, *between, *labels.shape[2:])
        absent = lacks if absent is None else absent | lacks
    if absent is None:
        return _Told([], None, torch.zeros_like(seen), torch.zeros_like(seen[..., 1:]))
    if bool(absent.all(1).any()):
        raise UserError("labels: an image or slice lacks every class; leave its background unknown (nan)")
    pairs = seen[..., 1:] & seen[..., :-1] & anything.view(n, *(1,) * axes)
    return _Told(bags, absent, absent.any(1) & seen & (mask == IGNORE_INDEX), pairs)


def _bagged(x: Tensor, slices: bool) -> Tensor:
    """``B K N``, the pixels of each image, or ``B K Z N``, those of each slice across the last axis."""
    return x.movedim(-1, 2).flatten(3) if slices else x.flatten(2)


def _checked(key: str, labels: Tensor, shape: tuple[int, ...]) -> Float[Tensor, " B C"] | Float[Tensor, " B C Z"]:
    if labels.shape != shape:
        raise UserError(f"{key}: are {tuple(labels.shape)}, not {shape}: a column for each class, the background first")
    labels = labels.float()
    wrong = labels[~(labels.isnan() | (labels == 0) | (labels == 1))]
    if wrong.numel():
        raise UserError(f"{key}: hold {float(wrong[0]):g}; 1 is present, 0 absent, nan unknown")
    return labels


def _shares(area: Sequence[float]) -> tuple[float, float]:
    try:
        least, largest = (float(share) for share in area)
        good = 0 <= least < largest <= 1
    except (TypeError, ValueError):
        good = False
    if not good:
        raise UserError(f"method.area: {area} is not [least, largest] with 0 <= least < largest <= 1")
    return least, largest

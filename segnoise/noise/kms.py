"""Patches of wrong labels that have nothing to do with the image: a correlated field crosses a level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from segnoise.draws import generator
from segnoise.errors import UserError
from segnoise.kms import sample_field
from segnoise.length import Length, length_of
from segnoise.noise.base import Corruption, Params, check_rho, check_share, key_of, rho_per_axis, write_rho
from segnoise.noise.geometry import known_labels
from segnoise.noise.level import verdict
from segnoise.noise.order import cheapest, count_of, taken
from segnoise.noise.transition import (
    Transition,
    check_transition,
    count_classes,
    drawn_targets,
    kinds,
    relabelled,
    write_transition,
)


@dataclass(frozen=True)
class Kms(Corruption):
    """Labels flip where a KMS field is largest: exactly ``round(level * known pixels)`` of them over all images.

    Two classes exchange; among more, a second independent field picks one of the others, each alike or by the shares
    in T. On object ids flipped objects become background and flipped background becomes new objects, one per
    connected region.

    Args:
        level: share of known pixels that flip.
        rho: correlation of the field between neighbours, one number or one per axis, in [0, 1).
        classes: number of classes; default: as many as the labels show, at least two.
        T: a transition matrix, a row a true class, such as ``T=((0.9, 0.1), (0.2, 0.8))``. A flipped label goes where
            its row without the diagonal says; a class whose row has nothing beside it does not flip.
        length: replaces rho: the distance over which correlation falls to 1/e, such as ``length=3mm`` or ``9px``;
            ``rho = exp(-spacing / length)`` along each axis.

    Raises:
        UserError: a value outside its range, or more classes than there are.

    >>> labels = np.zeros((8, 8), dtype=np.uint8)
    >>> noisy, record = Kms(0.25).corrupt(labels, seed=1)
    >>> int(noisy.sum())
    16
    """

    level: float
    rho: float | tuple[float, ...] = 0.9
    classes: int | None = None
    T: Transition | None = None
    length: Length | None = None
    name: ClassVar[str] = "kms"

    def __post_init__(self) -> None:
        object.__setattr__(self, "level", check_share(self.name, "level", self.level))
        object.__setattr__(self, "rho", check_rho(self.name, self.rho))
        if self.classes is not None:
            if not isinstance(self.classes, (int, float)) or self.classes != int(self.classes) or self.classes < 2:
                raise UserError(f"kms: classes {self.classes} must be a whole number of at least 2")
            object.__setattr__(self, "classes", int(self.classes))
        if self.T is not None:
            object.__setattr__(self, "T", check_transition(self.name, self.T))
            if self.classes not in (None, len(self.T)):
                raise UserError(f"kms: T has {len(self.T)} rows, but classes is {self.classes}")
        if self.length is not None:
            object.__setattr__(self, "length", length_of(self.name, "length", self.length))
            if not self.length.value > 0:
                raise UserError(f"kms: length {self.length} must be longer than nothing")

    def __str__(self) -> str:
        classes = "" if self.classes is None else f", classes={self.classes}"
        matrix = "" if self.T is None else f", T={write_transition(self.T)}"
        reach = f"rho={write_rho(self.rho)}" if self.length is None else f"length={self.length}"
        return f"kms({self.level:g}, {reach}{classes}{matrix})"

    def draw(self, shape: Sequence[int], generator: np.random.Generator) -> Params:
        rho = None if self.length is not None else rho_per_axis(self.name, self.rho, len(shape))
        return {"name": self.name, "level": self.level, "rho": rho, "key": key_of(generator)}

    def apply(
        self,
        labels: NDArray[Any],
        params: Params,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
    ) -> NDArray[Any]:
        return self._flip(labels, params, self._field(labels, params, instances).cost, instances)

    def fit_apply(
        self,
        images: Sequence[NDArray[Any]],
        params: Sequence[Params],
        instances: bool = False,
        spacing: Sequence[float] | None = None,
        num_classes: int | None = None,
    ) -> list[tuple[NDArray[Any], Params]]:
        if self.length is not None:
            params = [{**p, "rho": self._rho(x.ndim, spacing)} for x, p in zip(images, params, strict=True)]
        fields = [self._field(x, p, instances) for x, p in zip(images, params, strict=True)]
        fitted = self._solve(images, params, fields, instances, num_classes)
        return [
            (self._flip(x, p, field.cost, instances), p) for x, p, field in zip(images, fitted, fields, strict=True)
        ]

    def _rho(self, axes: int, spacing: Sequence[float] | None) -> list[float]:
        """The correlations that the length stands for on pixels of this size."""
        assert self.length is not None
        return [math.exp(-side / self.length.value) for side in self.length.pixel(spacing, axes)]

    def _solve(
        self,
        images: Sequence[NDArray[Any]],
        params: Sequence[Params],
        fields: Sequence[_Field],
        instances: bool,
        num_classes: int | None,
    ) -> list[Params]:
        total, able = sum(field.known for field in fields), sum(field.able for field in fields)
        flips = min(count_of(self.level, total), able)
        why = "the labels have too few known pixels" if able == total else f"T lets {able} of {total} pixels flip"
        asked = len(self.T) if self.T else self.classes
        common = {
            "classes": count_classes(self.name, images, instances, asked, num_classes),
            **verdict(self.level, flips / total if total else 0.0, why),
        }
        thresholds = cheapest([field.cost for field in fields], flips)
        return [{**p, **common, "threshold": t and list(t)} for p, t in zip(params, thresholds, strict=True)]

    def _flip(self, labels: NDArray[Any], params: Params, cost: NDArray[np.float64], instances: bool) -> NDArray[Any]:
        flip = taken(cost, params["threshold"])
        classes = params["classes"]
        if classes == 2 and not instances:
            return np.bitwise_xor(labels, flip, dtype=labels.dtype)
        pixels = np.flatnonzero(flip)
        true = kinds(labels.reshape(-1)[pixels], instances).astype(np.int64)
        if classes == 2:
            return relabelled(labels, pixels, 1 - true, instances)
        field = sample_field(labels.shape, params["rho"], generator(params["key"], "target"))
        uniform = ndtr(field.reshape(-1)[pixels])
        if self.T is not None:
            return relabelled(labels, pixels, drawn_targets(self.T, true, uniform), instances)
        shift = 1 + np.minimum((uniform * (classes - 1)).astype(np.int64), classes - 2)
        return relabelled(labels, pixels, (true + shift) % classes, instances)

    def _field(self, labels: NDArray[Any], params: Params, instances: bool) -> _Field:
        cost = sample_field(labels.shape, params["rho"], generator(params["key"], "flip"), scale=-1.0)
        never = ~known_labels(labels, instances)
        known = able = labels.size - int(np.count_nonzero(never))
        fixed = [k for k, row in enumerate(self.T or ()) if row[k] == 1]
        if fixed:
            never |= np.isin(kinds(labels, instances), fixed)
            able = labels.size - int(np.count_nonzero(never))
        if able < labels.size:
            cost[never] = np.inf
        return _Field(cost, known, able)


class _Field(NamedTuple):
    """One image's field, turned so that the largest values are the cheapest, and infinite where nothing flips."""

    cost: NDArray[np.float64]
    known: int
    able: int

"""Patches of wrong labels that have nothing to do with the image: a correlated field crosses a level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import ndtr

from segnoise.draws import generator
from segnoise.errors import UserError
from segnoise.kms import sample_field
from segnoise.noise.base import Corruption, Params, check_rho, check_share, key_of, rho_per_axis, write_rho
from segnoise.noise.geometry import known_labels
from segnoise.noise.level import verdict
from segnoise.noise.order import cheapest, count_of, taken


@dataclass(frozen=True)
class Kms(Corruption):
    """Labels flip where a KMS field is largest: exactly ``round(level * known pixels)`` of them over all images.

    Two classes exchange; among more, a second independent field picks one of the others, each alike. On object ids
    flipped objects become background and flipped background becomes new objects, one per connected region.

    Args:
        level: share of known pixels that flip.
        rho: correlation of the field between neighbours, one number or one per axis, in [0, 1).
        classes: number of classes; default: as many as the labels show, at least two.

    Raises:
        UserError: a value outside its range.

    >>> labels = np.zeros((8, 8), dtype=np.uint8)
    >>> noisy, record = Kms(0.25).corrupt(labels, seed=1)
    >>> int(noisy.sum())
    16
    """

    level: float
    rho: float | tuple[float, ...] = 0.9
    classes: int | None = None
    name: ClassVar[str] = "kms"

    def __post_init__(self) -> None:
        object.__setattr__(self, "level", check_share(self.name, "level", self.level))
        object.__setattr__(self, "rho", check_rho(self.name, self.rho))
        if self.classes is not None:
            if not isinstance(self.classes, (int, float)) or self.classes != int(self.classes) or self.classes < 2:
                raise UserError(f"kms: classes {self.classes} must be a whole number of at least 2")
            object.__setattr__(self, "classes", int(self.classes))

    def __str__(self) -> str:
        classes = "" if self.classes is None else f", classes={self.classes}"
        return f"kms({self.level:g}, rho={write_rho(self.rho)}{classes})"

    def draw(self, shape: Sequence[int], generator: np.random.Generator) -> Params:
        rho = rho_per_axis(self.name, self.rho, len(shape))
        return {"name": self.name, "level": self.level, "rho": rho, "key": key_of(generator)}

    def fit(
        self,
        images: Sequence[NDArray[Any]],
        params: Sequence[Params],
        instances: bool = False,
        spacing: Sequence[float] | None = None,
        num_classes: int | None = None,
    ) -> list[Params]:
        return self._solve(images, params, _costs(images, params, instances), instances, num_classes)

    def apply(
        self,
        labels: NDArray[Any],
        params: Params,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
    ) -> NDArray[Any]:
        return self._flip(labels, params, _costs([labels], [params], instances)[0], instances)

    def fit_apply(
        self,
        images: Sequence[NDArray[Any]],
        params: Sequence[Params],
        instances: bool = False,
        spacing: Sequence[float] | None = None,
        num_classes: int | None = None,
    ) -> list[tuple[NDArray[Any], Params]]:
        costs = _costs(images, params, instances)
        fitted = self._solve(images, params, costs, instances, num_classes)
        return [(self._flip(x, p, c, instances), p) for x, p, c in zip(images, fitted, costs, strict=True)]

    def _solve(
        self,
        images: Sequence[NDArray[Any]],
        params: Sequence[Params],
        costs: Sequence[NDArray[np.float64]],
        instances: bool,
        num_classes: int | None,
    ) -> list[Params]:
        total = sum(int(np.count_nonzero(known_labels(labels, instances))) for labels in images)
        flips = count_of(self.level, total)
        met = verdict(self.level, flips / total if total else 0.0, "the labels have too few known pixels")
        common = {"classes": 2 if instances else self._count_classes(images, num_classes), **met}
        thresholds = cheapest(costs, flips)
        return [{**p, **common, "threshold": t and list(t)} for p, t in zip(params, thresholds, strict=True)]

    @staticmethod
    def _flip(labels: NDArray[Any], params: Params, cost: NDArray[np.float64], instances: bool) -> NDArray[Any]:
        flip = taken(cost, params["threshold"])
        noisy = labels.copy()
        if instances:
            noisy[flip] = 0
            regions, count = ndimage.label(flip & (labels == 0))
            start = max(int(labels.max(initial=0)), 0)
            if start + count > np.iinfo(labels.dtype).max:
                raise ValueError(f"{labels.dtype} cannot hold {start + count} object ids")
            noisy[regions > 0] = (regions[regions > 0] + start).astype(labels.dtype)
            return noisy
        classes = params["classes"]
        if classes == 2:
            noisy[flip] = 1 - labels[flip]
            return noisy
        choice = ndtr(sample_field(labels.shape, params["rho"], generator(params["key"], "target"))[flip])
        shift = 1 + np.minimum((choice * (classes - 1)).astype(np.int64), classes - 2)
        noisy[flip] = ((labels[flip].astype(np.int64) + shift) % classes).astype(labels.dtype)
        return noisy

    def _count_classes(self, images: Sequence[NDArray[Any]], num_classes: int | None) -> int:
        shown = 1 + max((int(x[known_labels(x, False)].max(initial=0)) for x in images), default=0)
        classes = self.classes or num_classes or max(shown, 2)
        if shown > classes:
            raise UserError(f"kms: the labels hold class {shown - 1}, but there are {classes} classes")
        return classes


def _costs(images: Sequence[NDArray[Any]], params: Sequence[Params], instances: bool) -> list[NDArray[np.float64]]:
    """Of each image the field, turned so that the largest values are the cheapest; unknown pixels never flip."""
    costs = []
    for labels, drawn in zip(images, params, strict=True):
        cost = sample_field(labels.shape, drawn["rho"], generator(drawn["key"], "flip"))
        np.negative(cost, out=cost)
        cost[~known_labels(labels, instances)] = np.inf
        costs.append(cost)
    return costs

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
from segnoise.noise.order import count_of, kth, taken


@dataclass(frozen=True)
class Kms(Corruption):
    """Labels flip where a KMS field is largest: exactly ``round(level * known pixels)`` of them.

    Two classes exchange; among more, a second independent field picks one of the others, each alike. On object ids
    flipped objects become background and flipped background becomes new objects, one per connected region.

    Args:
        level: share of known pixels that flip.
        rho: correlation of the field between neighbours, one number or one per axis, in [0, 1).
        classes: number of classes; default: as many as the labels show, at least two.

    Raises:
        UserError: a value outside its range.

    >>> labels = np.zeros((8, 8), dtype=np.uint8)
    >>> params = Kms(0.25).draw(labels.shape, generator(1))
    >>> int(Kms(0.25).fit_apply(labels, params)[0].sum())
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
        labels: NDArray[Any],
        params: Params,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
        num_classes: int | None = None,
    ) -> Params:
        known = known_labels(labels, instances)
        total = int(np.count_nonzero(known))
        flips = count_of(params["level"], total)
        threshold = kth(_cost(labels.shape, known, params), flips)
        met = flips / total if total else 0.0
        classes = 2 if instances else self._count_classes(labels[known], num_classes)
        return {**params, "classes": classes, "threshold": threshold and list(threshold), "flips": flips, "met": met}

    def apply(
        self,
        labels: NDArray[Any],
        params: Params,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
    ) -> NDArray[Any]:
        known = known_labels(labels, instances)
        flip = taken(_cost(labels.shape, known, params), params["threshold"]) & known
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

    def _count_classes(self, values: NDArray[Any], num_classes: int | None) -> int:
        shown = int(values.max(initial=0)) + 1
        classes = self.classes or num_classes or max(shown, 2)
        if shown > classes:
            raise UserError(f"kms: the labels hold class {shown - 1}, but there are {classes} classes")
        return classes


def _cost(shape: tuple[int, ...], known: NDArray[np.bool_], params: Params) -> NDArray[np.float64]:
    """The field, turned so that the largest values are the cheapest; unknown pixels never flip."""
    field = sample_field(shape, params["rho"], generator(params["key"], "flip"))
    return np.where(known, -field, np.inf)

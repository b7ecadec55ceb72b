"""Objects cut in two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from segnoise.draws import uniforms
from segnoise.errors import UserError
from segnoise.length import Length, length_of
from segnoise.noise.base import Corruption, Params, check_share, key_of
from segnoise.noise.geometry import known_labels
from segnoise.noise.level import verdict
from segnoise.noise.objects import number_objects
from segnoise.noise.order import cheapest, count_of, taken
from segnoise.noise.surrounding import surrounding


@dataclass(frozen=True, init=False)
class Split(Corruption):
    """Objects are cut along their minor axis through their centroid.

    With c the centroid and e the major axis (the eigenvector of the largest second moment), pixel x of a cut object
    lies at ``t = (x - c) . e``: the cut takes ``-width / 2 <= t < width / 2``, which becomes background among
    instances, else the class that surrounds most of the object; what lies beyond gets a new id. The objects with the
    smallest of one uniform number each are cut, of those that leave something on both sides, until their share over
    all images is the asked one.

    Args:
        rate: share of objects cut.
        width: of the cut, such as ``1px`` or ``5m``. Class regions need at least a pixel to fall apart; instances
            none.

    Raises:
        UserError: a value outside its range, or less than a pixel for classes.

    >>> labels = np.ones((2, 5), dtype=np.int32)
    >>> Split(1).corrupt(labels, seed=1, instances=True)[0]
    array([[1, 1, 0, 2, 2],
           [1, 1, 0, 2, 2]], dtype=int32)
    """

    rate: float
    width: Length
    name: ClassVar[str] = "split"

    def __init__(self, rate: float, width: Length | str | float = "1px") -> None:
        object.__setattr__(self, "rate", check_share(self.name, "rate", rate))
        object.__setattr__(self, "width", length_of(self.name, "width", width))

    def __str__(self) -> str:
        return f"split({self.rate!r}, width={self.width})"

    def draw(self, shape: Sequence[int], generator: np.random.Generator) -> Params:
        return {"name": self.name, "rate": self.rate, "width": str(self.width), "key": key_of(generator)}

    def apply(
        self,
        labels: NDArray[Any],
        params: Params,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
    ) -> NDArray[Any]:
        return _Cuts(labels, params["key"], self.width, instances, spacing).made(params["threshold"])

    def fit_apply(
        self,
        images: Sequence[NDArray[Any]],
        params: Sequence[Params],
        instances: bool = False,
        spacing: Sequence[float] | None = None,
        num_classes: int | None = None,
    ) -> list[tuple[NDArray[Any], Params]]:
        every = [_Cuts(x, p["key"], self.width, instances, spacing) for x, p in zip(images, params, strict=True)]
        return [(cuts.made(p["threshold"]), p) for cuts, p in zip(every, self._solve(every, params), strict=True)]

    def _solve(self, every: Sequence[_Cuts], params: Sequence[Params]) -> list[Params]:
        costs = [cuts.cost for cuts in every]
        total = sum(len(cost) for cost in costs)
        possible = sum(int(np.count_nonzero(np.isfinite(cost))) for cost in costs)
        asked = count_of(self.rate, total)
        count = min(asked, possible)
        why = f"whole objects, of which the labels have {total}, come no nearer"
        if possible < asked:
            why = f"{possible} of {total} objects can be cut in two"
        common = verdict(self.rate, count / total if total else 0.0, why)
        thresholds = cheapest(costs, count)
        return [{**p, **common, "threshold": t and list(t)} for p, t in zip(params, thresholds, strict=True)]


class _Cuts:
    """The objects of one image, each with its uniform number (inf where a cut would leave a side empty)."""

    def __init__(
        self, labels: NDArray[Any], key: int, width: Length, instances: bool, spacing: Sequence[float] | None
    ) -> None:
        side = width.pixel(spacing, labels.ndim)
        if not instances and width.value < max(side):
            raise UserError(f"split: a cut of {width} leaves regions of one class connected; give at least a pixel")
        self._labels, self._instances = labels, instances
        self._known = known_labels(labels, instances)
        self._numbers, first = number_objects(labels, self._known, instances)
        self._where = np.nonzero(self._numbers)
        along = _along(self._where, self._numbers[self._where], len(first), side)
        half = width.value / 2
        self._beyond, self._cut = along >= half, (along >= -half) & (along < half)
        owner = self._numbers[self._where]
        after = np.bincount(owner[self._beyond], minlength=len(first) + 1)[1:]
        before = np.bincount(owner[along < -half], minlength=len(first) + 1)[1:]
        self.cost = np.where((after > 0) & (before > 0), uniforms(first, key, "object"), np.inf)
        if instances:
            left = np.iinfo(labels.dtype).max - max(int(labels.max(initial=0)), 0)
            self.cost[np.argsort(self.cost, kind="stable")[left:]] = np.inf

    def made(self, threshold: tuple[float, int] | None) -> NDArray[Any]:
        """The labels with the cuts up to the threshold."""
        chosen = np.concatenate([[False], taken(self.cost, threshold)])
        noisy = self._labels.copy()
        owner = self._numbers[self._where]
        cut, beyond = self._cut & chosen[owner], self._beyond & chosen[owner]
        if self._instances:
            rank = np.zeros(len(chosen), dtype=np.int64)
            rank[1 + np.argsort(self.cost, kind="stable")] = np.arange(len(self.cost))
            ids = max(int(self._labels.max(initial=0)), 0) + 1 + rank
            noisy[tuple(axis[beyond] for axis in self._where)] = ids[owner[beyond]].astype(noisy.dtype)
            fill = np.zeros(len(chosen), dtype=noisy.dtype)
        else:
            fill = surrounding(self._labels, self._known, self._numbers, chosen, np.ones_like(chosen))
        noisy[tuple(axis[cut] for axis in self._where)] = fill[owner[cut]]
        return noisy


def _along(
    where: Sequence[NDArray[np.intp]], owner: NDArray[np.int64], count: int, side: Sequence[float]
) -> NDArray[np.float64]:
    """Per pixel of an object, its place along the object's major axis, from the centroid."""
    area = np.maximum(np.bincount(owner, minlength=count + 1), 1)
    offsets = []
    for axis, length in zip(where, side, strict=True):
        place = axis * length
        offsets.append(place - (np.bincount(owner, place, count + 1) / area)[owner])
    moments = np.empty((count + 1, len(side), len(side)))
    for a, first in enumerate(offsets):
        for b, second in enumerate(offsets):
            moments[:, a, b] = np.bincount(owner, first * second, count + 1) / area
    major = np.linalg.eigh(moments)[1][:, :, -1]
    # An eigenvector has no sign of its own: its largest component is made positive.
    largest = np.take_along_axis(major, np.abs(major).argmax(axis=1, keepdims=True), axis=1)
    major = major * np.where(largest < 0, -1.0, 1.0)
    return np.sum([offset * major[owner, a] for a, offset in enumerate(offsets)], axis=0)

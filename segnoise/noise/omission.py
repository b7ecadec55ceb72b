"""Objects that nobody drew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from segnoise.draws import uniforms
from segnoise.errors import UserError
from segnoise.noise.base import Corruption, Params, check_share, key_of
from segnoise.noise.geometry import known_labels
from segnoise.noise.level import verdict
from segnoise.noise.objects import number_objects
from segnoise.noise.order import cheapest, count_of, taken
from segnoise.noise.surrounding import surrounding


@dataclass(frozen=True)
class Omission(Corruption):
    """Object o is missing iff ``U_o < sigmoid(a - size_slope * log(area_o / median area))``, U_o uniform.

    a is such that the share of objects removed over all images is the asked one, or the nearest that whole objects
    allow; the median is over all images too. An object is an instance, or without ids a face-connected region of one
    class above 0; it leaves the background (0) among instances, else the class that surrounds most of it. U_o depends
    on the key and on where the object starts in raster order, so that the same object has the same fate at any rate
    above its own.

    Args:
        rate: share of objects removed.
        size_slope: 0 removes objects of any size alike; above 0, small ones more.

    Raises:
        UserError: a value outside its range.

    >>> labels = np.zeros((9, 9), dtype=np.uint8)
    >>> labels[1::2, 1::2] = 1
    >>> noisy, record = Omission(0.25).corrupt(labels, seed=3)
    >>> int(labels.sum()), int(noisy.sum())
    (16, 12)
    """

    rate: float
    size_slope: float = 0.0
    name: ClassVar[str] = "omission"

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", check_share(self.name, "rate", self.rate))
        if not isinstance(self.size_slope, (int, float)):
            raise UserError(f"omission: size_slope {self.size_slope} must be a plain number")
        object.__setattr__(self, "size_slope", float(self.size_slope))

    def __str__(self) -> str:
        slope = f", size_slope={self.size_slope:g}" if self.size_slope else ""
        return f"omission({self.rate:g}{slope})"

    def draw(self, shape: Sequence[int], generator: np.random.Generator) -> Params:
        return {"name": self.name, "rate": self.rate, "size_slope": self.size_slope, "key": key_of(generator)}

    def fit(
        self,
        images: Sequence[NDArray[Any]],
        params: Sequence[Params],
        instances: bool = False,
        spacing: Sequence[float] | None = None,
        num_classes: int | None = None,
    ) -> list[Params]:
        objects = [number_objects(x, known_labels(x, instances), instances) for x in images]
        areas = np.concatenate([np.zeros(0), *(_areas(numbers, first) for numbers, first in objects)])
        median = float(np.median(areas)) if len(areas) else None
        sized = [{**p, "median_area": median} for p in params]
        costs = [_cost(*o, p) for o, p in zip(objects, sized, strict=True)]
        removed = count_of(self.rate, len(areas))
        met = removed / len(areas) if len(areas) else 0.0
        common = verdict(self.rate, met, f"whole objects, of which the labels have {len(areas)}, come no nearer")
        thresholds = cheapest(costs, removed)
        return [{**p, **common, "threshold": t and list(t)} for p, t in zip(sized, thresholds, strict=True)]

    def apply(
        self,
        labels: NDArray[Any],
        params: Params,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
    ) -> NDArray[Any]:
        known = known_labels(labels, instances)
        numbers, first = number_objects(labels, known, instances)
        gone = np.concatenate([[False], taken(_cost(numbers, first, params), params["threshold"])])
        fill = np.zeros(len(gone), dtype=labels.dtype)
        if not instances:
            fill = surrounding(labels, known, numbers, chosen=gone, voters=~gone)
        missing = gone[numbers]
        noisy = labels.copy()
        noisy[missing] = fill[numbers[missing]]
        return noisy


def _areas(numbers: NDArray[np.int64], first: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.bincount(numbers.ravel(), minlength=len(first) + 1)[1:]


def _cost(numbers: NDArray[np.int64], first: NDArray[np.int64], params: Params) -> NDArray[np.float64]:
    """Per object, the logit a at which it goes missing."""
    if not len(first):
        return np.zeros(0)
    uniform = uniforms(first, params["key"], "object")
    with np.errstate(divide="ignore"):
        logit = np.log(uniform) - np.log1p(-uniform)
    # A draw of exactly 0 would be -inf, which no threshold can hold.
    cost = np.maximum(logit, -1e3)
    if params["size_slope"]:
        cost += params["size_slope"] * np.log(_areas(numbers, first) / params["median_area"])
    return cost

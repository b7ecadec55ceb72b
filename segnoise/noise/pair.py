"""Classes that are taken for one another, each with its own odds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from segnoise.draws import generator
from segnoise.errors import UserError
from segnoise.noise.base import Corruption, Params, check_share, key_of
from segnoise.noise.geometry import known_labels
from segnoise.noise.level import verdict
from segnoise.noise.order import cheapest, count_of
from segnoise.noise.symmetric import check_classes, write_classes
from segnoise.noise.transition import (
    Transition,
    check_transition,
    count_classes,
    kinds,
    relabelled,
    write_transition,
)
from segnoise.noise.vanishing import with_vanished


@dataclass(frozen=True)
class Pair(Corruption):
    """A pixel of class k becomes class j with probability ``T[k][j]``: exactly ``round`` of it over all images.

    Each pixel x has a uniform number ``U_x``; of the N_k pixels of class k, those with the smallest go to the first
    other class, the next smallest to the second, and so on, with ``round(N_k sum_{i <= j} T[k][i])`` taken by the
    first j. With a rate alone each class becomes the next one, the last the first. On object ids there are two
    classes, background and object; an object's pixels become background, background becomes new objects, one per
    connected region.

    Args:
        rate: share of every class that flips to the next class.
        classes: the classes of the cycle in its order; default: all.
        T: the whole matrix instead, a row a true class, such as ``T=((0.9, 0.1), (0.2, 0.8))``.

    Raises:
        UserError: a value outside its range, both or neither of rate and T, a T that does not fit the labels.

    >>> labels = np.repeat([0, 1, 2], 40)
    >>> noisy, record = Pair(0.25).corrupt(labels, seed=1)
    >>> record["card"]["confusion"]
    [[30, 10, 0], [0, 30, 10], [10, 0, 30]]
    """

    rate: float | None = None
    classes: tuple[int, ...] | None = None
    T: Transition | None = None
    name: ClassVar[str] = "pair"

    def __post_init__(self) -> None:
        if (self.rate is None) == (self.T is None):
            raise UserError("pair: give a rate, as in pair(0.2), or a matrix, as in pair(T=((0.9, 0.1), (0.2, 0.8)))")
        if self.rate is not None:
            object.__setattr__(self, "rate", check_share(self.name, "rate", self.rate))
        if self.T is not None:
            object.__setattr__(self, "T", check_transition(self.name, self.T))
        object.__setattr__(self, "classes", check_classes(self.name, self.classes))
        if self.classes is not None and (self.T is not None or len(self.classes) < 2):
            raise UserError(
                "pair: classes are the cycle that a rate goes along, at least two: pair(0.2, classes=(1, 2))"
            )

    def __str__(self) -> str:
        if self.T is not None:
            return f"pair(T={write_transition(self.T)})"
        return f"pair({self.rate!r}{write_classes(self.classes)})"

    def draw(self, shape: Sequence[int], generator: np.random.Generator) -> Params:
        return {"name": self.name, "key": key_of(generator)}

    def apply(
        self,
        labels: NDArray[Any],
        params: Params,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
    ) -> NDArray[Any]:
        flat = labels.reshape(-1)
        draws = _draws(params)
        pixels, target = [np.zeros(0, np.intp)], [np.zeros(0, np.uint8)]
        # What fits into the cache is drawn and used before the next is drawn.
        for start in range(0, flat.size, _CHUNK):
            part = flat[start : start + _CHUNK]
            numbers = draws.random(len(part))
            for true, steps in enumerate(params["steps"]):
                thresholds = [threshold for _, threshold in steps if threshold]
                if not thresholds:
                    continue
                # The last threshold is the greatest, and few pixels are below it.
                left = np.flatnonzero((numbers <= thresholds[-1][0]) & _of_class(part, true, instances))
                for other, threshold in steps:
                    if threshold:
                        value, last = threshold
                        number = numbers[left]
                        gone = (number < value) | ((number == value) & (left + start <= last))
                        pixels.append(left[gone] + start)
                        target.append(np.full(len(pixels[-1]), other, dtype=np.uint8))
                        left = left[~gone]
        return relabelled(labels, np.concatenate(pixels), np.concatenate(target), instances)

    def fit_apply(
        self,
        images: Sequence[NDArray[Any]],
        params: Sequence[Params],
        instances: bool = False,
        spacing: Sequence[float] | None = None,
        num_classes: int | None = None,
    ) -> list[tuple[NDArray[Any], Params]]:
        asked = len(self.T) if self.T else max(self.classes) + 1 if self.classes and instances else None
        matrix = self._matrix(count_classes(self.name, images, instances, asked, num_classes))
        for k in self.classes or ():
            if num_classes is not None and k >= num_classes:
                raise UserError(f"pair: there is no class {k}; there are {num_classes} classes")
        steps: list[list[Any]] = [[] for _ in images]
        expected, flipped, counted = 0.0, 0, 0
        numbers = [_draws(p).random(x.size) for x, p in zip(images, params, strict=True)]
        for true, row in enumerate(matrix):
            own = [np.flatnonzero(_of_class(x, true, instances)) for x in images]
            costs = [number[mine] for number, mine in zip(numbers, own, strict=True)]
            total = sum(map(len, own))
            others = [k for k in range(len(row)) if k != true and row[k] > 0]
            counts = [count_of(share, total) for share in np.cumsum(row[others]).tolist()]
            thresholds = [cheapest(costs, count) for count in counts]
            for image, (step, mine) in enumerate(zip(steps, own, strict=True)):
                found = [t[image] for t in thresholds]
                placed = [t and [t[0], int(mine[t[1]]) if t[1] >= 0 else -1] for t in found]
                step.append([[k, t] for k, t in zip(others, placed, strict=True)])
            if self.classes is None or true in self.classes:
                counted += total
                expected += float(row[others].sum()) * total
                flipped += counts[-1] if counts else 0
        fitted = [{**p, "steps": step} for p, step in zip(params, steps, strict=True)]
        noisy = [self.apply(x, p, instances, spacing) for x, p in zip(images, fitted, strict=True)]
        share = self.rate if self.rate is not None else expected / counted if counted else 0.0
        why = f"the labels have {counted} known pixels that can flip"
        common = with_vanished(verdict(share, flipped / counted if counted else 0.0, why), images, noisy, instances)
        return [(x, {**p, **common}) for x, p in zip(noisy, fitted, strict=True)]

    def _matrix(self, classes: int) -> NDArray[np.float64]:
        if self.T is not None:
            return np.array(self.T)
        cycle = list(self.classes or range(classes))
        matrix = np.eye(max(classes, 1 + max(cycle)))
        for true, other in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            matrix[true, [true, other]] = 1 - (self.rate or 0), self.rate
        return matrix


_CHUNK = 2**17


def _draws(params: Params) -> np.random.Generator:
    return generator(params["key"], "flip")


def _of_class(labels: NDArray[Any], true: int, instances: bool) -> NDArray[np.bool_]:
    """Where, by flat index, a known pixel is of a class; the unknown are of none."""
    mine = kinds(labels, instances) == true
    return (mine & known_labels(labels, instances) if instances else mine).reshape(-1)

"""Neighbours that become one object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segnoise.draws import uniforms
from segnoise.length import Length, length_of
from segnoise.noise.base import Corruption, Params, check_share, key_of
from segnoise.noise.geometry import known_labels
from segnoise.noise.level import verdict
from segnoise.noise.objects import number_objects
from segnoise.noise.order import count_of


@dataclass(frozen=True, init=False)
class Merge(Corruption):
    """Pairs of neighbours become one object: what lies between them is filled by closing, their ids become one.

    Two objects (of one class, or any two instances) are neighbours where along an axis no more than ``gap`` of known
    pixels that are not of their kind lie between them; exactly those runs of pixels are filled, so that the two are
    then connected by faces. Each pair has a uniform number; pairs of objects that are in no pair yet are taken in its
    order, then pairs with one such object, until the share of objects involved over all images is the asked one or
    the nearest. The pair carries on the id of its larger object.

    Args:
        rate: share of objects involved.
        gap: the widest gap that is filled, such as ``2px`` or ``5m``; ``0px`` merges instances that touch.

    Raises:
        UserError: a value outside its range.

    >>> labels = np.array([[1, 1, 0, 2, 2, 0, 0, 0, 3]])
    >>> noisy, record = Merge(1).corrupt(labels, seed=3, instances=True)
    >>> noisy, record["params"][0]["why"]
    (array([[1, 1, 1, 1, 1, 0, 0, 0, 3]]), '2 of 3 objects have a neighbour within 2px')
    """

    rate: float
    gap: Length
    name: ClassVar[str] = "merge"

    def __init__(self, rate: float, gap: Length | str | float = "2px") -> None:
        object.__setattr__(self, "rate", check_share(self.name, "rate", rate))
        object.__setattr__(self, "gap", length_of(self.name, "gap", gap))

    def __str__(self) -> str:
        return f"merge({self.rate!r}, gap={self.gap})"

    def draw(self, shape: Sequence[int], generator: np.random.Generator) -> Params:
        return {"name": self.name, "rate": self.rate, "gap": str(self.gap), "key": key_of(generator)}

    def apply(
        self,
        labels: NDArray[Any],
        params: Params,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
    ) -> NDArray[Any]:
        return _Neighbours(labels, params["key"], self.gap, instances, spacing).merged(params["pairs"])

    def fit_apply(
        self,
        images: Sequence[NDArray[Any]],
        params: Sequence[Params],
        instances: bool = False,
        spacing: Sequence[float] | None = None,
        num_classes: int | None = None,
    ) -> list[tuple[NDArray[Any], Params]]:
        every = [_Neighbours(x, p["key"], self.gap, instances, spacing) for x, p in zip(images, params, strict=True)]
        fitted = self._solve(every, params)
        return [(one.merged(p["pairs"]), p) for one, p in zip(every, fitted, strict=True)]

    def _solve(self, every: Sequence[_Neighbours], params: Sequence[Params]) -> list[Params]:
        pairs = [(*pair, k) for k, one in enumerate(every) for pair in one.pairs]
        pairs.sort(key=lambda pair: (-pair[0], pair[1], pair[4]))
        involved = np.concatenate([[0], np.cumsum([pair[0] for pair in pairs], dtype=np.int64)])
        total = sum(one.count for one in every)
        count = int(np.argmin(np.abs(involved - count_of(self.rate, total))))
        reach = int(involved[-1])
        why = f"{reach} of {total} objects have a neighbour within {self.gap}"
        if count < len(pairs):
            why = f"whole pairs, of which {total} objects make few, come no nearer"
        common = verdict(self.rate, int(involved[count]) / total if total else 0.0, why)
        taken = np.bincount([pair[4] for pair in pairs[:count]], minlength=len(every)).tolist()
        return [{**p, **common, "pairs": n} for p, n in zip(params, taken, strict=True)]


class _Gap(NamedTuple):
    """Runs of pixels between objects, one entry each."""

    pair: NDArray[np.int64]  # lower number * (objects + 1) + higher number
    start: NDArray[np.int64]  # flat index of the object's pixel before the run
    step: NDArray[np.int64]  # from one pixel of the run to the next, in flat indices
    length: NDArray[np.int64]


class _Neighbours:
    """The objects of one image and the pairs of them that merge, in their order.

    ``pairs`` holds (objects newly involved, uniform number, lower object, higher object).
    """

    def __init__(
        self, labels: NDArray[Any], key: int, gap: Length, instances: bool, spacing: Sequence[float] | None
    ) -> None:
        known = known_labels(labels, instances)
        reach = [int(gap.value / side + 1e-9) for side in gap.pixel(spacing, labels.ndim)]
        self._labels = labels
        self._numbers, self._first = number_objects(labels, known, instances)
        self.count = len(self._first)
        value = labels.ravel()[self._first]
        kinds = np.concatenate([[0], np.ones(self.count) if instances else value]).astype(np.int64)
        self._gaps = _gaps(known, self._numbers, kinds, reach)
        self.pairs = self._ordered(key)

    def _ordered(self, key: int) -> list[tuple[int, float, int, int]]:
        low, high = np.divmod(np.unique(self._gaps.pair), self.count + 1)
        # A pair is known by where its two objects start.
        uniform = uniforms(self._first[low - 1] * self._labels.size + self._first[high - 1], key, "pair")
        draws = sorted(zip(uniform.tolist(), low.tolist(), high.tolist(), strict=True))
        ordered: list[tuple[int, float, int, int]] = []
        involved = np.zeros(self.count + 1, dtype=bool)
        for new in (2, 1):
            for draw, a, b in draws:
                if 2 - int(involved[a]) - int(involved[b]) == new:
                    involved[[a, b]] = True
                    ordered.append((new, draw, a, b))
        return ordered

    def merged(self, count: int) -> NDArray[Any]:
        """The labels with the first so many pairs merged."""
        chosen = self.pairs[:count]
        area = np.bincount(self._numbers.ravel(), minlength=self.count + 1)
        leader = np.arange(self.count + 1)
        members = {int(n): [int(n)] for pair in chosen for n in pair[2:]}
        for _, _, a, b in chosen:
            kept, lost = sorted((int(leader[a]), int(leader[b])), key=lambda n: (-area[n], n))
            area[kept] += area[lost]
            members[kept] += members.pop(lost)
            leader[members[kept]] = kept
        value = np.zeros(self.count + 1, dtype=self._labels.dtype)
        value[1:] = self._labels.ravel()[self._first]
        noisy = self._labels.copy()
        moved = (leader != np.arange(self.count + 1))[self._numbers]
        noisy[moved] = value[leader[self._numbers[moved]]]
        # Where runs cross, the pair that comes first in the order has the pixel.
        rank = {a * (self.count + 1) + b: k for k, (_, _, a, b) in enumerate(chosen)}
        turn = np.array([rank.get(pair, -1) for pair in self._gaps.pair.tolist()], dtype=np.int64)
        runs = np.argsort(-turn, kind="stable")[: int(np.count_nonzero(turn >= 0))]
        length = self._gaps.length[runs]
        place = np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length) + 1
        pixels = np.repeat(self._gaps.start[runs], length) + place * np.repeat(self._gaps.step[runs], length)
        filler = value[leader[self._gaps.pair[runs] // (self.count + 1)]]
        noisy.ravel()[pixels] = np.repeat(filler, length)
        return noisy


def _gaps(known: NDArray[np.bool_], numbers: NDArray[np.int64], kinds: NDArray[np.int64], reach: Sequence[int]) -> _Gap:
    """The runs along each axis, no longer than its reach, between two objects of one kind (by object number)."""
    shape, count = numbers.shape, len(kinds)
    found = [_Gap(*(np.zeros(0, dtype=np.int64) for _ in _Gap._fields))]
    for axis, limit in enumerate(reach):
        # The axis is laid out last, so that a line of pixels lies in a row.
        order = [*(a for a in range(len(shape)) if a != axis), axis]
        laid = [shape[a] for a in order]
        number = numbers.transpose(order).ravel()
        unknown = np.flatnonzero(~known.transpose(order))
        solid = np.flatnonzero(number)
        kind = kinds[number[solid]]
        for value in np.unique(kinds[1:]):
            pixels = solid[kind == value]
            a, b = pixels[:-1], pixels[1:]
            near = (b - a <= limit + 1) & (number[a] != number[b])
            a, b = a[near], b[near]
            clear = (a // laid[-1] == b // laid[-1]) & (np.searchsorted(unknown, a) == np.searchsorted(unknown, b))
            a, b = a[clear], b[clear]
            place = np.unravel_index(a, laid)
            start = np.ravel_multi_index([place[order.index(k)] for k in range(len(shape))], shape)
            low, high = np.minimum(number[a], number[b]), np.maximum(number[a], number[b])
            step = np.full(len(a), int(np.prod(shape[axis + 1 :])))
            found.append(_Gap(low * count + high, start, step, b - a - 1))
    return _Gap(*(np.concatenate(parts) for parts in zip(*found, strict=True)))

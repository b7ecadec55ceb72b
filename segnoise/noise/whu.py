"""The noise of published studies on the WHU buildings: objects missing, with false margins, and added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segnoise.draws import generator, uniforms
from segnoise.errors import UserError
from segnoise.noise.base import Corruption, Params, check_share, key_of
from segnoise.noise.board import Board
from segnoise.noise.geometry import known_labels
from segnoise.noise.level import MISSED
from segnoise.noise.objects import number_objects
from segnoise.noise.order import Threshold, cheapest, count_of, taken
from segnoise.noise.surrounding import surrounding

LEVELS = ((0.0, 0.0, 0.0), (0.1, 0.0, 0.3), (0.2, 0.05, 0.5), (0.3, 0.1, 0.7))
"""Published shares (remove, add, margin) by level."""

MARGINS = ((150, 1, 1), (400, 3, 2))
"""Below so many pixels, the largest kernel and the most iterations; above, 5 and 3."""


@dataclass(frozen=True, init=False)
class Whu(Corruption):
    """Objects are removed; of the others some get another margin; and copies of objects are added.

    A margin is an erosion or a dilation, at equal odds, by a box of k pixels a side applied i times, k and i uniform
    up to 1 and 1 for objects below 150 pixels (which so stay as they are), 3 and 2 below 400, 5 and 3 above. It grows
    over background only. For each object to add, a random object of the image is brought to the area of another
    random one and put where it overlaps nothing, if one of 1000 random places will do. Which objects: those with the
    smallest of one uniform number each, so that the shares are met over all images. What goes becomes background
    among instances, else the class that surrounds most of the object.

    The published generator tosses a coin for each object and takes the objects it adds from another tile; here the
    counts are exact and the objects are of the same image.

    Args:
        level: 1, 2 or 3: the published (remove, add, margin) of (0.1, 0, 0.3), (0.2, 0.05, 0.5), (0.3, 0.1, 0.7); 0
            is none. Or instead:
        remove: share of objects removed.
        add: added objects over true ones.
        margin: share of the remaining objects with another margin.

    Raises:
        UserError: a value outside its range, or a level together with shares.

    Repository pfnet-research/Bayesian_SpatialCorr.

    >>> labels = np.kron(np.eye(10, dtype=np.uint8), np.pad(np.ones((20, 20), np.uint8), 6))
    >>> noisy, record = Whu(remove=0.2, add=0.1).corrupt(labels, seed=1)
    >>> int(labels.sum()) / 400, int(noisy.sum()) / 400, record["params"][0]["met"]
    (10.0, 9.0, {'remove': 0.2, 'margin': 0.0, 'add': 0.1})
    """

    remove: float
    add: float
    margin: float
    name: ClassVar[str] = "whu"

    def __init__(self, level: int | None = None, remove: float = 0.0, add: float = 0.0, margin: float = 0.0) -> None:
        shares = (remove, add, margin)
        if level is not None:
            if any(shares):
                raise UserError("whu: give a level or the shares remove, add and margin, not both")
            if level not in range(len(LEVELS)):
                raise UserError(f"whu: level {level} must be 0, 1, 2 or 3")
            shares = LEVELS[int(level)]
        for option, value in zip(("remove", "add", "margin"), shares, strict=True):
            object.__setattr__(self, option, check_share(self.name, option, value))

    def __str__(self) -> str:
        shares = (self.remove, self.add, self.margin)
        if shares in LEVELS:
            return f"whu({LEVELS.index(shares)})"
        named = zip(("remove", "add", "margin"), shares, strict=True)
        return "whu(" + ", ".join(f"{name}={share!r}" for name, share in named if share) + ")"

    def draw(self, shape: Sequence[int], generator: np.random.Generator) -> Params:
        shares = {"remove": self.remove, "add": self.add, "margin": self.margin}
        return {"name": self.name, **shares, "key": key_of(generator)}

    def apply(
        self,
        labels: NDArray[Any],
        params: Params,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
    ) -> NDArray[Any]:
        buildings = _Buildings(labels, params["key"], instances)
        buildings.change(params["removed"], params["margins"])
        for number in np.argsort(buildings.draws("add"), kind="stable")[: params["tried"]]:
            buildings.add(int(number))
        return buildings.labels

    def fit_apply(
        self,
        images: Sequence[NDArray[Any]],
        params: Sequence[Params],
        instances: bool = False,
        spacing: Sequence[float] | None = None,
        num_classes: int | None = None,
    ) -> list[tuple[NDArray[Any], Params]]:
        every = [_Buildings(x, p["key"], instances) for x, p in zip(images, params, strict=True)]
        total = sum(b.count for b in every)
        gone = count_of(self.remove, total)
        removed = cheapest([b.draws("remove") for b in every], gone)
        costs = [
            np.where(taken(b.draws("remove"), t), np.inf, b.draws("margin"))
            for b, t in zip(every, removed, strict=True)
        ]
        changed = count_of(self.margin, total - gone)
        margins = cheapest(costs, changed)
        for buildings, first, second in zip(every, removed, margins, strict=True):
            buildings.change(first, second)
        asked = count_of(self.add, total)
        added, tried = self._add(every, asked)
        shares = {
            "remove": gone / total if total else 0.0,
            "margin": changed / (total - gone) if total > gone else 0.0,
            "add": added / total if total else 0.0,
        }
        common: Params = {"met": shares}
        missed = [name for name, met in shares.items() if abs(met - getattr(self, name)) > MISSED * getattr(self, name)]
        if missed:
            common["why"] = f"{', '.join(missed)}: whole objects, of which the labels have {total}, come no nearer"
        if added < asked:
            common["why"] = f"add: of {asked} copies {added} found a free place"
        done = zip(every, params, removed, margins, tried, strict=True)
        return [
            (b.labels, {**p, **common, "removed": r and list(r), "margins": m and list(m), "tried": t})
            for b, p, r, m, t in done
        ]

    @staticmethod
    def _add(every: Sequence[_Buildings], asked: int) -> tuple[int, list[int]]:
        draws = sorted((u, k, n) for k, b in enumerate(every) for n, u in enumerate(b.draws("add").tolist()))
        added, tried = 0, [0] * len(every)
        for _, image, number in draws:
            if added == asked:
                break
            added += every[image].add(number)
            tried[image] += 1
        return added, tried


class _Buildings:
    """The objects of one image and its labels as they change."""

    def __init__(self, labels: NDArray[Any], key: int, instances: bool) -> None:
        self._clean, self._key, self._instances = labels, key, instances
        self._known = known_labels(labels, instances)
        self._numbers, self._first = number_objects(labels, self._known, instances)
        self._boxes = ndimage.find_objects(self._numbers)
        self._area = np.bincount(self._numbers.ravel(), minlength=self.count + 1)[1:]
        self._next = max(int(labels.max(initial=0)), 0) + 1

    @property
    def count(self) -> int:
        return len(self._first)

    @property
    def labels(self) -> NDArray[Any]:
        return self._board.labels

    def draws(self, what: str) -> NDArray[np.float64]:
        """A uniform number for each object."""
        return uniforms(self._first, self._key, what)

    def change(self, removed: Threshold | None, margins: Threshold | None) -> None:
        """Removes objects and changes margins."""
        gone = np.concatenate([[False], taken(self.draws("remove"), removed)])
        changed = np.concatenate([[False], taken(self.draws("margin"), margins)]) & ~gone
        fill = np.zeros(self.count + 1, dtype=self._clean.dtype)
        if not self._instances:
            fill = surrounding(self._clean, self._known, self._numbers, gone | changed, ~gone)
        noisy = self._clean.copy()
        noisy[gone[self._numbers]] = fill[self._numbers[gone[self._numbers]]]
        grown = []
        for number in np.flatnonzero(changed).tolist():
            box, before, after = self._margin(number)
            noisy[box][before & ~after] = fill[number]
            grown.append((box, after & ~before, self._clean.ravel()[self._first[number - 1]]))
        for box, more, value in grown:
            noisy[box][more & self._known[box] & (noisy[box] == 0)] = value
        # What is added must keep clear of true objects too, also of those that are gone.
        self._board = Board(noisy, self._known & (self._numbers == 0))

    def _margin(self, number: int) -> tuple[tuple[slice, ...], NDArray[np.bool_], NDArray[np.bool_]]:
        """The box around an object, and its mask in there before and after."""
        largest, most = next((m[1:] for m in MARGINS if self._area[number - 1] < m[0]), (5, 3))
        rng = generator(self._key, "kernel", int(self._first[number - 1]))
        erodes = rng.random() < 0.5
        side, times = int(rng.integers(1, largest + 1)), int(rng.integers(1, most + 1))
        # A box of even side reaches one pixel further on one side.
        back, ahead = times * ((side - 1) // 2), times * (side // 2)
        box = tuple(
            slice(max(s.start - ahead, 0), min(s.stop + ahead, n))
            for s, n in zip(self._boxes[number - 1], self._clean.shape, strict=True)
        )
        before = self._numbers[box] == number
        inner = tuple(slice(ahead, ahead + n) for n in before.shape)
        after = np.full([n + 2 * ahead for n in before.shape], erodes)
        after[inner] = before | ~self._known[box] if erodes else before
        combine = np.logical_and if erodes else np.logical_or
        for axis in range(after.ndim):
            there = after.swapaxes(0, axis)
            after = after.copy()
            here = after.swapaxes(0, axis)
            for step in range(1, ahead + 1):
                combine(here[step:], there[:-step], out=here[step:])
            for step in range(1, back + 1):
                combine(here[:-step], there[step:], out=here[:-step])
        after = after[inner]
        return box, before, after & before if erodes else after

    def add(self, number: int) -> bool:
        """Whether an object was added in the name of this one."""
        if self._instances and self._next > np.iinfo(self._clean.dtype).max:
            return False
        rng = generator(self._key, "new", int(self._first[number]))
        model, size = rng.integers(self.count, size=2)
        mask = self._numbers[self._boxes[model]] == model + 1
        scale = (self._area[size] / self._area[model]) ** (1 / mask.ndim)
        for axis, length in enumerate(mask.shape):
            new = max(round(length * scale), 1)
            mask = mask.take(((np.arange(new) + 0.5) * length / new).astype(np.int64), axis)
        value = self._next if self._instances else int(self._clean.ravel()[self._first[model]])
        corner = self._board.place(mask, None, rng, apart=False) if mask.any() else None
        if corner is None:
            return False
        self._board.paste(mask, corner, value)
        self._next += self._instances
        return True

"""Objects that are not there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segnoise.draws import generator, uniforms
from segnoise.length import spacing_of
from segnoise.noise.base import Corruption, Params, check_share, key_of
from segnoise.noise.board import Board
from segnoise.noise.geometry import known_labels
from segnoise.noise.level import verdict
from segnoise.noise.objects import number_objects
from segnoise.noise.order import count_of


@dataclass(frozen=True)
class Commission(Corruption):
    """Copies of real objects of the same image appear at random free places, flipped and turned at random.

    Objects are copied in the order of one uniform number U_o each until the copies over the true objects of all
    images are the asked share, each object at most once. A copy is turned by one of the axis flips and permutations
    (axes of equal spacing only, so that it keeps its shape), each alike, and lies where each free place is as likely:
    no unknown pixel is covered, no object of its class (no object at all among instances) and no other copy is
    covered or touched. A copy that finds no place leaves its turn to the next object. Among instances it gets a new
    id.

    Args:
        rate: extra objects over true ones.

    Raises:
        UserError: a value outside its range.

    >>> labels = np.zeros((9, 9), dtype=np.uint8)
    >>> labels[1:3, 1:5] = labels[6, 6] = 1
    >>> noisy, record = Commission(1).corrupt(labels, seed=3)
    >>> int(labels.sum()), int(noisy.sum()), record["params"][0]["met"]
    (9, 18, 1.0)
    """

    rate: float
    name: ClassVar[str] = "commission"

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", check_share(self.name, "rate", self.rate))

    def __str__(self) -> str:
        return f"commission({self.rate!r})"

    def draw(self, shape: Sequence[int], generator: np.random.Generator) -> Params:
        return {"name": self.name, "rate": self.rate, "key": key_of(generator)}

    def apply(
        self,
        labels: NDArray[Any],
        params: Params,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
    ) -> NDArray[Any]:
        noisy = labels.copy()
        value = _first_new_id(labels)
        for first, start, stop, axes, flips, corner in params["copies"]:
            copied = labels.ravel()[first]
            box = labels[tuple(slice(*ends) for ends in zip(start, stop, strict=True))]
            mask = box == copied
            if not instances:
                # All of an object lies in its box, where it is found without labelling the whole image.
                regions = ndimage.label(mask)[0]
                inside = np.subtract(np.unravel_index(first, labels.shape), start)
                mask = regions == regions[tuple(inside)]
            mask = _turned(mask, axes, flips)
            place = tuple(slice(c, c + n) for c, n in zip(corner, mask.shape, strict=True))
            noisy[place][mask] = value if instances else copied
            value += 1
        return noisy

    def fit_apply(
        self,
        images: Sequence[NDArray[Any]],
        params: Sequence[Params],
        instances: bool = False,
        spacing: Sequence[float] | None = None,
        num_classes: int | None = None,
    ) -> list[tuple[NDArray[Any], Params]]:
        every = [_Copies(x, p["key"], instances, spacing) for x, p in zip(images, params, strict=True)]
        image = np.concatenate([np.zeros(0, np.int64), *(np.full(len(c.uniform), k) for k, c in enumerate(every))])
        number = np.concatenate([np.zeros(0, np.int64), *(np.arange(len(c.uniform)) for c in every)])
        order = np.argsort(np.concatenate([np.zeros(0), *(c.uniform for c in every)]), kind="stable")
        asked, added = count_of(self.rate, len(order)), 0
        for candidate in order:
            if added == asked:
                break
            added += every[image[candidate]].add(int(number[candidate]))
        why = f"whole objects, of which the labels have {len(order)}, come no nearer"
        if added < asked:
            why = f"of {asked} copies {added} found a free place"
        common = verdict(self.rate, added / len(order) if len(order) else 0.0, why)
        done = zip(every, params, strict=True)
        return [(found.board.labels, {**p, **common, "copies": found.copies}) for found, p in done]


class _Copies:
    """The objects of one image, each with its uniform number, and the image with the copies added so far.

    ``copies`` has of each copy what places it without another search: the flat index of its object's first pixel, the
    object's box (start and stop), the axes and flips of its turn, and the corner where it lies.
    """

    def __init__(self, labels: NDArray[Any], key: int, instances: bool, spacing: Sequence[float] | None) -> None:
        known = known_labels(labels, instances)
        self._numbers, self._first = number_objects(labels, known, instances)
        self._boxes = ndimage.find_objects(self._numbers)
        self._labels, self._key, self._instances = labels, key, instances
        self._turns = turns(labels.ndim, spacing)
        self._next = _first_new_id(labels)
        self.copies: list[list[Any]] = []
        self.board = Board(labels, known)
        self.uniform = uniforms(self._first, key, "object")

    def add(self, number: int) -> bool:
        """Whether a copy of the object found a place; what is drawn depends on this object alone."""
        value = self._next if self._instances else int(self._labels.ravel()[self._first[number]])
        if self._instances and value > np.iinfo(self._labels.dtype).max:
            return False
        rng = generator(self._key, "copy", int(self._first[number]))
        mask = self._numbers[self._boxes[number]] == number + 1
        room = self._labels.shape
        fitting = self._turns
        if max(mask.shape) > min(room):
            fitting = [turn for turn in self._turns if (np.array(mask.shape)[list(turn[0])] <= room).all()]
        axes, flips = fitting[int(rng.integers(len(fitting)))]
        mask = _turned(mask, axes, flips)
        corner = self.board.place(mask, None if self._instances else value, rng)
        if corner is None:
            return False
        self.board.paste(mask, corner, value)
        self._next += self._instances
        box = self._boxes[number]
        ends = [s.start for s in box], [s.stop for s in box]
        self.copies.append([int(self._first[number]), *ends, list(axes), list(flips), list(corner)])
        return True


def _first_new_id(labels: NDArray[Any]) -> int:
    return max(int(labels.max(initial=0)), 0) + 1


def _turned(mask: NDArray[np.bool_], axes: Sequence[int], flips: Sequence[bool]) -> NDArray[np.bool_]:
    return np.flip(mask.transpose(axes), tuple(a for a, flipped in enumerate(flips) if flipped))


def turns(axes: int, spacing: Sequence[float] | None) -> list[tuple[tuple[int, ...], tuple[bool, ...]]]:
    """The axis permutations and flips that keep a shape: eight in 2-D if pixels are square, else four.

    >>> len(turns(2, None)), len(turns(2, (1, 2))), len(turns(3, None)), len(turns(3, (5, 1, 1)))
    (8, 4, 48, 16)
    """
    side = spacing_of(spacing) or (1.0,) * axes
    kept = [order for order in permutations(range(axes)) if all(side[a] == side[order[a]] for a in range(axes))]
    return list(product(kept, product((False, True), repeat=axes)))

"""Labels that lie beside the image: all of them shifted and turned together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from segnoise.errors import UserError
from segnoise.length import Length, length_of, spacing_of
from segnoise.noise.base import Corruption, Params
from segnoise.noise.geometry import IGNORE, known_labels
from segnoise.noise.rotation import rotations
from segnoise.noise.vanishing import with_vanished


@dataclass(frozen=True, init=False)
class Misregistration(Corruption):
    """The labels of an image move by a vector of given length and random direction, and turn about the centre.

    Pixel x takes the label of the pixel nearest to ``c + R^-1 (x - c - shift)``, c the centre of the image and R a
    rotation by the given angle: clockwise or not in 2-D, about a random axis in 3-D, none on a line. What no known
    label comes to becomes unknown: 255 among classes (-1 where their type cannot hold it), -1 among ids. Pixels that
    were unknown stay so.

    Args:
        shift: length of the vector, such as ``3px`` or ``5m``.
        rotation: angle in degrees.

    Raises:
        UserError: a value outside its range, or a metric shift on a grid of unknown spacing.
        ValueError: object ids of a type without negative numbers, where a rim becomes unknown.

    >>> Misregistration("2px").corrupt(np.array([1, 0, 0, 2, 2, 0]), seed=1)[0]
    array([  0,   2,   2,   0, 255, 255])
    """

    shift: Length
    rotation: float
    name: ClassVar[str] = "misregistration"

    def __init__(self, shift: Length | str | float, rotation: float = 0.0) -> None:
        object.__setattr__(self, "shift", length_of(self.name, "shift", shift))
        if not isinstance(rotation, (int, float)) or not 0 <= rotation <= 180:
            raise UserError(f"misregistration: rotation {rotation} must be degrees from 0 to 180")
        object.__setattr__(self, "rotation", float(rotation))

    def __str__(self) -> str:
        return f"misregistration({self.shift}" + (f", rotation={self.rotation!r})" if self.rotation else ")")

    def draw(self, shape: Sequence[int], generator: np.random.Generator) -> Params:
        direction, first, second = generator.standard_normal((3, len(shape)))
        return {
            "name": self.name,
            "shift": str(self.shift),
            "direction": (direction / np.linalg.norm(direction)).tolist(),
            "rotation": self.rotation,
            "plane": [first.tolist(), second.tolist()],
        }

    def apply(
        self,
        labels: NDArray[Any],
        params: Params,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
    ) -> NDArray[Any]:
        pixel = self.shift.pixel(spacing, labels.ndim)
        offset = np.array(params["direction"]) * self.shift.value / pixel
        known = known_labels(labels, instances)
        if params["rotation"]:
            side = np.array(spacing_of(spacing) or (1.0,) * labels.ndim)
            first, second = np.array(params["plane"])
            turn = rotations(first, second, math.radians(params["rotation"]))
            moved, found = _turned(labels, known, turn.T * side / side[:, None], offset)
        else:
            moved, found = _shifted(labels, known, offset)
        noisy = np.where(found & known, moved, labels)
        rim = known & ~found
        if rim.any():
            noisy[rim] = _unknown(labels.dtype, instances)
        return noisy

    def fit_apply(
        self,
        images: Sequence[NDArray[Any]],
        params: Sequence[Params],
        instances: bool = False,
        spacing: Sequence[float] | None = None,
        num_classes: int | None = None,
    ) -> list[tuple[NDArray[Any], Params]]:
        noisy = [self.apply(x, p, instances, spacing) for x, p in zip(images, params, strict=True)]
        common = with_vanished({"met": self.shift.value}, images, noisy, instances)
        return [(x, {**p, **common}) for x, p in zip(noisy, params, strict=True)]


def _unknown(dtype: np.dtype[Any], instances: bool) -> int:
    if not instances and np.iinfo(dtype).max >= IGNORE:
        return IGNORE
    if np.iinfo(dtype).min >= 0:
        raise ValueError(f"{dtype} cannot hold -1, the unknown object")
    return -1


def _shifted(
    labels: NDArray[Any], known: NDArray[np.bool_], offset: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The labels moved by whole pixels, and where there is a known one."""
    moved, found = labels.copy(), np.zeros(labels.shape, dtype=bool)
    there, here = [], []
    for size, step in zip(labels.shape, offset, strict=True):
        whole = max(-size, min(size, -math.floor(0.5 - step)))
        here.append(slice(max(whole, 0), size + min(whole, 0)))
        there.append(slice(max(-whole, 0), size - max(whole, 0)))
    moved[tuple(here)] = labels[tuple(there)]
    found[tuple(here)] = known[tuple(there)]
    return moved, found


def _turned(
    labels: NDArray[Any], known: NDArray[np.bool_], matrix: NDArray[np.float64], offset: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The labels read through ``matrix`` about the centre, and where there is a known one."""
    moved, found = labels.copy(), np.zeros(labels.shape, dtype=bool)
    centre = (np.array(labels.shape) - 1) / 2
    start = centre - matrix @ (centre + offset)
    flat_labels, flat_known = labels.reshape(-1), known.reshape(-1)
    rows = max(1, _CHUNK * len(labels) // labels.size)
    inner = np.ogrid[tuple(slice(0, n) for n in labels.shape)]
    for first in range(0, len(labels), rows):
        part = slice(first, first + rows)
        here = [inner[0][part], *inner[1:]]
        source: NDArray[Any] = np.zeros(1, dtype=np.intp)
        inside: NDArray[Any] = np.ones(1, dtype=bool)
        for size, row, begin in zip(labels.shape, matrix, start, strict=True):
            position = np.floor(sum((c * x for c, x in zip(row, here, strict=True)), begin + 0.5)).astype(np.intp)
            inside = inside & (position >= 0) & (position < size)
            source = source * size + position
        source = np.where(inside, source, 0)
        moved[part] = flat_labels[source]
        found[part] = inside & flat_known[source]
    return moved, found


_CHUNK = 2**17
"""Pixels looked at together, few enough to stay in the processor's cache."""

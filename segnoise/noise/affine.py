"""Objects drawn in the right shape at the wrong place, size or angle, each by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from segnoise.draws import uniforms
from segnoise.errors import UserError
from segnoise.length import Length, length_of, spacing_of
from segnoise.noise.base import Corruption, Params, check_share, key_of
from segnoise.noise.geometry import known_labels
from segnoise.noise.level import solve_scale, verdict
from segnoise.noise.objects import number_objects
from segnoise.noise.rotation import rotations
from segnoise.noise.surrounding import surrounding
from segnoise.noise.vanishing import with_vanished

LARGEST_SCALE = 2.0
"""No object becomes larger or smaller than by this factor."""


@dataclass(frozen=True, init=False)
class Affine(Corruption):
    """Every object o turns, scales and moves: pixel x shows it iff ``c + R^-1 (x - c - t) / k`` lies in it.

    c is its centroid. The angle of R, ``log k`` and each component of t are normal with the given standard deviations,
    drawn from the key and from where the object starts in raster order; k stays between 1/2 and 2, and in three
    dimensions R turns about a random axis. Objects are painted from large to small. What they leave takes the class
    that surrounds most of the object, or background (0) among ids.

    With a ``loss`` one factor common to all objects of all images scales the three deviations such that the mean of
    1 - IoU between an object before and after, as it then shows, is within 5 % of it.

    Args:
        rotation: standard deviation of the angle, in degrees.
        scale: standard deviation of the logarithm of the scale.
        shift: standard deviation of the displacement along each axis, such as ``2px`` or ``5m``.
        loss: mean loss of IoU, from 0 to 1; default: whatever the deviations give.

    Raises:
        UserError: a value outside its range, or a metric shift on a grid of unknown spacing.

    >>> labels = np.zeros((60, 60), dtype=np.uint8)
    >>> labels[10:30, 10:30] = labels[40:50, 30:55] = 1
    >>> noisy, record = Affine(loss=0.3).corrupt(labels, seed=1)
    >>> round(record["params"][0]["met"], 1)
    0.3
    """

    rotation: float
    scale: float
    shift: Length
    loss: float | None
    name: ClassVar[str] = "affine"

    def __init__(
        self,
        rotation: float = 10.0,
        scale: float = 0.1,
        shift: Length | str | float = "2px",
        loss: float | None = None,
    ) -> None:
        for what, value in (("rotation", rotation), ("scale", scale)):
            if not isinstance(value, (int, float)) or not 0 <= value < np.inf:
                raise UserError(f"affine: {what} {value} must be a plain number that is not negative")
        object.__setattr__(self, "rotation", float(rotation))
        object.__setattr__(self, "scale", float(scale))
        object.__setattr__(self, "shift", length_of(self.name, "shift", shift))
        object.__setattr__(self, "loss", None if loss is None else check_share(self.name, "loss", loss))
        if self.loss and not (self.rotation or self.scale or self.shift.value):
            raise UserError("affine: a loss needs a rotation, a scale or a shift above 0 to come from")

    def __str__(self) -> str:
        loss = "" if self.loss is None else f", loss={self.loss!r}"
        return f"affine(rotation={self.rotation!r}, scale={self.scale!r}, shift={self.shift}{loss})"

    def draw(self, shape: Sequence[int], generator: np.random.Generator) -> Params:
        return {
            "name": self.name,
            "rotation": self.rotation,
            "scale": self.scale,
            "shift": str(self.shift),
            "loss": self.loss,
            "key": key_of(generator),
        }

    def apply(
        self,
        labels: NDArray[Any],
        params: Params,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
    ) -> NDArray[Any]:
        objects = _Objects(labels, params["key"], self, instances, spacing)
        return objects.shown(objects.moved(params["strength"]))

    def fit_apply(
        self,
        images: Sequence[NDArray[Any]],
        params: Sequence[Params],
        instances: bool = False,
        spacing: Sequence[float] | None = None,
        num_classes: int | None = None,
    ) -> list[tuple[NDArray[Any], Params]]:
        sets = [_Objects(x, p["key"], self, instances, spacing) for x, p in zip(images, params, strict=True)]
        count = sum(objects.count for objects in sets)

        def loss(strength: float) -> float:
            lost = sum(objects.lost(objects.moved(strength)) for objects in sets)
            return lost / count if count else 0.0

        strength = 1.0 if self.loss is None else solve_scale(loss, self.loss, 2.0**-8, 2.0**8)[0]
        moved = [objects.moved(strength) for objects in sets]
        noisy = [objects.shown(numbers) for objects, numbers in zip(sets, moved, strict=True)]
        lost = sum(objects.lost(numbers) for objects, numbers in zip(sets, moved, strict=True))
        met = lost / count if count else 0.0
        why = f"the {count} objects come no nearer with any strength of this" if count else "the labels have no objects"
        common = verdict(met if self.loss is None else self.loss, met, why)
        common = {"strength": strength, **with_vanished(common, images, noisy, instances)}
        return [(x, {**p, **common}) for x, p in zip(noisy, params, strict=True)]


class _Objects:
    """The objects of one image, and where each of them goes."""

    def __init__(
        self, labels: NDArray[Any], key: int, noise: Affine, instances: bool, spacing: Sequence[float] | None
    ) -> None:
        axes = labels.ndim
        self.labels, self.instances = labels, instances
        self.known = known_labels(labels, instances)
        self.numbers, first = number_objects(labels, self.known, instances)
        self.count = len(first)
        self.area, self.centroid, low, high = _extents(self.numbers, self.count)
        self.middle, self.half = (low + high) / 2, (high - low + 1) / 2
        self.value = np.concatenate([np.zeros(1, labels.dtype), labels.reshape(-1)[first]])
        self.order = np.argsort(-self.area, kind="stable")

        def normals(*what: int | str) -> NDArray[np.float64]:
            return ndtri(np.maximum(uniforms(first, key, "object", *what), 2.0**-54))

        self.turn = np.radians(noise.rotation) * normals("angle")
        self.log_scale = noise.scale * normals("scale")
        pixel = np.array(noise.shift.pixel(spacing, axes))
        self.shift = noise.shift.value / pixel * np.stack([normals("shift", a) for a in range(axes)], axis=1)
        self.side = np.array(spacing_of(spacing) or (1.0,) * axes)
        self.plane = np.broadcast_to(np.eye(axes)[:2], (self.count, min(axes, 2), axes))
        if axes > 2:
            drawn = [normals("plane", which, a) for which in range(2) for a in range(axes)]
            self.plane = np.stack(drawn, axis=1).reshape(self.count, 2, axes)

    def moved(self, strength: float) -> NDArray[np.int32]:
        """The number of the object that each pixel shows, 0 for none."""
        shown = np.zeros(self.labels.shape, dtype=np.int32)
        if not self.count:
            return shown
        turn = rotations(self.plane[:, 0], self.plane[:, -1], strength * self.turn)
        bound = np.log(LARGEST_SCALE)
        scale = np.exp(np.clip(strength * self.log_scale, -bound, bound))[:, None, None]
        there = turn * self.side / self.side[:, None] * scale
        back = turn.swapaxes(1, 2) * self.side / self.side[:, None] / scale
        goal = self.centroid + strength * self.shift
        middle = goal + (there @ (self.middle - self.centroid)[..., None])[..., 0]
        half = (np.abs(there) @ self.half[..., None])[..., 0]
        rows = _Rows(self.order, middle - half, middle + half, self.labels.shape)
        # A row begins at this source position, and each pixel along it lies one slope further. All positions lie one
        # pixel further in than they are, in a map with a rim of no object around it; there, whole numbers round down.
        slope = back[rows.owner, :, -1].T.copy()
        begin = (self.centroid - (back @ goal[..., None])[..., 0] + 1.5)[rows.owner]
        begin = (begin + (back[rows.owner] @ rows.start[..., None])[..., 0]).T.copy()
        rimmed, painted = np.pad(self.numbers.astype(np.int32), 1), shown.reshape(-1)
        numbers, number = rimmed.reshape(-1), (rows.owner + 1).astype(np.int32)
        for part, along in rows.chunks():
            width = rows.width[part]
            distance = along.astype(np.float64)
            source = np.zeros(len(along), dtype=np.intp)
            for axis, size in enumerate(rimmed.shape):
                position = np.repeat(slope[axis, part], width)
                position *= distance
                position += np.repeat(begin[axis, part], width)
                np.clip(position, 0, size - 1, out=position)
                source *= size
                source += position.astype(np.intp)
            owner = np.repeat(number[part], width)
            own = np.flatnonzero(numbers[source] == owner)
            along += np.repeat(rows.flat[part], width)
            painted[along[own]] = owner[own]  # of repeated indices numpy keeps the last
        shown[~self.known] = 0
        return shown

    def lost(self, moved: NDArray[np.int32]) -> float:
        """The sum over objects of 1 - IoU with where they were."""
        both = np.bincount(moved[moved == self.numbers], minlength=self.count + 1)[1:]
        after = np.bincount(moved.reshape(-1), minlength=self.count + 1)[1:]
        return float(np.sum(1 - both / (self.area + after - both)))

    def shown(self, moved: NDArray[np.int32]) -> NDArray[Any]:
        """The labels with every object where it has moved."""
        noisy = self.labels.copy()
        changed = np.flatnonzero(moved != self.numbers)
        now, before = moved.reshape(-1)[changed], self.numbers.reshape(-1)[changed]
        fill = np.zeros(self.count + 1, dtype=self.labels.dtype)
        if not self.instances and (now == 0).any():
            every = np.ones(self.count + 1, dtype=bool)
            fill = surrounding(self.labels, self.known, self.numbers, every, every)
        noisy.reshape(-1)[changed] = np.where(now > 0, self.value[now], fill[before])
        return noisy


class _Rows:
    """Rows of pixels along the last axis that cover boxes, box after box."""

    def __init__(
        self,
        order: NDArray[np.int64],
        low: NDArray[np.float64],
        high: NDArray[np.float64],
        shape: tuple[int, ...],
    ) -> None:
        first = np.clip(np.ceil(low), 0, shape).astype(np.int64)
        size = np.clip(np.floor(high) + 1, first, shape).astype(np.int64) - first
        count = size[:, :-1].prod(axis=1) * (size[:, -1] > 0)
        self.owner = np.repeat(order, count[order])
        number = np.arange(len(self.owner)) - np.repeat(np.cumsum(count[order]) - count[order], count[order])
        self.start = first[self.owner]
        for axis in reversed(range(len(shape) - 1)):
            number, step = np.divmod(number, size[self.owner, axis])
            self.start[:, axis] += step
        self.width = size[self.owner, -1]
        self.flat = self.start @ np.array([int(np.prod(shape[a + 1 :])) for a in range(len(shape))])

    def chunks(self) -> Iterator[tuple[slice, NDArray[np.int64]]]:
        """Groups of rows, and for each of their pixels how far along its row it lies."""
        stop = np.cumsum(self.width)
        last = 0
        while last < len(stop):
            done = int(stop[last - 1]) if last else 0
            until = max(last + 1, int(np.searchsorted(stop, done + _CHUNK, side="right")))
            part = slice(last, until)
            yield (
                part,
                np.arange(int(stop[until - 1]) - done)
                - np.repeat(stop[part] - self.width[part] - done, self.width[part]),
            )
            last = until


_CHUNK = 2**17
"""Pixels looked at together, few enough to stay in the processor's cache."""


def _extents(
    numbers: NDArray[np.int64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Area, centroid, first and last position along each axis of every object."""
    # Runs of one object along the last axis are far fewer than its pixels.
    new = np.ones(numbers.shape, dtype=bool)
    np.not_equal(numbers[..., 1:], numbers[..., :-1], out=new[..., 1:])
    start = np.flatnonzero(new)
    length = np.diff(start, append=numbers.size)
    owner = numbers.reshape(-1)[start]
    start, length, owner = start[owner > 0], length[owner > 0], owner[owner > 0] - 1
    area = np.bincount(owner, weights=length, minlength=count).astype(np.int64)
    axes = numbers.ndim
    centroid = np.zeros((count, axes))
    low = np.full((count, axes), numbers.size)
    high = np.full((count, axes), -1)
    for axis, first in enumerate(np.unravel_index(start, numbers.shape)):
        last = first + length - 1 if axis == axes - 1 else first
        centroid[:, axis] = np.bincount(owner, weights=length * (first + last) / 2, minlength=count) / area
        np.minimum.at(low[:, axis], owner, first)
        np.maximum.at(high[:, axis], owner, last)
    return area, centroid, low, high

"""Objects drawn too large or too small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segnoise.length import Length, length_of
from segnoise.noise.base import Corruption, Params
from segnoise.noise.geometry import known_labels
from segnoise.noise.level import verdict
from segnoise.noise.vanishing import with_vanished


@dataclass(frozen=True, init=False)
class Dilate(Corruption):
    """Every object or class above 0 grows into the background (0) by a distance.

    A background pixel x takes the label of the nearest pixel above 0 iff x lies no further than the distance from
    that one's edge: ``|x - y| - h <= distance``, h half a pixel in the direction of x - y. Objects do not grow into
    each other or into unknown pixels.

    Args:
        distance: how far, such as ``2px`` or ``5m``; fractions of a pixel are thresholds like any other.

    Raises:
        UserError: a distance that is negative or has no unit, or a metric one on a grid of unknown spacing.

    >>> Dilate("2px").corrupt(np.array([0, 0, 0, 5, 0, 255, 0]), seed=0)[0]
    array([  0,   5,   5,   5,   5, 255,   0])
    """

    distance: Length
    name: ClassVar[str] = "dilate"

    def __init__(self, distance: Length | str | float) -> None:
        object.__setattr__(self, "distance", length_of(self.name, "distance", distance))

    def __str__(self) -> str:
        return f"{self.name}({self.distance})"

    def draw(self, shape: Sequence[int], generator: np.random.Generator) -> Params:
        return {"name": self.name, "distance": str(self.distance)}

    def apply(
        self,
        labels: NDArray[Any],
        params: Params,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
    ) -> NDArray[Any]:
        known = known_labels(labels, instances)
        pixels, nearest = within(known & (labels > 0), known & (labels == 0), self.distance, spacing)
        noisy = labels.copy()
        noisy.reshape(-1)[pixels] = labels.reshape(-1)[nearest]
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
        moved = any((a != b).any() for a, b in zip(images, noisy, strict=True))
        why = f"no pixel lies within {self.distance} of a boundary with the background"
        met = verdict(self.distance.value, self.distance.value if moved else 0.0, why)
        common = with_vanished(met, images, noisy, instances)
        return [(x, {**p, **common}) for x, p in zip(noisy, params, strict=True)]


@dataclass(frozen=True, init=False)
class Erode(Dilate):
    """The background (0) grows into every object or class above 0 by a distance: :class:`Dilate` the other way round.

    Where two objects touch, neither gives way.

    >>> Erode("1px").corrupt(np.array([[0, 3, 3, 3, 4, 4, 0]]), seed=0)[0]
    array([[0, 0, 3, 3, 4, 0, 0]])
    """

    name: ClassVar[str] = "erode"

    def apply(
        self,
        labels: NDArray[Any],
        params: Params,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
    ) -> NDArray[Any]:
        known = known_labels(labels, instances)
        pixels, _ = within(known & (labels == 0), known & (labels > 0), self.distance, spacing)
        noisy = labels.copy()
        noisy.reshape(-1)[pixels] = 0
        return noisy


def within(
    sources: NDArray[np.bool_], others: NDArray[np.bool_], distance: Length, spacing: Sequence[float] | None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The pixels of ``others`` within a distance of the edge of ``sources``, and the nearest source of each.

    Both are flat indices. The edge lies half a pixel from a source's centre, in the direction of the other pixel.

    >>> sources = np.array([True, False, False, False])
    >>> within(sources, ~sources, Length(1.5, "px"), None)
    (array([1, 2]), array([0, 0]))
    """
    pixel = distance.pixel(spacing, sources.ndim)
    none = np.zeros(0, dtype=np.intp)
    if distance.value == 0 or not sources.any():
        return none, none
    nearest = ndimage.distance_transform_edt(~sources, sampling=pixel, return_distances=False, return_indices=True)
    found, origin = [], []
    row = sources.size // len(sources)
    axes = [
        np.arange(n).reshape([-1 if a == k else 1 for a in range(sources.ndim)]) for k, n in enumerate(sources.shape)
    ]
    for start in range(0, len(sources), max(1, _CHUNK // row)):
        part = slice(start, start + max(1, _CHUNK // row))
        steps = np.zeros(sources[part].shape, dtype=np.int64)
        metric = np.zeros(sources[part].shape)
        for there, here, side in zip(nearest[:, part], [axes[0][part], *axes[1:]], pixel, strict=True):
            square = np.square(there - here)
            steps += square
            metric += square * (side * side)
        with np.errstate(divide="ignore", invalid="ignore"):
            near = np.sqrt(metric) * (1 - 0.5 / np.sqrt(steps)) <= distance.value * (1 + 1e-9)
        near &= others[part]
        found.append(np.flatnonzero(near) + start * row)
        origin.append(np.ravel_multi_index(tuple(axis[part][near] for axis in nearest), sources.shape))
    return np.concatenate(found), np.concatenate(origin)


_CHUNK = 2**17
"""Pixels looked at together, few enough to stay in the processor's cache."""

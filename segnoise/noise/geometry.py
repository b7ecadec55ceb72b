"""Label boundaries: the nearest one to each pixel, how far it is, and how long all of them are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

IGNORE = 255


def known_labels(labels: NDArray[Any], instances: bool) -> NDArray[np.bool_]:
    """Where there is a label: not 255 and not negative among classes, not negative among object ids.

    >>> known_labels(np.array([0, 255, -1]), instances=False), known_labels(np.array([0, 255, -1]), instances=True)
    (array([ True, False, False]), array([ True,  True, False]))
    """
    if np.issubdtype(labels.dtype, np.unsignedinteger):
        return np.ones(labels.shape, dtype=bool) if instances else labels != IGNORE
    return labels >= 0 if instances else (labels >= 0) & (labels != IGNORE)


def face_pairs(labels: NDArray[Any], known: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """For each axis, the flat indices of the two pixels at every face between two known, different labels.

    >>> [(a.tolist(), b.tolist()) for a, b in face_pairs(np.array([[0, 1, 1]]), np.ones((1, 3), bool))]
    [([], []), ([0], [1])]
    """
    for axis in range(labels.ndim):
        lower = tuple(slice(None, -1) if a == axis else slice(None) for a in range(labels.ndim))
        upper = tuple(slice(1, None) if a == axis else slice(None) for a in range(labels.ndim))
        face = np.zeros(labels.shape, dtype=bool)
        np.not_equal(labels[lower], labels[upper], out=face[lower])
        face &= known
        face[lower] &= known[upper]
        first = np.flatnonzero(face)
        yield first, first + math.prod(labels.shape[axis + 1 :])


def boundary_length(labels: NDArray[Any], known: NDArray[np.bool_], pixel: Sequence[float]) -> float:
    """Length (2-D) or area (3-D) of the boundaries between labels, in the unit of ``pixel``.

    The staircase of pixel faces is longer than the curve it follows: by 4 / pi for a curve of random direction in
    2-D and by 3 / 2 for a surface in 3-D, so faces count (pi / 4) and (2 / 3). A volume of one slice is 2-D.

    >>> disc = (np.hypot(*np.mgrid[-50:51, -50:51]) < 40).astype(int)
    >>> boundary_length(disc, np.ones_like(disc, bool), (1, 1)) / (2 * np.pi * 40)
    0.99...
    """
    share = {2: math.pi / 4, 3: 2 / 3}.get(sum(size > 1 for size in labels.shape), 1.0)
    cell = math.prod(pixel)
    return share * sum(len(a) * cell / side for (a, _), side in zip(face_pairs(labels, known), pixel, strict=True))


def compact(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The distinct values in ascending order, and where each element's value stands among them.

    >>> compact(np.array([7, 3, 7]))
    (array([3, 7]), array([1, 0, 1]))
    """
    if not values.size or int(values.min()) < 0 or int(values.max()) > 4 * values.size + 1024:
        distinct, position = np.unique(values, return_inverse=True)
        return distinct, position.astype(np.int64)
    # Ids are mostly dense; a table needs no sort of every pixel.
    present = np.zeros(int(values.max()) + 1, dtype=bool)
    present[values] = True
    return np.flatnonzero(present).astype(values.dtype), (np.cumsum(present) - 1)[values]


def nearest_other(
    labels: NDArray[Any], known: NDArray[np.bool_], pixel: Sequence[float]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each pixel, the nearest pixel across the boundary of its own region, and its distance to that boundary.

    Across means: known, of another label, and sharing a face with this pixel's label. Unknown pixels are neither
    crossed into nor seen. The pixel is given by flat index, -1 where there is none; the distance is the one between
    centres less half a pixel, in the unit of ``pixel``, inf where there is none.

    >>> nearest_other(np.array([0, 0, 0, 1, 2]), np.ones(5, bool), (10.0,))
    (array([3, 3, 3, 2, 3]), array([25., 15.,  5.,  5.,  5.]))
    """
    found = np.full(labels.shape, -1, dtype=np.int64)
    distance = np.full(labels.shape, np.inf)
    equal = len(set(pixel)) == 1
    strides = [math.prod(labels.shape[axis + 1 :]) for axis in range(labels.ndim)]
    if int(labels.max(initial=0)) < min(4 * labels.size + 1024, 2**31 - 1):
        region = labels.astype(np.int32)
        region += 1
        region *= known
    else:
        region = np.zeros(labels.shape, dtype=np.int32)
        region[known] = compact(labels[known])[1] + 1
    for number, box in enumerate(ndimage.find_objects(region), start=1):
        if box is None:
            continue
        # Whatever shares a face with a region lies within one pixel of its box.
        padded = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in box)
        inside = region[padded] == number
        across = _with_neighbours(inside) & ~inside & known[padded]
        if not across.any():
            continue
        nearest = ndimage.distance_transform_edt(~across, sampling=pixel, return_distances=False, return_indices=True)
        every = np.flatnonzero(inside)
        corner = sum(s.start * stride for s, stride in zip(padded, strides, strict=True))
        for start in range(0, len(every), CHUNK):
            own = every[start : start + CHUNK]
            here = np.unravel_index(own, inside.shape)
            steps, metric = np.zeros(len(own)), np.zeros(len(own) * (not equal))
            place, other = np.full(len(own), corner), np.full(len(own), corner)
            for axis, side in enumerate(pixel):
                there = nearest[axis].reshape(-1)[own]
                square = np.square(there - here[axis], dtype=np.float64)
                steps += square
                if not equal:
                    metric += square * (side * side)
                place += here[axis] * strides[axis]
                other += there * strides[axis]
            found.reshape(-1)[place] = other
            steps = np.sqrt(steps, out=steps)
            distance.reshape(-1)[place] = (steps * pixel[0] if equal else np.sqrt(metric)) * (1 - 0.5 / steps)
    return found, distance


def _with_neighbours(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask and all that shares a face with it."""
    grown = mask.copy()
    for axis in range(mask.ndim):
        here, there = grown.swapaxes(0, axis), mask.swapaxes(0, axis)
        here[1:] |= there[:-1]
        here[:-1] |= there[1:]
    return grown


CHUNK = 2**17
"""Pixels looked at together, few enough to stay in the processor's cache."""

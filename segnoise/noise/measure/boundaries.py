"""How far the given boundaries lie from the true ones, and how alike neighbouring pieces of them move."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segnoise.noise.geometry import face_pairs
from segnoise.noise.latent import Together, rho_of
from segnoise.noise.measure.classes import share

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BINS = (-np.inf, *range(-16, 17), np.inf)
ALONG = (1, 2, 4, 8)
"""Distances, in pixels along axes summed, at which neighbouring pieces of boundary are compared."""
LEAST_MOVED = 50


def signed_displacement(
    given: NDArray[Any], clean: NDArray[Any], known: NDArray[np.bool_], distance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """At each face of the given boundaries, how far the nearest true one is: positive where the larger label grew.

    ``distance`` is that of each pixel to the true boundary of its region, inf where there is none; faces there are
    left out.
    """
    flat_given, flat_clean, flat_distance = given.ravel(), clean.ravel(), distance.ravel()
    sides = []
    for a, b in face_pairs(given, known):
        larger = np.maximum(flat_given[a], flat_given[b])
        # Inside the true extent of the larger label its boundary has retreated; outside, it has advanced.
        sides.append(sum(np.where(flat_clean[x] >= larger, -0.5, 0.5) * flat_distance[x] for x in (a, b)))
    signed: NDArray[np.float64] = np.concatenate(sides)
    return signed[np.isfinite(signed)]


def describe_displacement(signed: NDArray[np.float64], changed: float, length: float) -> dict[str, Any]:
    """Distribution of the signed displacement of all faces of all images, and changed area over boundary length."""
    empty = not len(signed)
    return {
        "faces": len(signed),
        "quantiles": {f"{q:g}": None if empty else float(np.quantile(signed, q)) for q in QUANTILES},
        "mean_absolute": None if empty else float(np.abs(signed).mean()),
        "bias": None if empty else float(signed.mean()),
        "changed_per_length": share(changed, length),
    }


def histogram_of(signed: NDArray[np.float64]) -> dict[str, Any]:
    """Counts of faces by displacement, in steps of one pixel about -16 .. 16; the outer bins are open.

    >>> histogram_of(np.array([0.5, 0.5, 99.0]))["counts"][-1]
    1
    """
    return {"edges_px": list(BINS[1:-1]), "counts": np.histogram(signed, BINS)[0].tolist()}


def pieces_together(
    changed: NDArray[np.bool_], clean: NDArray[Any], known: NDArray[np.bool_], left_out: NDArray[np.bool_]
) -> list[Together]:
    """How often neighbouring pixels at the true boundaries change together, on the smaller and the larger label's side.

    A pixel beside a boundary changes iff that piece of it moved past the pixel's centre. If boundaries move by a
    Gaussian field, the correlation of such changes inverts to that of the field (:func:`along_boundary`), whatever
    rounding to pixels does to displacements.

    Args:
        changed: pixels whose given label differs from the true one.
        clean: true labels.
        known: pixels whose labels are known.
        left_out: pixels of regions whose boundary says nothing, such as objects that are missed altogether.
    """
    smaller, larger = np.zeros(clean.size, dtype=bool), np.zeros(clean.size, dtype=bool)
    flat = clean.ravel()
    for a, b in face_pairs(clean, known & ~left_out):
        up = flat[a] < flat[b]
        smaller[np.where(up, a, b)] = True
        larger[np.where(up, b, a)] = True
    return [_pairs(side, changed) for side in (smaller, larger)]


def along_boundary(pieces: Sequence[Together]) -> float | None:
    """Correlation, from one pixel to the next along the boundaries, of how far they moved; None if few moved."""
    if sum(one.errors for one in pieces) < LEAST_MOVED:
        return None
    return rho_of(pieces, ALONG[: len(pieces[0].pairs)])


def _pairs(there: NDArray[np.bool_], changed: NDArray[np.bool_]) -> Together:
    shape, flat = changed.shape, changed.ravel()
    points = np.flatnonzero(there)
    place = np.unravel_index(points, shape)
    moved = flat[points]
    pairs, joint = [], []
    lags = ALONG if len(shape) < 3 else ALONG[:-1]  # a volume has too many steps of length 8
    if not moved.any():
        return Together(0, len(points), (0,) * len(lags), (0,) * len(lags))
    for lag in lags:
        pair = both = 0
        for step in _steps(lag, len(shape)):
            target = [axis + s for axis, s in zip(place, step, strict=True)]
            inside = np.logical_and.reduce([(t >= 0) & (t < n) for t, n in zip(target, shape, strict=True)])
            index = np.ravel_multi_index([t[inside] for t in target], shape)
            met = there[index]
            pair += int(np.count_nonzero(met))
            both += int(np.count_nonzero(moved[inside][met] & flat[index[met]]))
        pairs.append(pair)
        joint.append(both)
    return Together(int(np.count_nonzero(moved)), len(points), tuple(pairs), tuple(joint))


def _steps(lag: int, axes: int) -> list[tuple[int, ...]]:
    """The steps to half of the pixels whose distances along the axes sum to ``lag``; the other half mirrors it.

    >>> _steps(1, 2)
    [(0, 1), (1, 0)]
    """
    steps = itertools.product(range(-lag, lag + 1), repeat=axes)
    return [step for step in steps if sum(map(abs, step)) == lag and step > (0,) * axes]

"""Fields as objects: connected pixels of the field class, grown back over the boundary class between them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segnoise.vector.canonical import UNKNOWN, canonical


def label_instances(
    classes: NDArray[Any],
    field: int = 1,
    boundary: int | None = 2,
    min_pixels: int = 0,
    regrow: bool = True,
    regrow_px: int = 3,
) -> NDArray[np.int32]:
    """Numbers the 4-connected components of class ``field``: 0 = none, ids 1..n in raster order of first pixels.

    With ``regrow``, each pixel p of class ``boundary`` joins the nearest component,

        id(p) = id(argmin_q |p - q|),   q in a component,  |p - q| <= regrow_px,

    ties to the smallest id of the components before growth, so that neighbours touch as the fields they stand
    for do. A field stays one 4-connected piece: what could reach it only across other classes stays 0.

    Args:
        classes: class indices, ``H W``; 255 is unknown and never part of a field.
        field: the class of field interiors.
        boundary: the class of field edges; None for labels that have none.
        min_pixels: components with fewer pixels, counted before growth, are left out.
        regrow: whether boundary pixels are given back.
        regrow_px: how far, in pixels.

    Raises:
        ValueError: if ``classes`` is not two-dimensional, or 255 is asked for as a class.

    >>> label_instances(np.array([[1, 1, 2, 2, 1], [0, 255, 0, 0, 1]]))
    array([[1, 1, 1, 2, 2],
           [0, 0, 0, 0, 2]], dtype=int32)
    """
    classes = np.asarray(classes)
    if classes.ndim != 2:
        raise ValueError(f"classes must be H W, not of shape {classes.shape}")
    if UNKNOWN in (field, boundary):
        raise ValueError(f"{UNKNOWN} stands for unknown pixels; it cannot be a class")
    ids, _ = ndimage.label(classes == field)
    if min_pixels > 1:
        small = np.bincount(ids.ravel()) < min_pixels
        ids[small[ids]] = 0
    # Ties go to the smallest id, so ids must already be canonical: scipy does not promise their order.
    ids = canonical(ids).ids
    if regrow and boundary is not None:
        ids = canonical(_give_back(ids, classes == boundary, regrow_px)).ids
    return ids


def _give_back(ids: NDArray[np.int32], edge: NDArray[np.bool_], reach: int) -> NDArray[np.int32]:
    """The ids with ``edge`` pixels joined to the nearest id within ``reach``, ids staying 4-connected.

    Looks around the edge pixels only, nearest offsets first: for a few pixels of reach this is the exact
    nearest neighbour at a fraction of the time and memory of a distance transform of the whole raster.
    """
    padded = np.pad(ids, max(reach, 1))
    settled, row = padded.ravel(), padded.shape[1]
    pending = np.flatnonzero(np.pad(edge, max(reach, 1)))
    nearest = np.zeros(len(pending), np.int32)
    reachable = [(dy, dx) for dy in range(-reach, reach + 1) for dx in range(-reach, reach + 1)]
    for squared in sorted({dy * dy + dx * dx for dy, dx in reachable} - {0}):
        if squared > reach * reach:
            break
        offsets = np.array([dy * row + dx for dy, dx in reachable if dy * dy + dx * dx == squared])
        open_ = np.flatnonzero(nearest == 0)
        nearest[open_] = _smallest_id(settled, pending[open_], offsets)
    pending, nearest = pending[nearest > 0], nearest[nearest > 0]
    cross = np.array([-row, -1, 1, row])
    # First along a component's own pixels; what is left (a nearest component met only corner to corner) then
    # joins any neighbour, for a one-pixel gap between two fields would be a hole in the coverage.
    for own in (True, False):
        while len(pending):
            around = settled[pending[:, None] + cross]
            if own:
                joins = np.where((around == nearest[:, None]).any(axis=1), nearest, 0)
            else:
                joins = _smallest_id(settled, pending, cross)
            if not joins.any():
                break
            settled[pending[joins > 0]] = joins[joins > 0]
            pending, nearest = pending[joins == 0], nearest[joins == 0]
    inner = slice(max(reach, 1), -max(reach, 1))
    return settled.reshape(padded.shape)[inner, inner]


def _smallest_id(ids: NDArray[np.int32], at: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.int32]:
    """The smallest positive id at any of the offsets from each place; 0 where there is none."""
    none = np.iinfo(np.int32).max
    smallest = np.full(len(at), none, np.int32)
    for offset in offsets:
        near = ids[at + offset]
        np.minimum(smallest, np.where(near > 0, near, none), out=smallest)
    return np.where(smallest == none, 0, smallest).astype(np.int32)


def instance_confidence(instances: NDArray[Any], probability: NDArray[Any]) -> NDArray[np.float64]:
    """The mean probability inside each instance,  c_i = mean{p(x) : instances(x) = i},  i = 1..n.

    Args:
        instances: ids ``H W``; values <= 0 are no instance; n is the largest id.
        probability: ``H W`` in 0..1; non-finite pixels are left out.

    Returns:
        Float64 ``n``; nan for an id without finite pixels.

    Raises:
        ValueError: if the shapes differ.

    >>> instance_confidence(np.array([[1, 1, 0, 2]]), np.array([[0.5, 1.0, 0.1, 0.25]]))
    array([0.75, 0.25])
    """
    if instances.shape != probability.shape:
        raise ValueError(f"instances {instances.shape} and probability {probability.shape} differ in shape")
    counted = (instances > 0) & np.isfinite(probability)
    ids = instances[counted].astype(np.int64)
    size = int(instances.max(initial=0)) + 1
    total = np.bincount(ids, weights=probability[counted].astype(np.float64), minlength=size)[1:]
    count = np.bincount(ids, minlength=size)[1:]
    return np.divide(total, count, out=np.full(size - 1, np.nan), where=count > 0)

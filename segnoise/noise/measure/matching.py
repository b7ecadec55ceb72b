"""Which given object stands for which true one: found, missed, merged, split, extra."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segnoise.noise.objects import number_objects

FOUND_IOU = 0.1
"""A true and a given object that overlap with a greater IoU have to do with each other."""


@dataclass(frozen=True)
class Objects:
    """The objects of one pair of maps; one entry an object in each array.

    ``missed``, ``merged`` and ``split`` are about true objects, ``extra`` is about given ones; ``shift`` is, for the
    true objects that one given object stands for alone, how far the centroid moved (px per axis), without those that
    the edge of what is known may have cut.
    """

    true_area: NDArray[np.int64]
    given_area: NDArray[np.int64]
    missed: NDArray[np.bool_]
    merged: NDArray[np.bool_]
    split: NDArray[np.bool_]
    extra: NDArray[np.bool_]
    shift: NDArray[np.float64]


class Numbers(NamedTuple):
    """Per pixel the number of its true and its given object, from 1 (0 none), and the given map in true ids.

    In ``given_ids`` a given object has the id of the true object it covers most of, or one that no true object has, so
    that two instance maps can be compared by value; -1 is unknown.
    """

    true: NDArray[np.int64]
    given: NDArray[np.int64]
    given_ids: NDArray[np.int64]


def match_objects(
    given: NDArray[Any], clean: NDArray[Any], known: NDArray[np.bool_], instances: bool
) -> tuple[Objects, Numbers]:
    """Matches objects by overlap; without ids, only regions of the same class are matched.

    A true object is missed iff no given one overlaps with it at an IoU above 0.1, and a given one is extra iff no true
    one does. Among the pairs above 0.1, true objects are merged iff one given object has most of each of two or more
    of them, and a true object is split iff it holds most of each of two or more given ones.

    >>> true = np.array([[1, 1, 0, 2, 2, 0, 3, 3]])
    >>> drawn = np.array([[7, 7, 7, 7, 7, 0, 0, 0]])
    >>> m, _ = match_objects(drawn, true, np.ones(true.shape, bool), instances=True)
    >>> m.missed.tolist(), m.merged.tolist(), m.extra.tolist()
    ([False, False, True], [True, True, False], [False])
    """
    true, true_first = number_objects(clean, known, instances)
    drawn, drawn_first = number_objects(given, known, instances)
    n_true, n_drawn = len(true_first), len(drawn_first)
    both = (true > 0) & (drawn > 0)
    if not instances:
        both &= given == clean
    keys, overlap = np.unique(true[both] * (n_drawn + 1) + drawn[both], return_counts=True)
    t, d = keys // (n_drawn + 1) - 1, keys % (n_drawn + 1) - 1
    true_area = np.bincount(true.ravel(), minlength=n_true + 1)[1:]
    drawn_area = np.bincount(drawn.ravel(), minlength=n_drawn + 1)[1:]
    # Decided on integers: IoU > 1 / 10.
    found = 10 * overlap > true_area[t] + drawn_area[d] - overlap
    inside_drawn, inside_true = found & (2 * overlap > true_area[t]), found & (2 * overlap > drawn_area[d])
    joins = np.bincount(d[inside_drawn], minlength=n_drawn) > 1
    merged, split = np.zeros(n_true, dtype=bool), np.bincount(t[inside_true], minlength=n_true) > 1
    merged[t[inside_drawn & joins[d]]] = True
    missed, extra = np.ones(n_true, dtype=bool), np.ones(n_drawn, dtype=bool)
    missed[t[found]], extra[d[found]] = False, False
    partners = np.bincount(t[found], minlength=n_true), np.bincount(d[found], minlength=n_drawn)
    alone = found & (partners[0][t] == 1) & (partners[1][d] == 1)
    alone &= ~_at_edge(true, known)[t] & ~_at_edge(drawn, known)[d]
    shift = _centroids(drawn, n_drawn)[d[alone]] - _centroids(true, n_true)[t[alone]]
    # A given object takes the id of the true one it covers most of; the rest get ids that no true object has.
    ids = np.zeros(n_drawn + 1, dtype=np.int64)
    ids[1:] = max(int(clean.max(initial=0)), 0) + 1 + np.arange(n_drawn)
    true_ids = clean.ravel()[true_first].astype(np.int64)
    order = np.lexsort((-true_ids[t], overlap))
    ids[1 + d[order]] = true_ids[t[order]]
    objects = Objects(true_area, drawn_area, missed, merged, split, extra, shift)
    return objects, Numbers(true, drawn, np.where(known, ids[drawn], -1))


def _centroids(numbers: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    places = np.nonzero(numbers)
    which = numbers[places] - 1
    sums = [np.bincount(which, weights=axis, minlength=count) for axis in places]
    return np.stack(sums, axis=1) / np.bincount(which, minlength=count)[:, None]


def _at_edge(numbers: NDArray[np.int64], known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Per object, whether it lies at the edge of the map or of what is known."""
    edge = np.pad(known, 1)
    for axis in range(known.ndim):
        edge = edge & np.roll(np.pad(known, 1), 1, axis) & np.roll(np.pad(known, 1), -1, axis)
    inner = edge[tuple(slice(1, -1) for _ in range(known.ndim))]
    at_edge = np.zeros(int(numbers.max(initial=0)) + 1, dtype=bool)
    at_edge[numbers[~inner]] = True
    return at_edge[1:]

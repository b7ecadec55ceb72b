"""One pair of maps tallied, tallies summed over a set, and the card that follows from the sums."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segnoise.length import spacing_of
from segnoise.noise.geometry import boundary_length, known_labels, nearest_other
from segnoise.noise.latent import Together, latent_of
from segnoise.noise.measure.boundaries import (
    along_boundary,
    describe_displacement,
    histogram_of,
    pieces_together,
    signed_displacement,
)
from segnoise.noise.measure.causes import REACHES, Evidence, Sides, describe_causes
from segnoise.noise.measure.classes import confusion_of, describe_classes, share
from segnoise.noise.measure.matching import Numbers, Objects, match_objects
from segnoise.noise.measure.objects import describe_objects
from segnoise.noise.measure.shift import Shift, describe_shift, shift_of
from segnoise.noise.measure.spread import spread_of
from segnoise.noise.measure.zones import EDGES, LOST, WRONG, count_zones, size_of

FORMAT = 3
"""The version of what a card says; it changes when the meaning of an entry does."""

NEAR = (1, 2, 4, 8)
"""Distances from a true boundary, in pixels, within which the share of the errors is given."""


def noise_card(
    given: NDArray[Any],
    clean: NDArray[Any],
    spacing: Sequence[float] | None = None,
    instances: bool = False,
) -> dict[str, Any]:
    """Measure the label noise of one pair of maps: :func:`noise_card_of` of a set of one.

    >>> clean = np.zeros((20, 20), dtype=np.uint8)
    >>> clean[5:15, 5:15] = 1
    >>> given = np.roll(clean, 1, axis=1)
    >>> card = noise_card(given, clean)
    >>> card["errors"], card["flip_rate"]["overall"], card["near_boundary"]["1px"]
    (20, 0.05, 1.0)
    >>> card["displacement"]["mean_absolute"], card["displacement"]["bias"]
    (0.5, 0.0)
    """
    return noise_card_of([(given, clean)], spacing, instances)


def noise_card_of(
    pairs: Iterable[tuple[NDArray[Any], NDArray[Any]]],
    spacing: Sequence[float] | None = None,
    instances: bool = False,
) -> dict[str, Any]:
    """Measure the label noise of a set of pairs (given, true); every number is plain JSON, None where undefined.

    Counts are summed over the set before anything is divided, so an image weighs as much as it has pixels (objects,
    boundary). Pixels unknown in either map do not exist.

    - ``format``, ``images``, ``pixels``, ``errors``, ``flip_rate`` (``overall`` and ``per_class``, by true class),
      ``confusion`` (counts, rows true), ``transition``, ``dice`` and ``iou`` per class of the given with the true
      labels, ``vanished`` (true classes that the given labels lack). Among instances the classes are background and
      object, and ``reassigned`` is the share of pixels that another object got.
    - ``spread``: flip rate from image to image (:func:`segnoise.noise.measure.spread.spread_of`).
    - ``near_boundary``: share of the errors whose centres lie within 1, 2, 4, 8 px of a true boundary; ``profile``:
      pixels and errors in bands of that distance.
    - ``displacement`` (px; again in the spacing's unit as ``displacement_spaced`` if that is known): signed distance
      of the given boundaries from the nearest true one, positive where the larger label (object) grew, over the
      faces of the given boundaries: ``quantiles``, ``mean_absolute``, ``bias``; and ``changed_per_length``, the
      changed area over the true boundary length, which is the mean absolute displacement if nothing but
      boundaries moved. ``displacement_histogram`` counts the same faces, in pixels.
    - ``latent``: correlation per axis of the Gaussian field whose excursions the errors would be
      (:func:`segnoise.noise.latent.latent_correlation`).
    - ``objects``: missed, extra, merged and split ones, by size
      (:func:`segnoise.noise.measure.objects.describe_objects`).
    - ``shift``: how far whole maps are shifted (:func:`segnoise.noise.measure.shift.describe_shift`).
    - ``causes``: the levels of noises that would make such errors
      (:func:`segnoise.noise.measure.causes.describe_causes`).

    Args:
        pairs: labels to judge and true labels on the same grid: classes with 255 unknown, or ids with negative unknown.
        spacing: size of a pixel along each axis, in m or mm, common to the set.
        instances: the maps hold object ids. Ids of the two maps need not agree; objects are matched by overlap.

    Raises:
        ValueError: no pair, or shapes that differ.

    >>> clean = np.zeros((4, 4), dtype=np.uint8)
    >>> card = noise_card_of([(clean + 1, clean), (clean, clean)])
    >>> card["flip_rate"]["overall"], card["spread"]["quantiles"]["0.95"], card["objects"]["extra"]
    (0.5, 0.95, 1)
    """
    tallies = [_tally(given, clean, spacing, instances) for given, clean in pairs]
    if not tallies:
        raise ValueError("a card needs at least one pair of maps")
    size = max([2, *(len(t.confusion) for t in tallies)])
    confusion = np.zeros((size, size), dtype=np.int64)
    for tally in tallies:
        confusion[: len(tally.confusion), : len(tally.confusion)] += tally.confusion
    names = ["background", "object"] if instances else [str(c) for c in range(size)]
    pixels, errors = int(confusion.sum()), int(confusion.sum() - confusion.trace())
    zones = np.sum([t.zones for t in tallies], axis=0)
    wrong = zones.take(1, axis=WRONG).reshape(len(EDGES), -1).sum(1)
    within = dict(zip(EDGES, np.cumsum(wrong).tolist(), strict=True))
    signed = np.concatenate([t.moved.signed for t in tallies])
    changed = sum(t.changed for t in tallies)
    card = {
        "format": FORMAT,
        "images": len(tallies),
        "pixels": pixels,
        "errors": errors,
        **describe_classes(confusion, names),
        "spread": spread_of([t.errors for t in tallies], [t.pixels for t in tallies]),
        "near_boundary": {f"{d}px": share(within[d], errors) for d in NEAR},
        "profile": {
            "up_to_px": [None if math.isinf(e) else e for e in EDGES],
            "pixels": zones.reshape(len(EDGES), -1).sum(1).tolist(),
            "errors": wrong.tolist(),
        },
        "displacement": describe_displacement(signed, changed, sum(t.moved.length for t in tallies)),
        "displacement_histogram": histogram_of(signed),
        "latent": latent_of(list(zip(*(t.together for t in tallies), strict=True))),
        "objects": describe_objects([t.objects for t in tallies]),
        "shift": (shift := describe_shift([t.shift for t in tallies])),
        "causes": describe_causes(_evidence(tallies, zones), shift),
    }
    if instances:
        card["reassigned"] = share(changed - errors, pixels)
    spaced = [t.spaced for t in tallies if t.spaced is not None]
    if spaced:
        signed, area = np.concatenate([s.signed for s in spaced]), sum(s.changed for s in spaced)
        card["displacement_spaced"] = describe_displacement(signed, area, sum(s.length for s in spaced))
    return card


@dataclass(frozen=True)
class _Moved:
    """Displacements at the faces of the given boundaries, changed area and true boundary length, in one unit."""

    signed: NDArray[np.float64]
    changed: float
    length: float


@dataclass(frozen=True)
class _Tally:
    """What is kept of one pair: counts and samples, no maps."""

    confusion: NDArray[np.int64]
    pixels: int
    errors: int
    changed: int
    zones: NDArray[np.int64]
    moved: _Moved
    spaced: _Moved | None
    kept_length: float
    together: list[Together]
    far: dict[int, Sides]
    pieces: list[Together]
    objects: Objects
    shift: Shift | None
    extra_reach: NDArray[np.float64]


def _tally(given: NDArray[Any], clean: NDArray[Any], spacing: Sequence[float] | None, instances: bool) -> _Tally:
    if given.shape != clean.shape:
        raise ValueError(f"given {given.shape} and clean {clean.shape} labels must have the same shape")
    known = known_labels(given, instances) & known_labels(clean, instances)
    objects, numbers = match_objects(given, clean, known, instances)
    given_class, clean_class = (np.where(known, x, 0).astype(np.int64) for x in (given, clean))
    if instances:
        given, given_class, clean_class = numbers.given_ids, (given_class > 0) * 1, (clean_class > 0) * 1
    wrong = given_class != clean_class
    growth = np.where(known, np.sign(given.astype(np.int64) - clean.astype(np.int64)), 0)
    changed = growth != 0
    one = (1.0,) * clean.ndim
    _, distance = nearest_other(clean, known, one)
    lost = _of(objects.missed | (objects.merged | objects.split) & instances, numbers.true)
    extra = _of(np.where(objects.extra, size_of(objects.given_area), 0), numbers.given)
    classes = 2 if instances else 1 + max(int(given_class.max(initial=0)), int(clean_class.max(initial=0)))
    count = int(np.count_nonzero(changed))
    known_spacing = spacing_of(spacing)
    spaced = None
    if known_spacing is not None:
        # Square pixels need no second search for the nearest boundary.
        square = len(set(known_spacing)) == 1
        apart = distance * known_spacing[0] if square else nearest_other(clean, known, known_spacing)[1]
        signed = signed_displacement(given, clean, known, apart)
        spaced = _Moved(signed, count * math.prod(known_spacing), boundary_length(clean, known, known_spacing))
    return _Tally(
        confusion=confusion_of(given_class[known], clean_class[known], classes),
        pixels=int(np.count_nonzero(known)),
        errors=int(np.count_nonzero(wrong)),
        changed=count,
        zones=count_zones(
            distance[known], numbers.true[known] > 0, lost[known], extra[known], growth[known], wrong[known]
        ),
        moved=_Moved(signed_displacement(given, clean, known, distance), count, boundary_length(clean, known, one)),
        spaced=spaced,
        kept_length=boundary_length(clean, known & ~lost, one),
        together=[Together.along(wrong, known, axis) for axis in range(clean.ndim)],
        far={reach: _far(changed, known & ~lost & (distance > reach), numbers) for reach in REACHES},
        pieces=pieces_together(changed, clean, known, lost),
        objects=objects,
        shift=shift_of(given, clean, known, objects.shift),
        extra_reach=_largest(distance, numbers.given, len(objects.given_area))[objects.extra],
    )


def _far(changed: NDArray[np.bool_], domain: NDArray[np.bool_], numbers: Numbers) -> Sides:
    sides = []
    for inside in (False, True):
        part = domain & ((numbers.true > 0) == inside)
        moved = changed & part
        # Without errors there is nothing to count together, and most images of a real set have none out here.
        axes = range(changed.ndim) if moved.any() else ()
        sides.append([[Together.along(moved, part, axis)] for axis in axes] or [[] for _ in range(changed.ndim)])
    return sides[0], sides[1]


def _of(values: NDArray[Any], numbers: NDArray[np.int64]) -> NDArray[Any]:
    """The values of objects at their pixels, 0 elsewhere."""
    return np.concatenate([np.zeros(1, dtype=values.dtype), values])[numbers]


def _largest(values: NDArray[np.float64], numbers: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    largest = np.zeros(count + 1)
    np.maximum.at(largest, numbers.ravel(), values.ravel())
    return largest[1:]


def _kept(zones: NDArray[np.int64]) -> NDArray[np.int64]:
    """Changes and pixels, by band, of what is not lost."""
    by_growth = zones.take(0, axis=LOST).sum(axis=(1, 2, 4))
    return np.stack([by_growth[:, 0] + by_growth[:, 2], by_growth.sum(axis=1)], axis=1)


def _evidence(tallies: Sequence[_Tally], zones: NDArray[np.int64]) -> Evidence:
    def joined(parts: Iterable[NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate(list(parts))

    def sides(reach: int, side: int) -> list[list[Together]]:
        return [list(chain(*axis)) for axis in zip(*(t.far[reach][side] for t in tallies), strict=True)]

    return Evidence(
        zones=zones,
        by_image=np.array([_kept(t.zones) for t in tallies]),
        length=sum(t.kept_length for t in tallies),
        far={reach: (sides(reach, 0), sides(reach, 1)) for reach in REACHES},
        along=along_boundary([piece for t in tallies for piece in t.pieces]),
        true_area=joined(t.objects.true_area for t in tallies),
        missed=joined(t.objects.missed for t in tallies),
        merged=joined(t.objects.merged for t in tallies),
        split=joined(t.objects.split for t in tallies),
        extra_area=joined(t.objects.given_area[t.objects.extra] for t in tallies),
        extra_reach=joined(t.extra_reach for t in tallies),
    )

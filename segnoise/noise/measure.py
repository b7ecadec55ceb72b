"""The noise card: how given labels differ from true ones, in numbers that say what kind of noise it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segnoise.noise.geometry import boundary_length, face_pairs, known_labels, nearest_other
from segnoise.noise.latent import latent_correlation
from segnoise.noise.length import spacing_of
from segnoise.noise.objects import number_objects

NEAR = (1, 2, 4, 8)
"""Distances from a true boundary, in pixels, within which the share of the errors is given."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def noise_card(
    given: NDArray[Any],
    clean: NDArray[Any],
    spacing: Sequence[float] | None = None,
    instances: bool = False,
) -> dict[str, Any]:
    """Measure label noise where both maps are known; every number is plain JSON, None where it is undefined.

    - ``pixels``, ``errors``, ``flip_rate`` (``overall`` and ``per_class``, by true class), ``confusion`` (counts,
      rows true), ``vanished`` (true classes that the given labels lack). Among instances the classes are background
      and object; ``reassigned`` is the share of pixels that another object got.
    - ``near_boundary``: share of the errors whose centres lie within 1, 2, 4, 8 px of a true boundary.
    - ``displacement`` (px; again in the spacing's unit as ``displacement_spaced`` if that is known): signed distance
      of the given boundaries from the nearest true one, positive where the larger label (object) grew, over the
      faces of the given boundaries: ``quantiles``, ``mean_absolute``, ``bias``; and ``changed_per_length``, the
      changed area over the true boundary length, which is the mean absolute displacement if nothing but
      boundaries moved.
    - ``latent``: correlation per axis of the Gaussian field whose excursions the errors would be
      (:func:`latent_correlation`).
    - ``objects``: numbers of true and given objects; ``missed`` (true ones that no given object overlaps with an
      IoU above 0.1) and ``extra`` (the reverse), as counts and as shares of the true ones.

    Args:
        given: the labels to judge: classes with 255 unknown, or ids with negative unknown.
        clean: the true labels on the same grid.
        spacing: size of a pixel along each axis, in m or mm.
        instances: both hold object ids. Ids of the two maps need not agree; objects are matched by overlap.

    Raises:
        ValueError: shapes that differ.

    >>> clean = np.zeros((20, 20), dtype=np.uint8)
    >>> clean[5:15, 5:15] = 1
    >>> given = np.roll(clean, 1, axis=1)
    >>> card = noise_card(given, clean)
    >>> card["errors"], card["flip_rate"]["overall"], card["near_boundary"]["1px"]
    (20, 0.05, 1.0)
    >>> card["displacement"]["mean_absolute"], card["displacement"]["bias"]
    (0.5, 0.0)
    """
    if given.shape != clean.shape:
        raise ValueError(f"given {given.shape} and clean {clean.shape} labels must have the same shape")
    known = known_labels(given, instances) & known_labels(clean, instances)
    pairs = _match_objects(given, clean, known, instances)
    if instances:
        given = pairs.given_as_clean
        given_class, clean_class = (given > 0).astype(np.int64), (clean > 0).astype(np.int64)
    else:
        given_class, clean_class = given.astype(np.int64), clean.astype(np.int64)
    wrong = known & (given_class != clean_class)
    pixels, errors = int(np.count_nonzero(known)), int(np.count_nonzero(wrong))

    one = (1.0,) * clean.ndim
    _, distance = nearest_other(clean, known, one)
    changed = int(np.count_nonzero(known & (given != clean)))
    card = {
        "pixels": pixels,
        "errors": errors,
        **_classes(given_class[known], clean_class[known], instances),
        "near_boundary": {f"{d}px": _share(int(np.count_nonzero(distance[wrong] <= d)), errors) for d in NEAR},
        "displacement": _displacement(given, clean, known, distance, one, changed),
        "latent": latent_correlation(wrong, known),
        "objects": pairs.summary,
    }
    if instances:
        card["reassigned"] = _share(int(np.count_nonzero(known & (given != clean) & ~wrong)), pixels)
    known_spacing = spacing_of(spacing)
    if known_spacing is not None:
        # Square pixels need no second search for the nearest boundary.
        square = len(set(known_spacing)) == 1
        spaced = distance * known_spacing[0] if square else nearest_other(clean, known, known_spacing)[1]
        card["displacement_spaced"] = _displacement(given, clean, known, spaced, known_spacing, changed)
    return card


def _classes(given: NDArray[np.int64], clean: NDArray[np.int64], instances: bool) -> dict[str, Any]:
    classes = 2 if instances else int(max(given.max(initial=1), clean.max(initial=1))) + 1
    confusion = np.bincount(clean * classes + given, minlength=classes**2).reshape(classes, classes)
    true = confusion.sum(1)
    names = ["background", "object"] if instances else [str(c) for c in range(classes)]
    flipped = true - confusion.diagonal()
    return {
        "flip_rate": {
            "overall": _share(int(flipped.sum()), int(true.sum())) or 0.0,
            "per_class": {name: _share(int(f), int(t)) for name, f, t in zip(names, flipped, true, strict=True)},
        },
        "confusion": confusion.tolist(),
        "vanished": [n for n, t, g in zip(names, true, confusion.sum(0), strict=True) if t > 0 and g == 0],
    }


def _displacement(
    given: NDArray[Any],
    clean: NDArray[Any],
    known: NDArray[np.bool_],
    distance: NDArray[np.float64],
    pixel: Sequence[float],
    changed: int,
) -> dict[str, Any]:
    flat_given, flat_clean, flat_distance = given.ravel(), clean.ravel(), distance.ravel()
    sides = []
    for a, b in face_pairs(given, known):
        larger = np.maximum(flat_given[a], flat_given[b])
        # Inside the true extent of the larger label its boundary has retreated; outside, it has advanced.
        sides.append(sum(np.where(flat_clean[x] >= larger, -0.5, 0.5) * flat_distance[x] for x in (a, b)))
    signed = np.concatenate(sides)
    signed = signed[np.isfinite(signed)]
    length = boundary_length(clean, known, pixel)
    empty = not len(signed)
    return {
        "faces": len(signed),
        "quantiles": {f"{q:g}": None if empty else float(np.quantile(signed, q)) for q in QUANTILES},
        "mean_absolute": None if empty else float(np.abs(signed).mean()),
        "bias": None if empty else float(signed.mean()),
        "changed_per_length": _share(changed * float(np.prod(pixel)), length),
    }


class _Pairs:
    """True and given objects, who overlaps whom, and the given map in the ids of the true one."""

    def __init__(self, summary: dict[str, Any], given_as_clean: NDArray[np.int64]) -> None:
        self.summary = summary
        self.given_as_clean = given_as_clean


def _match_objects(given: NDArray[Any], clean: NDArray[Any], known: NDArray[np.bool_], instances: bool) -> _Pairs:
    true, true_first = number_objects(clean, known, instances)
    drawn, drawn_first = number_objects(given, known, instances)
    n_true, n_drawn = len(true_first), len(drawn_first)
    both = (true > 0) & (drawn > 0)
    if not instances:
        both &= given == clean
    keys, overlap = np.unique(true[both] * (n_drawn + 1) + drawn[both], return_counts=True)
    t, d = keys // (n_drawn + 1), keys % (n_drawn + 1)
    area_true = np.bincount(true.ravel(), minlength=n_true + 1)
    area_drawn = np.bincount(drawn.ravel(), minlength=n_drawn + 1)
    found = overlap / (area_true[t] + area_drawn[d] - overlap) > 0.1
    missed, extra = n_true - len(np.unique(t[found])), n_drawn - len(np.unique(d[found]))
    summary = {
        "true": n_true,
        "given": n_drawn,
        "missed": missed,
        "extra": extra,
        "missed_share": _share(missed, n_true),
        "extra_share": _share(extra, n_true),
    }
    # A given object takes the id of the true one it covers most of; the rest get ids that no true object has.
    ids = np.zeros(n_drawn + 1, dtype=np.int64)
    ids[1:] = max(int(clean.max(initial=0)), 0) + 1 + np.arange(n_drawn)
    order = np.argsort(overlap, kind="stable")
    ids[d[order]] = clean.ravel()[true_first[t[order] - 1]]
    return _Pairs(summary, np.where(known, ids[drawn], -1))


def _share(part: float, whole: float) -> float | None:
    return float(part) / float(whole) if whole else None

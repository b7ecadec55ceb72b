"""Labels that lie beside the image by one vector: found from a network's beliefs, or refused, and moved back."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from segnoise.data import IGNORE_INDEX
from segnoise.errors import UserError

_LEAST_BELIEF = 0.02
"""Beliefs are not taken to be smaller, so that a few confident mistakes do not decide."""

_PARTS = 4
"""Into so many parts an axis is cut, whose vectors have to agree."""

_SURE = 3.0
"""Standard errors between an accepted vector and none at all."""

_GAIN = 0.05
"""Nats per pixel of an outline that an accepted vector must bring."""


@dataclass(frozen=True)
class Displacement:
    """How labels lie beside the image.

    ``vector`` points, in pixels along each axis, from the labels to where they belong; ``error`` is its standard error,
    from leaving out one part of the image after the other; ``gain`` how much better the moved labels are explained, in
    nats per pixel of their outlines; ``reason`` why the vector is not ``accepted``, or empty.
    """

    vector: tuple[float, ...]
    error: tuple[float, ...]
    gain: float
    reason: str

    @property
    def accepted(self) -> bool:
        return not self.reason


def find_displacement(probabilities: NDArray[Any], labels: NDArray[Any], radius: int = 10) -> Displacement:
    """The one vector by which labels have to move to agree best with beliefs, and whether it is to be believed.

    ``J(u) = mean over x of log p(x, y(x - u))``, over the pixels that have both, for all whole u up to ``radius`` along
    each axis, exactly by Fourier transforms; the maximum is refined by a parabola along each axis. Refused is what is
    no displacement of the whole: a vector shorter than half a pixel or than three standard errors, one at the rim of
    the search, or one that explains the outlines hardly better. Errors that are unlike a displacement, such as flipped
    patches, make no vector; displaced outlines make one for each place, and these do not agree.

    The beliefs must not be made by a network that has learned these labels by heart: take another fold's, or a network
    early in its training. As a correction of single images in training this does harm (measured); it is for sheets and
    scenes whose labels have one offset.

    Args:
        probabilities: ``C *S``; nan where there are none.
        labels: ``*S``, class indices; 255 where unknown.
        radius: the longest vector looked for, in pixels along each axis.

    Raises:
        UserError: shapes that do not fit, values that are no probabilities, labels beyond the classes, a radius that
            the image is too small for, or labels without an outline.

    >>> rng = np.random.default_rng(0)
    >>> truth = np.zeros((64, 64), int)
    >>> truth[16:40, 20:50] = 1
    >>> p = np.stack([1 - truth, truth]) * 0.8 + 0.1
    >>> found = find_displacement(p, np.roll(truth, (-3, 2), (0, 1)), radius=6)
    >>> [round(v) for v in found.vector], found.accepted
    ([3, -2], True)
    """
    return find_common_displacement([(probabilities, labels)], radius)


def find_common_displacement(images: Iterable[tuple[NDArray[Any], NDArray[Any]]], radius: int = 10) -> Displacement:
    """One vector for several images whose labels lie beside them alike, such as the tiles of one sheet.

    As :func:`find_displacement`, with the beliefs and labels of one image after the other; they need not have one size.

    Raises:
        UserError: as there.

    >>> rng = np.random.default_rng(0)
    >>> tiles = []
    >>> for top in (4, 9, 14, 6):
    ...     truth = np.zeros((32, 32), int)
    ...     truth[top : top + 12, 8:20] = 1
    ...     tiles.append((np.stack([1 - truth, truth]) * 0.8 + 0.1, np.roll(truth, 2, 1)))
    >>> [round(v) for v in find_common_displacement(tiles, radius=4).vector]
    [0, -2]
    """
    tables: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    known = along = dimensions = 0
    for probabilities, labels in images:
        classes = _checked(probabilities, labels, radius)
        dimensions = labels.ndim
        along += int(_outline(labels).sum())
        known += int((labels != IGNORE_INDEX).sum())
        tables += [_table(probabilities[:, *p], labels[p], classes, radius) for p in _parts(labels.shape, radius)]
    if not along:
        raise UserError("labels: no two classes meet, so there is no outline to place")
    sums, counts = (np.stack(values) for values in zip(*tables, strict=True))
    total = _mean(sums.sum(0), counts.sum(0))
    centre = (radius,) * dimensions
    best, vector = _peak(total)
    gain = float((total[best] - total[centre]) * known / along)
    kept = [k for k in range(len(sums)) if counts[k][centre] > 0]
    without = [_peak(_mean(sums.sum(0) - sums[k], counts.sum(0) - counts[k]))[1] for k in kept] if len(kept) > 1 else []
    spread = (len(without) - 1) * np.var(without, axis=0) if without else np.full(dimensions, np.inf)
    error = np.sqrt(spread)
    length = float(np.linalg.norm(vector))
    unsure = float(np.linalg.norm(error))
    if length < 0.5:
        reason = "the labels lie where they belong, to half a pixel"
    elif not length > _SURE * unsure:
        reason = f"parts of the image do not agree: {length:.1f} pixels, but known to {unsure:.1f} only"
    elif any(i in (0, 2 * radius) for i in best):
        reason = f"the best vector lies at the rim of the search; give a radius above {radius} pixels"
    elif gain < _GAIN:
        reason = f"moved labels are explained hardly better ({gain:.3f} nats per pixel of their outlines)"
    else:
        reason = ""
    return Displacement(tuple(map(float, vector)), tuple(map(float, error)), gain, reason)


def move_labels(labels: NDArray[Any], vector: Sequence[float]) -> NDArray[Any]:
    """Labels moved by a vector, rounded to whole pixels; 255 where nothing is known any more.

    >>> move_labels(np.array([[1, 2, 3]]), (0, 1))
    array([[255,   1,   2]])
    """
    if len(vector) != labels.ndim:
        raise UserError(f"vector: {len(vector)} numbers for {labels.ndim} axes")
    moved = np.full_like(labels, IGNORE_INDEX)
    steps = [int(np.rint(v)) for v in vector]
    if any(abs(step) >= n for step, n in zip(steps, labels.shape, strict=True)):
        return moved
    target = tuple(slice(max(s, 0), n + min(s, 0)) for s, n in zip(steps, labels.shape, strict=True))
    source = tuple(slice(max(-s, 0), n - max(s, 0)) for s, n in zip(steps, labels.shape, strict=True))
    moved[target] = labels[source]
    return moved


def _checked(probabilities: NDArray[Any], labels: NDArray[Any], radius: int) -> int:
    classes = len(probabilities)
    if probabilities.shape[1:] != labels.shape:
        raise UserError(f"probabilities {probabilities.shape} do not fit labels {labels.shape}; give C *S and *S")
    known = labels[labels != IGNORE_INDEX]
    if known.size and (known.min() < 0 or known.max() >= classes):
        raise UserError(f"labels: hold {known.min()} to {known.max()}, but there are {classes} classes")
    seen = probabilities[:, ~np.isnan(probabilities).any(0)]
    if seen.size and (seen.min() < -1e-3 or np.abs(seen.sum(0) - 1).max() > 1e-2):
        raise UserError("probabilities: are negative or do not sum to 1 over the classes")
    if radius < 1 or min(labels.shape) < 2 * radius + 2:
        raise UserError(f"radius: {radius} does not fit an image of {labels.shape}; at least 1, at most a half of it")
    return classes


def _outline(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels with a known neighbour of another class."""
    outline = np.zeros(labels.shape, bool)
    for axis in range(labels.ndim):
        one, other = (np.take(labels, range(a, a + labels.shape[axis] - 1), axis) for a in (0, 1))
        meets = (one != other) & (one != IGNORE_INDEX) & (other != IGNORE_INDEX)
        before = [slice(None)] * labels.ndim
        after = [slice(None)] * labels.ndim
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        outline[tuple(before)] |= meets
        outline[tuple(after)] |= meets
    return outline


def _parts(shape: Sequence[int], radius: int) -> Iterator[tuple[slice, ...]]:
    """Blocks that together are the image, none narrower than four radii if there is more than one."""
    cuts = [np.linspace(0, n, max(1, min(_PARTS, n // (4 * radius))) + 1).astype(int) for n in shape]
    for corner in itertools.product(*(itertools.pairwise(c.tolist()) for c in cuts)):
        yield tuple(slice(a, b) for a, b in corner)


def _table(
    probabilities: NDArray[Any], labels: NDArray[Any], classes: int, radius: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For every u: the sum of ``log p(x, y(x - u))``, and over how many pixels."""
    observed = ~np.isnan(probabilities).any(0)
    size = [scipy.fft.next_fast_len(n + radius, real=True) for n in labels.shape]
    axes = tuple(range(labels.ndim))
    window = np.ix_(*([np.arange(-radius, radius + 1)] * labels.ndim))

    def correlate(beliefs: NDArray[Any], given: NDArray[Any]) -> NDArray[np.float64]:
        product = scipy.fft.rfftn(beliefs, size, axes) * scipy.fft.rfftn(given.astype(float), size, axes).conj()
        return np.asarray(scipy.fft.irfftn(product, size, axes))[window]

    total = np.zeros((2 * radius + 1,) * labels.ndim)
    for k in range(classes):
        beliefs = np.where(observed, np.log(np.clip(np.nan_to_num(probabilities[k]), _LEAST_BELIEF, 1)), 0.0)
        total += correlate(beliefs, labels == k)
    return total, correlate(observed.astype(float), labels != IGNORE_INDEX).round()


def _mean(sums: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(counts > 0, sums / np.maximum(counts, 1), -np.inf)


def _peak(table: NDArray[np.float64]) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    """Where a table over whole vectors is largest, and the vector refined by a parabola along each axis."""
    best = tuple(int(i) for i in np.unravel_index(int(table.argmax()), table.shape))
    vector = np.array(best, float) - (table.shape[0] - 1) / 2
    for axis, i in enumerate(best):
        if 0 < i < table.shape[axis] - 1:
            low, mid, high = (table[*best[:axis], j, *best[axis + 1 :]] for j in (i - 1, i, i + 1))
            bend = low - 2 * mid + high
            if np.isfinite(bend) and bend < 0:
                vector[axis] += (low - high) / (2 * bend)
    return best, vector

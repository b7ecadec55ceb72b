"""Temporal consistency: what a network says of a frame, averaged with what it says of the frames around."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Frame = TypeVar("Frame")
Believed = tuple[Frame, NDArray[np.float32], NDArray[np.bool_]]
"""A frame, the probabilities ``K H W`` of its pixels, and where it was observed."""


def smoothed(frames: Iterable[Believed[Frame]], reach: int) -> Iterator[Believed[Frame]]:
    """The frames of one stretch without gaps, their probabilities averaged over ``2 reach + 1`` frames.

    With K the reach, p_t the probabilities of frame t and o_t where it was observed (1 or 0), at every pixel::

        p'_t = sum over |d| <= K of  w_d o_t+d p_t+d / sum of  w_d o_t+d,     w_d = 1 - |d| / (K + 1)

    Beyond the first and the last frame there is nothing to average. Where no frame of the window is observed, p_t
    stays. At most ``2 reach + 1`` frames are held. A reach of 0 changes nothing.

    >>> seen = np.ones((1, 1), bool)
    >>> frames = [(k, np.full((1, 1, 1), p, np.float32), seen) for k, p in enumerate([0, 1, 0, 0])]
    >>> [(k, round(float(p[0, 0, 0]), 3)) for k, p, _ in smoothed(frames, 1)]
    [(0, 0.333), (1, 0.5), (2, 0.25), (3, 0.0)]
    """
    if reach == 0:
        yield from frames
        return
    held: deque[Believed[Frame]] = deque()
    first = at = 0
    for frame in frames:
        held.append(frame)
        if first + len(held) > at + reach:
            yield _average(held, at - first, reach)
            at += 1
            if at - first > reach:
                held.popleft()
                first += 1
    for k in range(at, first + len(held)):
        yield _average(held, k - first, reach)


def _average(held: deque[Believed[Frame]], at: int, reach: int) -> Believed[Frame]:
    frame, own, seen = held[at]
    total = np.zeros_like(own)
    weights = np.zeros(seen.shape, dtype=np.float32)
    for k, (_, said, known) in enumerate(held):
        weight = np.float32(1 - abs(k - at) / (reach + 1))
        if weight > 0:
            total += np.where(known, weight * said, 0)
            weights += weight * known
    return frame, np.where(weights > 0, total / np.where(weights > 0, weights, 1), own), seen

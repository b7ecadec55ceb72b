"""Joining overlapping windows without seams: raised-cosine weights that are normalised exactly, axis by axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segnoise.windows.plan import Window, sides, starts


def ramp(overlap: int) -> NDArray[np.float32]:
    """Raised-cosine weights ``0.5 (1 - cos(pi (k + 0.5) / o))``; a ramp and its reverse sum to 1.

    >>> bool(np.allclose(ramp(8) + ramp(8)[::-1], 1))
    True
    """
    return (0.5 * (1 - np.cos(np.pi * (np.arange(overlap) + 0.5) / max(overlap, 1)))).astype(np.float32)


class Blend:
    """Weights of the windows of a plan, separable over axes and summing to 1 at every pixel.

    The grid of windows is a product over axes, so the sum of weights is too: no normalisation buffer of the
    scene's size is needed, not even where the last window is moved inward.

    >>> blend = Blend((10, 12), (8, 8), 4)
    >>> total = np.zeros((10, 12))
    >>> from segnoise.windows import plan
    >>> for w in plan((10, 12), (8, 8), 4):
    ...     total[w.slices] += blend.weight(w)
    >>> bool(np.allclose(total, 1))
    True
    """

    def __init__(self, shape: Sequence[int], window: Sequence[int], overlap: int | Sequence[int]) -> None:
        self.shape = tuple(shape)
        overlaps = sides(overlap, len(self.shape))
        self._axes = [_axis_weights(n, w, min(o, w - 1)) for n, w, o in zip(self.shape, window, overlaps, strict=True)]

    def weight(self, window: Window) -> NDArray[np.float32]:
        """The weight of each pixel of a window of the plan, 0 beyond the grid."""
        weight = np.ones((), dtype=np.float32)
        for axis, start in zip(self._axes, window.start, strict=True):
            weight = np.multiply.outer(weight, axis[start])
        return weight


def _axis_weights(length: int, window: int, overlap: int) -> dict[int, NDArray[np.float32]]:
    begins = starts(length, window, overlap)
    rise = ramp(overlap)
    raw: dict[int, NDArray[np.float64]] = {}
    total = np.zeros(max(length, window))
    for k, begin in enumerate(begins):
        w = np.ones(window)
        if k > 0:
            w[:overlap] *= rise
        if k < len(begins) - 1:
            w[window - overlap :] *= rise[::-1]
        raw[begin] = w
        total[begin : begin + window] += w
    weights = {}
    for begin, w in raw.items():
        part = (w / total[begin : begin + window]).astype(np.float32)
        part[max(length - begin, 0) :] = 0
        weights[begin] = part
    return weights

"""Correlated Gaussian textures: noise drawn on a coarse lattice and read anywhere in the plane."""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Grid = NDArray[np.float32]


class Surface:
    """A smooth function over the plane, known on a lattice and bilinear between its nodes.

    ``nodes[i, j]`` is the value at column ``j * step``, row ``i * step`` of the pixel grid; outside the lattice the
    value at its border holds.

    >>> ramp = Surface(np.array([[0.0, 4.0], [0.0, 4.0]]), step=4.0)
    >>> ramp.at(np.array([1.0, 9.0]), np.array([0.0, 2.0])).tolist(), ramp.raster((1, 4)).tolist()
    ([1.0, 4.0], [[0.5, 1.5, 2.5, 3.5]])
    """

    def __init__(self, nodes: NDArray[np.floating], step: float) -> None:
        self._nodes: Grid = nodes.astype(np.float32)
        self._step = step

    def at(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> Grid:
        """Values at points, in pixel coordinates (column, row)."""
        (r0, r1, wr), (c0, c1, wc) = self._locate(y, 0), self._locate(x, 1)
        top = self._nodes[r0, c0] * (1 - wc) + self._nodes[r0, c1] * wc
        bottom = self._nodes[r1, c0] * (1 - wc) + self._nodes[r1, c1] * wc
        return np.asarray(top * (1 - wr) + bottom * wr, dtype=np.float32)

    def raster(self, shape: tuple[int, int]) -> Grid:
        """Values at the pixel centres of a grid of this shape, ``H W``."""
        (r0, r1, wr), (c0, c1, wc) = (self._locate(np.arange(n) + 0.5, axis) for axis, n in enumerate(shape))
        wide = self._nodes[:, c0] * (1 - wc) + self._nodes[:, c1] * wc
        out = wide[r1] - wide[r0]
        out *= wr[:, None]
        out += wide[r0]
        return out

    def _locate(self, position: NDArray[np.floating], axis: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Grid]:
        last = self._nodes.shape[axis] - 1
        place = np.clip(position / self._step, 0, last)
        low = np.minimum(place.astype(np.intp), max(last - 1, 0))
        return low, np.minimum(low + 1, last), (place - low).astype(np.float32)


def smooth_noise(shape: tuple[int, int], scale: float, rng: np.random.Generator) -> Surface:
    """A stationary Gaussian field over a scene of ``shape`` pixels: mean 0, variance 1, correlation
    ``exp(-d^2 / (4 scale^2))`` at distance ``d``.

    White noise on a lattice of spacing ``max(1, scale / 2)`` under a Gaussian filter, so that a field of long
    correlation costs no more than its few nodes.

    >>> smooth_noise((64, 96), 8.0, np.random.default_rng(0)).raster((64, 96)).shape
    (64, 96)
    """
    step = max(1.0, scale / 2)
    sigma = scale / step
    pad = ceil(3 * sigma)
    nodes = [ceil(n / step) + 2 for n in shape]
    white = rng.standard_normal((nodes[0] + 2 * pad, nodes[1] + 2 * pad), dtype=np.float32)
    smooth = ndimage.gaussian_filter(white, sigma, truncate=3.0)[pad:-pad, pad:-pad]
    # The exact standard deviation of filtered white noise: a small scene is not rescaled by the bumps it happens
    # to hold.
    taps = np.exp(-0.5 * (np.arange(-pad, pad + 1) / sigma) ** 2)
    return Surface(smooth / float((taps**2).sum() / taps.sum() ** 2), step)

"""What is not straight in a landscape: the bending of the plane, woods and lakes, rivers and through roads.

All geometry is in pixel coordinates (column, row).
"""

from __future__ import annotations

from math import ceil

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio import features
from scipy import ndimage

from segnoise.data.scenes.parcels import REGIMES, Division, Geometries
from segnoise.data.scenes.texture import Grid, Surface, smooth_noise


class Bend:
    """A smooth one-to-one map of the plane: ``p -> p + 16 a(p) + b(p) (9 c(p) + 1.5 d(p) + 0.4 e(p))``.

    ``a, c, d, e`` are vector fields of unit variance and correlation length 420, 140, 27 and 9 pixels, ``b`` is the
    regime's ``bend`` smoothed over districts. Polygons that share vertices share them afterwards.
    """

    def __init__(self, shape: tuple[int, int], division: Division, rng: np.random.Generator) -> None:
        self._far, *self._near = [
            [smooth_noise(shape, scale, rng) for _ in range(2)] for scale in (420.0, 140.0, 27.0, 9.0)
        ]
        step = 48.0
        y, x = np.meshgrid(*(np.arange(0, n + 2 * step, step) for n in shape), indexing="ij")
        bends = np.array([regime.bend for regime in REGIMES.values()])[division.centre_regime]
        total, weight = np.zeros(x.shape), np.zeros(x.shape)
        for (cx, cy), bend in zip(division.centres, bends, strict=True):
            near = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * 140.0**2)) + 1e-9
            total, weight = total + near * bend, weight + near
        self._strength = Surface(total / weight, step)

    def __call__(self, geometry: Geometries) -> Geometries:
        return shapely.transform(shapely.segmentize(geometry, 7.0), self._move)

    def _move(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = xy.T
        moved = [
            16 * self._far[axis].at(x, y)
            + self._strength.at(x, y)
            * sum(size * noise[axis].at(x, y) for size, noise in zip((9.0, 1.5, 0.4), self._near, strict=True))
            for axis in range(2)
        ]
        return xy + np.stack(moved, 1)


def blobs(shape: tuple[int, int], share: float, scale: float, rng: np.random.Generator) -> Geometries:
    """Organic areas that cover about ``share`` of the scene: a noise of this correlation length above its quantile,
    traced on a lattice of 5 px and rounded.
    """
    step = 5.0
    lattice = (ceil(shape[0] / step) + 2, ceil(shape[1] / step) + 2)
    parts = [weight * smooth_noise(lattice, s, rng).raster(lattice) for weight, s in ((1.0, scale / step), (0.2, 1.6))]
    rough = parts[0] + parts[1]
    above = (rough > np.quantile(rough, 1 - share)).astype(np.uint8)
    traced = [
        shapely.Polygon(rings[0], rings[1:])
        for rings in (
            [_rounded(np.asarray(ring)) for ring in found["coordinates"]]
            for found, value in features.shapes(above, connectivity=4)
            if value
        )
    ]
    placed = shapely.transform(np.array(traced, dtype=object), lambda xy: (xy - 1) * step)
    return placed[(shapely.area(placed) > 150) & shapely.is_valid(placed)]


def _rounded(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """A closed staircase ring as a smooth curve: points every half step, averaged along the ring."""
    dense = shapely.get_coordinates(shapely.segmentize(shapely.LinearRing(ring), 0.5))[:-1]
    return ndimage.gaussian_filter1d(dense, 2.4, axis=0, mode="wrap")


def ways(shape: tuple[int, int], rng: np.random.Generator) -> tuple[Geometries, NDArray[np.str_]]:
    """Lines that ignore parcels, with their kinds: a meandering river or stream and a few roads across the scene."""
    height, width = shape
    span = max(shape)
    kinds = ["river" if span > 700 else "stream"] * max(1, round(span / 1500))
    kinds += list(rng.choice(["road", "gravel", "track"], max(2, round(span / 450))))
    around = shapely.box(-40, -40, width + 40, height + 40)
    lines: list[shapely.LineString] = []
    line_kinds: list[str] = []
    for kind in kinds:
        centre = rng.uniform(0.15, 0.85, 2) * [width, height]
        heading = rng.uniform(0, np.pi)
        reach = np.arange(-1.5 * span, 1.5 * span, 5.0)
        points = centre + reach[:, None] * [np.cos(heading), np.sin(heading)]
        wet = kind in ("river", "stream")
        sway = [(55.0, 130.0), (16.0, 38.0)] if wet else [(rng.choice([5.0, 30.0]), 220.0)]
        for size, scale in sway:
            points += size * np.stack([_along(len(reach), scale / 5, rng) for _ in range(2)], 1)
        inside = shapely.get_parts(shapely.intersection(shapely.LineString(points), around))
        lines += [line for line in inside if line.length > 0]
        line_kinds += [kind] * (len(lines) - len(line_kinds))
    return np.array(lines, dtype=object), np.array(line_kinds)


def pieces(lines: Geometries, width: NDArray[np.float64], points: int = 13) -> tuple[Geometries, NDArray[np.float64]]:
    """The lines in runs of few points, and the width of each: what is cheap to subtract from what it touches."""
    runs, widths = [], []
    for line, wide in zip(lines, width, strict=True):
        xy = shapely.get_coordinates(line)
        starts = range(0, max(1, len(xy) - 1), points - 1)
        runs += [shapely.LineString(xy[start : start + points]) for start in starts]
        widths += [wide] * len(starts)
    return np.array(runs, dtype=object), np.array(widths)


def _along(count: int, scale: float, rng: np.random.Generator) -> Grid:
    return smooth_noise((1, count), scale, rng).raster((1, count))[0]

"""The map of a landscape: bent parcels, what cuts through them, and which of them are fields.

All geometry is in pixel coordinates (column, row). Fields lie on the lattice ``k / 64 + 1 / 128``: no edge runs along a
row of pixel centres, and coordinates stay exact when scaled to metres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from segnoise.data.scenes.curves import Bend, blobs, pieces, ways
from segnoise.data.scenes.parcels import REGIMES, Geometries, divide, draw_widths
from segnoise.data.scenes.texture import smooth_noise
from segnoise.draws import generator

MARGIN = 90
"""Pixels that are divided beyond the scene, so that bending never pulls an edge of the plane into it."""

STRIPS: dict[str, list[tuple[str, float]]] = {
    "margin": [("verge", 1.0)],
    "path": [("dirt", 1.0)],
    "ditch": [("verge", 1.0), ("wet", 0.45)],
    "hedge": [("hedge", 1.0)],
    "track": [("verge", 1.0), ("dirt", 0.6)],
    "treeline": [("wood", 1.0)],
    "road": [("verge", 1.0), ("asphalt", 0.6)],
    "gravel": [("verge", 1.0), ("dirt", 0.65)],
    "stream": [("wood", 1.0), ("water", 0.25)],
    "river": [("wood", 1.0), ("scrub", 0.75), ("water", 0.6)],
}
"""What a line looks like from its edges to its middle: cover and share of the full width."""

ORGANIC = {"scrub": (0.03, 30.0), "wood": (0.10, 45.0), "water": (0.012, 30.0)}
"""Share of the scene and correlation length in pixels of areas that follow no parcel."""

OTHER_LAND = {"wood": 0.17, "scrub": 0.23, "pasture": 0.36, "ground": 0.13, "built": 0.11}
"""Covers of parcels that are not fields, and the share of such parcels that has each."""

LEAST_AREA = 70.0
LEAST_WIDTH = 4.0


@dataclass(frozen=True)
class Landscape:
    """``fields`` with the row of their ``regime`` in ``REGIMES`` and the centre of their ``pivot`` (nan without one);
    and all land, ``patches`` with their ``cover``, in the order in which they are painted; fields are painted last."""

    fields: Geometries
    regime: NDArray[np.intp]
    pivot: NDArray[np.float64]
    patches: Geometries
    cover: NDArray[np.str_]


def draw_landscape(shape: tuple[int, int], seed: int) -> Landscape:
    """Draws a landscape of ``shape`` pixels of which fields cover 48 to 57 %."""
    height, width = shape
    division = divide((-MARGIN, -MARGIN, width + MARGIN, height + MARGIN), generator(seed, "scene", "parcels"))
    bend = Bend(shape, division, generator(seed, "scene", "bend"))
    rng = generator(seed, "scene", "nature")
    organic = {cover: blobs(shape, share, scale, rng) for cover, (share, scale) in ORGANIC.items()}
    way, way_kind = ways(shape, rng)
    lines = np.concatenate([bend(division.dividers), way])
    kind = np.concatenate([division.kind, way_kind])
    line_width = np.concatenate([division.width, draw_widths(way_kind, rng)])

    parcels = bend(division.parcels)
    candidates, origin, pivot = _pivots(parcels, division.regime, rng)
    outlines = _bands(*pieces(lines, line_width))
    fields, source = _carve(candidates, np.concatenate([outlines, *organic.values()]), shape)
    farmed = _choose(fields, ~np.isnan(pivot[source, 0]), shape, rng)
    fields, source = fields[farmed], source[farmed]

    cover = _other_land(parcels, shape, rng)
    cover[origin[source[np.isnan(pivot[source, 0])]]] = "verge"
    strips, strip_cover = _strips(lines, kind, line_width)
    layers = [(found, np.full(len(found), name)) for name, found in organic.items()]
    # Lakes last: roads bridge rivers, but no track runs through a lake.
    layers = [(parcels, cover), *layers[:-1], (strips, strip_cover), layers[-1]]
    return Landscape(
        fields=fields,
        regime=division.regime[origin[source]],
        pivot=pivot[source],
        patches=np.concatenate([patch for patch, _ in layers]),
        cover=np.concatenate([name for _, name in layers]),
    )


def snap(geometry: Geometries) -> Geometries:
    """Moves vertices to the lattice; equal vertices stay equal."""
    return shapely.transform(geometry, lambda xy: np.floor(xy * 64) / 64 + 1 / 128)


def _pivots(
    parcels: Geometries, regime: NDArray[np.intp], rng: np.random.Generator
) -> tuple[Geometries, NDArray[np.intp], NDArray[np.float64]]:
    """What may become fields: the parcels, but some large square ones hold a watered circle, whole or in halves.

    Returns the candidates, the parcel each lies in, and the circle's centre (nan for a plain parcel).
    """
    centre = shapely.centroid(parcels)
    radius = 0.97 * shapely.distance(centre, shapely.boundary(parcels))
    square = np.pi * radius**2 > 0.6 * shapely.area(parcels)
    watered = (regime == list(REGIMES).index("large")) & square & (radius > 35) & (rng.random(len(parcels)) < 0.4)
    candidates, origin, pivots = (
        [parcels[~watered]],
        [np.flatnonzero(~watered)],
        [np.full(((~watered).sum(), 2), np.nan)],
    )
    for index in np.flatnonzero(watered):
        middle = shapely.get_coordinates(centre[index])[0]
        turn = rng.uniform(0, 2 * np.pi) + np.linspace(0, 2 * np.pi, 97)
        rim = middle + radius[index] * np.stack([np.cos(turn), np.sin(turn)], 1)
        halves = [rim[:49], rim[48:]] if rng.random() < 0.45 else [rim[:-1]]
        candidates.append(np.array([shapely.Polygon(half) for half in halves], dtype=object))
        origin.append(np.full(len(halves), index))
        pivots.append(np.tile(middle, (len(halves), 1)))
    return np.concatenate(candidates), np.concatenate(origin), np.concatenate(pivots)


def _carve(
    candidates: Geometries, obstacles: Geometries, shape: tuple[int, int]
) -> tuple[Geometries, NDArray[np.intp]]:
    """The candidates without the obstacles, inside the scene, in pieces fit to be fields, and where each came from."""
    which, what = shapely.STRtree(obstacles).query(candidates, predicate="intersects")
    # Obstacle by obstacle for all candidates at once: the k-th round subtracts the k-th obstacle of each.
    rank = np.arange(len(which)) - np.searchsorted(which, which)
    for k in range(int(rank.max(initial=-1)) + 1):
        now = rank == k
        candidates[which[now]] = shapely.difference(candidates[which[now]], obstacles[what[now]])
    height, width = shape
    scene = shapely.box(1 / 128, 1 / 128, width - 1 / 128, height - 1 / 128)
    crossing = ~shapely.within(candidates, scene)
    candidates[crossing] = shapely.intersection(candidates[crossing], scene)
    parts, source = shapely.get_parts(candidates, return_index=True)
    parts = snap(parts)
    area = shapely.area(parts)
    fit = shapely.is_valid(parts) & (area > LEAST_AREA) & (shapely.get_type_id(parts) == 3)
    fit &= 2 * area > LEAST_WIDTH * np.maximum(shapely.length(parts), 1e-9)
    parts, source = parts[fit], source[fit]
    # Snapping may leave a vertex of one piece a hair from its neighbour's edge: the few such pieces are given up.
    shared = shapely.is_empty(shapely.coverage_invalid_edges(parts))
    return parts[shared], source[shared]


def _choose(
    parts: Geometries, always: NDArray[np.bool_], shape: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.intp]:
    """The parts that are farmed, in their order: the most suitable ones until the scene's share is reached.

    Suitability is a smooth noise plus a little of each part's own, so that farmland and other land form clusters.
    """
    at = shapely.get_coordinates(shapely.centroid(parts))
    suitable = smooth_noise(shape, 75.0, rng).at(*at.T) + 0.6 * rng.standard_normal(len(parts))
    order = np.argsort(-np.where(always, np.inf, suitable), kind="stable")
    reached = np.cumsum(shapely.area(parts)[order])
    count = 1 + int(np.argmin(np.abs(reached - rng.uniform(0.48, 0.57) * shape[0] * shape[1])))
    return np.sort(order[:count])


def _other_land(parcels: Geometries, shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.str_]:
    """A cover for every parcel as if it were no field; neighbours often have the same."""
    at = shapely.get_coordinates(shapely.centroid(parcels))
    place = smooth_noise(shape, 60.0, rng).at(*at.T) + 0.5 * rng.standard_normal(len(parcels))
    rank = (np.argsort(np.argsort(place)) + 0.5) / len(parcels)
    kinds = list(OTHER_LAND)
    bins = np.cumsum(list(OTHER_LAND.values()))
    return np.array(kinds)[np.minimum(np.searchsorted(bins, rank), len(kinds) - 1)].astype("<U8")


def _strips(
    lines: Geometries, kind: NDArray[np.str_], width: NDArray[np.float64]
) -> tuple[Geometries, NDArray[np.str_]]:
    """The bands each line is painted with, all outer bands before all inner ones."""
    shapes, covers = [], []
    for layer in range(max(len(bands) for bands in STRIPS.values())):
        has = np.array([layer < len(STRIPS[k]) for k in kind])
        bands = [STRIPS[k][layer] for k in kind[has]]
        share = np.array([band[1] for band in bands])
        shapes.append(_bands(lines[has], share * width[has]))
        covers.append(np.array([band[0] for band in bands]))
    return np.concatenate(shapes), np.concatenate(covers)


def _bands(lines: Geometries, width: NDArray[np.float64]) -> Geometries:
    return shapely.buffer(lines, width / 2, quad_segs=3)

"""How land is divided: districts of one size regime each, cut again and again until their parcels are small enough.

Everything here is straight and in pixel coordinates (column, row); ``landscape`` bends it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

Geometries = NDArray[Any]
"""An object array of shapely geometries."""


@dataclass(frozen=True)
class Regime:
    """How one kind of district is divided. Areas in pixels, widths in pixels.

    ``area`` is the median parcel, ``elongation`` the aspect ratio cuts aim at, ``skew`` the standard deviation of a
    cut's direction in radians, ``bend`` how strongly edges wander (1 = by ~10 px over ~150 px), ``between`` and
    ``within`` the share of each kind of divider between blocks and between the parcels of a block.
    """

    area: float
    elongation: float
    skew: float
    bend: float
    between: dict[str, float]
    within: dict[str, float]


REGIMES: dict[str, Regime] = {
    "smallholder": Regime(
        area=1000,
        elongation=1.8,
        skew=0.13,
        bend=1.3,
        between={"path": 0.3, "hedge": 0.22, "margin": 0.2, "ditch": 0.1, "track": 0.18},
        within={"touch": 0.68, "margin": 0.14, "path": 0.1, "hedge": 0.08},
    ),
    "medium": Regime(
        area=3600,
        elongation=1.5,
        skew=0.07,
        bend=0.8,
        between={"hedge": 0.4, "track": 0.25, "treeline": 0.15, "ditch": 0.1, "margin": 0.1},
        within={"touch": 0.52, "margin": 0.16, "hedge": 0.24, "ditch": 0.08},
    ),
    "large": Regime(
        area=12000,
        elongation=1.25,
        skew=0.02,
        bend=0.25,
        between={"track": 0.5, "treeline": 0.2, "ditch": 0.1, "margin": 0.2},
        within={"touch": 0.55, "margin": 0.2, "track": 0.15, "treeline": 0.1},
    ),
}

WIDTHS: dict[str, tuple[float, float]] = {
    "touch": (0.0, 0.0),
    "margin": (1.4, 3.0),
    "path": (1.2, 2.4),
    "ditch": (1.4, 2.6),
    "hedge": (1.8, 3.2),
    "track": (2.0, 3.2),
    "treeline": (3.0, 6.0),
    "gravel": (2.6, 4.0),
    "road": (4.0, 6.0),
    "stream": (6.0, 13.0),
    "river": (18.0, 34.0),
}
"""Least and greatest width in pixels of each divider, verges included."""

DISTRICT = 340.0
"""Spacing of districts in pixels."""


@dataclass(frozen=True)
class Division:
    """The plane divided: parcels that share their edges' vertices, and the dividers that run between them."""

    parcels: Geometries
    regime: NDArray[np.intp]
    angle: NDArray[np.float64]
    dividers: Geometries
    kind: NDArray[np.str_]
    width: NDArray[np.float64]
    centres: NDArray[np.float64]
    centre_regime: NDArray[np.intp]


def divide(box: tuple[float, float, float, float], rng: np.random.Generator) -> Division:
    """Divides the box ``(x0, y0, x1, y1)``: districts are the Voronoi cells of a jittered lattice, each of the regimes
    in ``REGIMES`` taking its turn; a district is halved across its longer side until its parcels are of its size.
    """
    cells, centres = _districts(box, rng)
    turn = np.concatenate([rng.permutation(len(REGIMES)) for _ in range(-(-len(cells) // len(REGIMES)))])
    regime = turn[: len(cells)]
    angle = rng.uniform(0, np.pi, len(cells))
    parcels, parcel_regime, parcel_angle, cuts, kinds, widths = _halve(cells, regime, angle, rng)
    borders = shapely.get_parts(shapely.line_merge(shapely.unary_union(shapely.boundary(cells), grid_size=1 / 64)))
    border_kind = rng.choice(["road", "track", "stream", "treeline"], len(borders), p=[0.35, 0.35, 0.15, 0.15])
    noded = _node(parcels)
    home = shapely.STRtree(noded).query_nearest(shapely.point_on_surface(parcels), all_matches=False)[1]
    order = np.full(len(noded), -1)
    order[home] = np.arange(len(parcels))
    known = order >= 0
    return Division(
        parcels=noded[known],
        regime=parcel_regime[order[known]],
        angle=parcel_angle[order[known]],
        dividers=np.concatenate([borders, cuts]),
        kind=np.concatenate([border_kind, kinds]),
        width=np.concatenate([draw_widths(border_kind, rng), widths]),
        centres=centres,
        centre_regime=regime,
    )


def draw_widths(kind: NDArray[np.str_], rng: np.random.Generator) -> NDArray[np.float64]:
    low, high = np.array([WIDTHS[k] for k in kind]).reshape(-1, 2).T
    return rng.uniform(low, high)


def _districts(
    box: tuple[float, float, float, float], rng: np.random.Generator
) -> tuple[Geometries, NDArray[np.float64]]:
    x0, y0, x1, y1 = box
    columns, rows = (max(1, round(span / DISTRICT)) for span in (x1 - x0, y1 - y0))
    gx, gy = np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5)
    centres = np.stack([gx.ravel(), gy.ravel()], 1) + rng.uniform(-0.38, 0.38, (columns * rows, 2))
    centres = centres / [columns, rows] * [x1 - x0, y1 - y0] + [x0, y0]
    whole = shapely.box(x0, y0, x1, y1)
    if len(centres) == 1:
        return np.array([whole], dtype=object), centres
    cells = shapely.get_parts(shapely.voronoi_polygons(shapely.MultiPoint(centres), extend_to=whole))
    cells = shapely.intersection(cells, whole)
    inside = shapely.STRtree(centres_as_points := shapely.points(centres)).query(cells, predicate="contains")
    return cells[inside[0]], shapely.get_coordinates(centres_as_points[inside[1]])


def _halve(
    cells: Geometries, regime: NDArray[np.intp], angle: NDArray[np.float64], rng: np.random.Generator
) -> tuple[Any, ...]:
    """Cuts all polygons at once, one generation a round, until each is smaller than its own stopping area."""
    table = list(REGIMES.values())
    median = np.array([r.area for r in table])
    elongation = np.array([r.elongation for r in table])
    skew = np.array([r.skew for r in table])
    active, patience = cells, np.full(len(cells), 3)
    leaves, cuts, kinds, widths = [], [], [], []
    while len(active):
        area = shapely.area(active)
        done = (area < 1.5 * median[regime] * np.exp(0.55 * rng.standard_normal(len(active)))) | (patience == 0)
        leaves.append((active[done], regime[done], angle[done]))
        active, regime, angle, area, patience = (a[~done] for a in (active, regime, angle, area, patience))
        if not len(active):
            break
        normal, offset, direction = _cut(active, angle, elongation[regime], skew[regime], rng)
        near, far = (_half_planes(normal, offset, direction, side) for side in (-1, 1))
        first, second = shapely.intersection(active, near), shapely.intersection(active, far)
        fair = np.minimum(shapely.area(first), shapely.area(second)) > 0.2 * area
        between = area > 7 * median[regime]
        kind = np.array([_draw_kind(table[r], b, rng) for r, b in zip(regime, between, strict=True)])
        chord = shapely.intersection(active, _chords(normal, offset, direction))
        keep = fair & (kind != "touch") & (shapely.length(chord) > 0)
        cuts.append(chord[keep])
        kinds.append(kind[keep])
        widths.append(draw_widths(kind[keep], rng))
        # Blocks of a mosaic turn: each may take a direction of its own.
        turns = between[:, None] & (rng.random((len(active), 2)) < 3 * skew[regime][:, None])
        turned = angle[:, None] + np.where(turns, rng.normal(0, 0.6, (len(active), 2)), 0)
        active = np.concatenate([first[fair], second[fair], active[~fair]])
        angle = np.concatenate([turned[fair, 0], turned[fair, 1], angle[~fair]])
        patience = np.concatenate([np.full(2 * fair.sum(), 3), patience[~fair] - 1])
        regime = np.concatenate([regime[fair], regime[fair], regime[~fair]])
    polygons, regimes, angles = (np.concatenate(part) for part in zip(*leaves, strict=True))
    return polygons, regimes, angles, np.concatenate(cuts), np.concatenate(kinds), np.concatenate(widths)


def _draw_kind(regime: Regime, between: bool, rng: np.random.Generator) -> str:
    shares = regime.between if between else regime.within
    return str(rng.choice(list(shares), p=list(shares.values())))


def _cut(
    polygons: Geometries,
    angle: NDArray[np.float64],
    elongation: NDArray[np.float64],
    skew: NDArray[np.float64],
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """A line across the longer side of each polygon, seen along its angle: unit normal, point on it, direction."""
    coordinates, owner = shapely.get_coordinates(polygons, return_index=True)
    starts = np.searchsorted(owner, np.arange(len(polygons)))
    along = np.stack([np.cos(angle), np.sin(angle)], 1)
    across = np.stack([-along[:, 1], along[:, 0]], 1)
    low, high = [], []
    for axis in (along, across):
        place = (coordinates * axis[owner]).sum(1)
        low.append(np.minimum.reduceat(place, starts))
        high.append(np.maximum.reduceat(place, starts))
    lower, span = np.array(low), np.array(high) - np.array(low)
    shorten = span[0] > span[1] * elongation
    share = np.clip(rng.normal(0.5, 0.09, len(polygons)), 0.28, 0.72)
    at = np.where(shorten, share, 0.5) * span[0] + lower[0], np.where(shorten, 0.5, share) * span[1] + lower[1]
    point = at[0][:, None] * along + at[1][:, None] * across
    tilt = angle + np.where(shorten, 0, np.pi / 2) + skew * rng.standard_normal(len(polygons))
    normal = np.stack([np.cos(tilt), np.sin(tilt)], 1)
    return normal, point, np.stack([-normal[:, 1], normal[:, 0]], 1)


_FAR = 1e5


def _half_planes(
    normal: NDArray[np.float64], point: NDArray[np.float64], direction: NDArray[np.float64], side: int
) -> Geometries:
    a, b = point - _FAR * direction, point + _FAR * direction
    out = side * _FAR * normal
    return shapely.polygons(np.stack([a, b, b + out, a + out], 1))


def _chords(normal: NDArray[np.float64], point: NDArray[np.float64], direction: NDArray[np.float64]) -> Geometries:
    return shapely.linestrings(np.stack([point - _FAR * direction, point + _FAR * direction], 1))


def _node(polygons: Geometries) -> Geometries:
    """The same parcels with a vertex wherever a neighbour has one, so that bending keeps shared edges shared."""
    lines = shapely.unary_union(shapely.boundary(polygons), grid_size=1 / 64)
    return shapely.get_parts(shapely.polygonize(shapely.get_parts(lines)))

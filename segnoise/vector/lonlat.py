"""Polygons as RFC 7946 wants their coordinates: WGS 84 degrees, seven decimals, cut at the antimeridian."""

from __future__ import annotations

import numpy as np
import pyproj
import shapely
from geopandas import GeoDataFrame
from numpy.typing import NDArray

from segnoise.errors import UserError

DECIMALS = 7
"""1e-7 degrees are at most 1.1 cm."""


def to_lonlat(frame: GeoDataFrame) -> NDArray[np.object_]:
    """The frame's polygons in WGS 84 longitude and latitude, ready for RFC 7946.

    Coordinates are rounded to seven decimals, vertices that fall together become one, geometries that rounding
    made invalid are repaired, those that reach beyond 180 degrees are cut there into the parts of a MultiPolygon,
    and outer rings run counter-clockwise, holes clockwise. Equal vertices of neighbours stay equal. A polygon
    smaller than the rounding becomes empty. Straight edges stay straight between their vertices: for an edge of
    1 km the difference is some centimetres.

    Raises:
        UserError: if the CRS cannot be converted, or the coordinates lie outside the area where it is defined.

    >>> from shapely import box
    >>> frame = GeoDataFrame(geometry=[box(179.5, -17, 180.5, -16)], crs=4326)
    >>> print(to_lonlat(frame)[0])
    MULTIPOLYGON (((179.5 -17, 180 -17, 180 -16, 179.5 -16, 179.5 -17)),
                  ((-179.5 -16, -180 -16, -180 -17, -179.5 -17, -179.5 -16)))
    """
    try:
        shapes = shapely.force_2d(frame.geometry.to_crs(4326).to_numpy())
    except pyproj.exceptions.ProjError as error:
        raise UserError(f"CRS {frame.crs.name!r} cannot be converted to longitude and latitude ({error})") from error
    coordinates = shapely.get_coordinates(shapes)
    if not np.isfinite(coordinates).all() or (np.abs(coordinates[:, 1]) > 90).any():
        raise UserError(f"some coordinates lie outside the area where CRS {frame.crs.name!r} is defined; check the CRS")
    if not frame.crs.is_geographic:
        shapes = _unwrap(shapes)
    shapes = _cut(_round(shapes))
    invalid = ~shapely.is_valid(shapes)
    shapes[invalid] = [_repair(shape) for shape in shapes[invalid]]
    # Last, for a ring whose vertices all fell together has no vertex to lose: it is gone by repair.
    return shapely.orient_polygons(shapely.remove_repeated_points(shapes, 0))


def _round(shapes: NDArray[np.object_]) -> NDArray[np.object_]:
    # + 0.0 turns -0.0 into 0.0, which would be written as "-0.0".
    return shapely.transform(shapes, lambda xy: np.round(xy, DECIMALS) + 0.0)


def _repair(shape: shapely.Geometry) -> shapely.Geometry:
    """The polygons of an invalid shape on the grid of rounded coordinates: snap-rounded, which keeps them valid."""
    if not shapely.is_valid(shape):
        shape = shapely.make_valid(shape)
    snapped = shapely.set_precision(shape, 10.0**-DECIMALS)
    return _polygons(shapely.transform(snapped, lambda xy: np.round(xy, DECIMALS) + 0.0))


def _unwrap(shapes: NDArray[np.object_]) -> NDArray[np.object_]:
    """Undoes the jump from 180 to -180 that projection puts inside polygons: longitudes go on beyond 180.

    Only after projection: a polygon that spans more than half the globe in degrees is meant so.
    """
    bounds = shapely.bounds(shapes)
    jumps = bounds[:, 2] - bounds[:, 0] > 180
    shapes[jumps] = shapely.transform(shapes[jumps], lambda xy: xy + np.where(xy[:, :1] < 0, [360.0, 0.0], 0.0))
    return shapes


def _cut(shapes: NDArray[np.object_]) -> NDArray[np.object_]:
    """Longitudes brought into [-180, 180], polygons that cross its end cut in two."""
    bounds = shapely.bounds(shapes)
    turns = np.floor((np.nan_to_num(bounds[:, 0]) + 180) / 360)
    for turn in np.unique(turns[turns != 0]):
        shapes[turns == turn] = _shift(shapes[turns == turn], -360.0 * turn)
    crossing = np.flatnonzero(bounds[:, 2] - 360 * turns > 180)
    for place in crossing:
        shape = shapes[place] if shapely.is_valid(shapes[place]) else shapely.make_valid(shapes[place])
        west = shapely.intersection(shape, shapely.box(-180, -90, 180, 90))
        east = _shift(shapely.intersection(shape, shapely.box(180, -90, 540, 90)), -360.0)
        shapes[place] = _polygons(shapely.geometrycollections([west, east]))
    shapes[crossing] = _round(shapes[crossing])
    return shapes


def _shift(shapes: NDArray[np.object_], degrees: float) -> NDArray[np.object_]:
    return shapely.transform(shapes, lambda xy: np.round(xy + np.array([degrees, 0.0]), DECIMALS))


def _polygons(shape: shapely.Geometry) -> shapely.Geometry:
    """What is polygonal of a shape, as Polygon or MultiPolygon."""
    parts = shapely.get_parts(shape)
    while (shapely.get_type_id(parts) > 3).any():
        parts = shapely.get_parts(parts)
    parts = parts[(shapely.get_type_id(parts) == 3) & ~shapely.is_empty(parts)]
    return parts[0] if len(parts) == 1 else shapely.multipolygons(parts)


def bounding_box(shapes: NDArray[np.object_]) -> list[float]:
    """[west, south, east, north] of shapes in [-180, 180]: the narrowest, so west > east if it holds 180.

    >>> from shapely import box
    >>> bounding_box(np.array([box(177, -20, 179, -16), box(-179, -19, -178, -18)]))
    [177.0, -20.0, -178.0, -16.0]
    """
    bounds = shapely.bounds(shapely.get_parts(shapes))
    bounds = bounds[np.isfinite(bounds).all(axis=1)]
    bounds = bounds[np.argsort(bounds[:, 0])]
    west, east = bounds[:, 0], np.maximum.accumulate(bounds[:, 2])
    south, north = bounds[:, 1].min(), bounds[:, 3].max()
    gaps = west[1:] - east[:-1]
    widest = int(np.argmax(gaps)) if len(gaps) else 0
    if len(gaps) and gaps[widest] > west[0] + 360 - east[-1]:
        return [float(west[widest + 1]), float(south), float(east[widest]), float(north)]
    return [float(west[0]), float(south), float(east[-1]), float(north)]

"""Areas and lengths in metres, whatever the coordinates are in."""

from __future__ import annotations

import numpy as np
import pyproj
import shapely
from geopandas import GeoDataFrame
from numpy.typing import NDArray

from segnoise.errors import UserError

PLANAR_WITHIN = 0.006
"""A map projection's areas are taken as they are if they are true within this share (UTM: 0.002 in its zone,
0.0055 half a zone beyond); otherwise (Web Mercator: 0.0067 at the equator, 1 / cos² latitude) they are geodesic."""

_GEOD = pyproj.Geod(ellps="WGS84")


def planar_unit(crs: pyproj.CRS, x: float, y: float) -> float | None:
    """Metres per coordinate unit if plane geometry is true near (x, y), else None (degrees, distorted maps).

    >>> planar_unit(pyproj.CRS(32736), 500_000, 8_000_000), planar_unit(pyproj.CRS(4326), 33, -18)
    (1.0, None)
    >>> planar_unit(pyproj.CRS(3857), 0, 7_000_000), planar_unit(pyproj.CRS(2263), 980_000, 190_000)
    (None, 0.3048...)
    """
    if crs.is_geographic:
        return None
    unit = float(crs.axis_info[0].unit_conversion_factor)
    # A local engineering grid has no place on Earth to be compared with: its plane is all there is.
    if crs.is_projected and abs(_geodesic_scale(crs, x, y, 1000 / unit) / unit**2 - 1) > PLANAR_WITHIN:
        return None
    return unit


def square_metres_per_unit(crs: pyproj.CRS, x: float, y: float) -> float:
    """The area in m² of one square coordinate unit (a square degree, a square foot) near (x, y)."""
    unit = planar_unit(crs, x, y)
    if unit is not None:
        return unit**2
    half = 0.01 if crs.is_geographic else 1000 / float(crs.axis_info[0].unit_conversion_factor)
    return _geodesic_scale(crs, x, y, half)


def _geodesic_scale(crs: pyproj.CRS, x: float, y: float, half: float) -> float:
    """Geodesic m² of the square of half side ``half`` around (x, y), over its area in coordinate units."""
    transformer = pyproj.Transformer.from_crs(crs, 4326, always_xy=True)
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * half
    lon, lat = transformer.transform(x + corners[:, 0], y + corners[:, 1])
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        raise UserError(f"the coordinates ({x:g}, {y:g}) lie outside the area where {crs.name} is defined")
    area, _ = _GEOD.polygon_area_perimeter(lon, np.clip(lat, -90, 90))
    return abs(area) / (2 * half) ** 2


def metric_areas(frame: GeoDataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Area in m² and perimeter in m (holes included) of each polygon, never in degrees.

    Projected CRS: plane geometry times the CRS's unit (feet become metres). Geographic CRS, and projections whose
    areas are off by more than 0.6 % where the frame lies (Web Mercator): geodesic on the WGS 84 ellipsoid.

    Args:
        frame: polygons with a CRS.

    Returns:
        Two float64 arrays, one entry a row; 0 for an empty geometry.

    Raises:
        UserError: if the frame has no CRS.

    >>> from shapely import box
    >>> area, perimeter = metric_areas(GeoDataFrame(geometry=[box(5e5, 8e6, 5e5 + 100, 8e6 + 50)], crs=32736))
    >>> float(area[0]), float(perimeter[0])
    (5000.0, 300.0)
    """
    if frame.crs is None:
        raise UserError("the polygons have no CRS, so their areas in m² are unknown; set one with set_crs")
    shapes = frame.geometry.to_numpy()
    if len(shapes) == 0 or shapely.is_empty(shapes).all():
        return np.zeros(len(shapes)), np.zeros(len(shapes))
    west, south, east, north = shapely.total_bounds(shapes)
    unit = planar_unit(frame.crs, (west + east) / 2, (south + north) / 2)
    if unit is not None:
        return shapely.area(shapes) * unit**2, shapely.length(shapes) * unit
    return _geodesic(frame.geometry.to_crs(4326).to_numpy())


def _geodesic(lonlat: NDArray[np.object_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ring by ring, for pyproj's measure of a whole polygon leaves the holes out of its perimeter."""
    parts, part_of = shapely.get_parts(lonlat, return_index=True)
    rings, ring_of = shapely.get_rings(parts, return_index=True)
    measured = [_GEOD.polygon_area_perimeter(*shapely.get_coordinates(ring).T) for ring in rings]
    area, length = np.abs(np.array(measured, dtype=np.float64).reshape(-1, 2)).T
    # The first ring of a polygon is its outer one.
    area[np.diff(ring_of, prepend=-1) == 0] *= -1
    shape_of = part_of[ring_of]
    areas, lengths = np.zeros((2, len(lonlat)))
    np.add.at(areas, shape_of, area)
    np.add.at(lengths, shape_of, length)
    return areas, lengths

"""Where pixels lie on the Earth: whether two grids are one, and how large a pixel is in metres."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

GRID_TOLERANCE = 1e-6
"""Two grids are one when their corners agree within this share of the grid's longer side."""

_TRUE_TO_SCALE = 0.01


def crs_name(geobox: GeoBox) -> str:
    """The CRS in a few words: its EPSG code, else its name."""
    if geobox.crs is None:
        return "no CRS"
    code = geobox.crs.epsg
    return f"EPSG:{code}" if code else f"CRS {geobox.crs.proj.name!r} without EPSG code"


def describe_grid(geobox: GeoBox) -> str:
    """A grid in one line, for messages.

    >>> from affine import Affine
    >>> describe_grid(GeoBox((20, 30), Affine(10, 0, 500000, 0, -10, 5000000), "EPSG:32633"))
    '20 x 30 px, EPSG:32633, origin (500000, 5000000), pixel (10, -10)'
    """
    a = geobox.affine
    size = f"{geobox.shape[0]} x {geobox.shape[1]} px"
    turned = f", rotation ({a.b:.10g}, {a.d:.10g})" if a.b or a.d else ""
    origin = f"origin ({a.c:.12g}, {a.f:.12g}), pixel ({a.a:.10g}, {a.e:.10g}){turned}"
    return f"{size}, {crs_name(geobox)}, {origin}"


def same_grid(one: GeoBox, other: GeoBox) -> bool:
    """Whether two grids have the same shape, the same CRS (axis order aside) and the same corners."""
    if tuple(one.shape) != tuple(other.shape) or (one.crs is None) != (other.crs is None):
        return False
    if one.crs is not None and one.crs != other.crs:
        a, b = one.crs.proj, other.crs.proj
        same_code = a.to_epsg() is not None and a.to_epsg() == b.to_epsg()
        if not same_code and not a.equals(b, ignore_axis_order=True):
            return False
    rows, columns = one.shape
    corners = np.array([[0, columns, 0, columns], [0, 0, rows, rows], [1, 1, 1, 1]], dtype=np.float64)
    drift = np.abs(np.linalg.solve(_matrix(one), _matrix(other) @ corners) - corners).max()
    return bool(drift <= GRID_TOLERANCE * max(rows, columns, 1))


def pixel_spacing(geobox: GeoBox) -> tuple[float, float]:
    """Metres per pixel along (y, x), at the centre of the grid; nan without CRS.

    A projected CRS gives its own unit in metres, unless that is more than 1 % off the distance on the ellipsoid,
    as Web Mercator is away from the equator; then, and for degrees, it is the geodesic distance.

    >>> from affine import Affine
    >>> pixel_spacing(GeoBox((20, 30), Affine(10, 0, 500000, 0, -10, 5000000), "EPSG:32633"))
    (10.0, 10.0)
    >>> y, x = pixel_spacing(GeoBox((10, 10), Affine(1e-4, 0, 20, 0, -1e-4, 60), "EPSG:4326"))
    >>> round(y, 2), round(x, 2)
    (11.14, 5.58)
    """
    if geobox.crs is None:
        return (float("nan"), float("nan"))
    crs: CRS = geobox.crs.proj
    affine = geobox.affine
    nominal: tuple[float, float] | None = None
    if not crs.is_geographic:
        factor = crs.axis_info[0].unit_conversion_factor if crs.axis_info else 1.0
        nominal = (math.hypot(affine.b, affine.e) * factor, math.hypot(affine.a, affine.d) * factor)
    true = _geodesic_spacing(geobox, crs)
    if nominal is None:
        return true
    off = np.abs(np.divide(true, nominal) - 1)
    return true if np.isfinite(off).all() and off.max() > _TRUE_TO_SCALE else nominal


def _matrix(geobox: GeoBox) -> NDArray[np.float64]:
    """The map from (column, row, 1) to (x, y, 1)."""
    return np.array(tuple(geobox.affine), dtype=np.float64).reshape(3, 3)


def _geodesic_spacing(geobox: GeoBox, crs: CRS) -> tuple[float, float]:
    row, column = geobox.shape[0] / 2, geobox.shape[1] / 2
    xs, ys, _ = _matrix(geobox) @ [[column, column, column + 1], [row, row + 1, row], [1, 1, 1]]
    geodetic = crs.geodetic_crs
    geod = crs.get_geod()
    if geodetic is None or geod is None:
        return (float("nan"), float("nan"))
    try:
        # The geodetic CRS's own unit may be grads; WGS 84 is in degrees, which Geod expects.
        lon, lat = Transformer.from_crs(crs, CRS(4326), always_xy=True).transform(xs, ys)
        _, _, metres = geod.inv([lon[0]] * 2, [lat[0]] * 2, lon[1:], lat[1:])
    except ProjError:
        return (float("nan"), float("nan"))
    return (float(metres[0]), float(metres[1]))

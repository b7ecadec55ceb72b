"""Fewer vertices with shared borders still shared: simplification of a whole coverage at once."""

from __future__ import annotations

import numpy as np
import shapely
from geopandas import GeoDataFrame
from numpy.typing import NDArray

from segnoise.errors import UserError
from segnoise.vector.areas import square_metres_per_unit


def drop_vertices(coverage: NDArray[np.object_], tolerance: float) -> NDArray[np.object_]:
    """A valid coverage with the vertices removed whose triangle is smaller than ``tolerance``² (coordinate units).

    Visvalingam–Whyatt on the borders between junctions: while some vertex v spans with its two neighbours a
    triangle of area A(v) < tolerance², the smallest is removed. Vertices go, none moves. Both sides of a border
    lose the same ones.
    """
    if tolerance < 0:
        raise ValueError(f"tolerance {tolerance} is negative")
    if tolerance == 0 or len(coverage) == 0:
        return coverage
    return shapely.coverage_simplify(coverage, tolerance)


def simplify_coverage(frame: GeoDataFrame, tolerance_m: float) -> GeoDataFrame:
    """Simplifies polygons that share borders, all at once, so that no gap or overlap opens between them.

    Visvalingam–Whyatt (``shapely.coverage_simplify``): the vertex v with the smallest triangle goes first, while

        A(v) < tolerance_m²,   A(v) = area in m² of the triangle of v and its two neighbours.

    So ``tolerance_m`` is a length whose square is an area: a staircase of pixels of size p has triangles of
    p²/2 and starts to vanish above p/√2; a spike of base b goes below a height of 2 tolerance_m²/b. Triangles in
    degrees are converted by the area of a square degree at the centre of the frame: under any affine map all
    triangles scale alike, so the coordinates themselves need not be touched and shared vertices stay equal bit
    for bit.

    Args:
        frame: polygons with a CRS that form a coverage: no overlaps, equal vertices along shared borders
            (``polygonize`` makes such).
        tolerance_m: metres, >= 0; 0 changes nothing.

    Returns:
        The rows whose polygons did not collapse, with their index; ``attrs["collapsed"]`` counts the others.

    Raises:
        UserError: if the frame has no CRS or is not a coverage.
        ValueError: if the tolerance is negative.

    Visvalingam, M., Whyatt, J. D. Line generalisation by repeated elimination of points. The Cartographic
    Journal 30 (1993).

    >>> from shapely import Polygon
    >>> stairs = Polygon([(0, 0), (30, 0), (30, 10), (20, 10), (20, 20), (10, 20), (10, 30), (0, 30)])
    >>> frame = GeoDataFrame(geometry=[shapely.transform(stairs, lambda xy: xy + (5e5, 8e6))], crs=32736)
    >>> len(simplify_coverage(frame, 7).geometry[0].exterior.coords)
    9
    >>> len(simplify_coverage(frame, 8).geometry[0].exterior.coords) < 9
    True
    """
    if frame.crs is None:
        raise UserError("the polygons have no CRS, so a tolerance in metres means nothing; set one with set_crs")
    shapes = frame.geometry.to_numpy()
    if not shapely.coverage_is_valid(shapes):
        raise UserError(
            "the polygons overlap or lack common vertices along shared borders, so they cannot be simplified "
            "together; polygonize gives a coverage without either"
        )
    if len(shapes):
        west, south, east, north = shapely.total_bounds(shapes)
        scale = square_metres_per_unit(frame.crs, (west + east) / 2, (south + north) / 2)
        shapes = drop_vertices(shapes, tolerance_m / np.sqrt(scale))
    kept = shapely.area(shapes) > 0
    simplified = frame.set_geometry(shapes, crs=frame.crs).loc[kept]
    simplified.attrs["collapsed"] = int((~kept).sum())
    return simplified

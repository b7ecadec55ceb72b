"""Objects of a raster as exact polygons on the pixel lattice, noded where three of them meet."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import shapes


def lattice_vertices(ids: NDArray[Any]) -> NDArray[np.bool_]:
    """Which lattice points are vertices of polygons: corners and junctions of the cracks between pixels.

    A crack lies between two pixels of different ids (outside the raster is id 0). A lattice point with cracks
    on its four sides (up, down, left, right) is a vertex unless it has none or just the two of a straight
    line; so a T-junction is a vertex of all three polygons, of the one that passes straight as well.

    Args:
        ids: ``H W``.

    Returns:
        Bool ``H+1 W+1``; entry (r, c) is the upper left corner of pixel (r, c).

    >>> lattice_vertices(np.array([[1, 1], [2, 3]])).astype(int)
    array([[1, 0, 1],
           [1, 1, 1],
           [1, 1, 1]])
    """
    around = np.pad(ids, 1)
    beside = around[:, 1:] != around[:, :-1]
    below = around[1:] != around[:-1]
    up, down, left, right = beside[:-1], beside[1:], below[:, :-1], below[:, 1:]
    vertical, horizontal = up & down & ~left & ~right, left & right & ~up & ~down
    return (up | down | left | right) & ~vertical & ~horizontal


def trace(ids: NDArray[Any]) -> NDArray[np.object_]:
    """The outlines of objects 1..n as shapely geometries in pixel coordinates (x = column, y = row).

    Outlines follow pixel borders exactly (4-connectivity), so their area is the number of pixels and
    rasterising them gives the raster back. Every junction is a vertex of all polygons that meet there: the
    polygons are a valid coverage, which those of plain GDAL polygonisation are not (they have corners only, and
    ``shapely.coverage_simplify`` then breaks them apart without a word). An object in several 4-connected pieces
    is a MultiPolygon.

    Args:
        ids: integers ``H W`` in 0..n, every id present; 0 is no object.

    Returns:
        ``n`` Polygons or MultiPolygons with integer coordinates; entry i belongs to id i + 1.

    >>> for outline in trace(np.array([[1, 1], [2, 3]])):
    ...     print(outline)
    POLYGON ((0 0, 0 1, 1 1, 2 1, 2 0, 0 0))
    POLYGON ((0 1, 0 2, 1 2, 1 1, 0 1))
    POLYGON ((1 1, 1 2, 2 2, 2 1, 1 1))
    """
    count = int(ids.max(initial=0))
    if count == 0:
        return np.empty(0, dtype=object)
    ids = ids.astype(np.int32, copy=False)
    rings: list[list[tuple[float, float]]] = []
    rings_of_polygon: list[int] = []
    owners: list[int] = []
    for geometry, value in shapes(ids, mask=ids > 0, connectivity=4):
        rings.extend(geometry["coordinates"])
        rings_of_polygon.append(len(geometry["coordinates"]))
        owners.append(int(value))
    points, ring_of_point = _node(rings, lattice_vertices(ids))
    lines = shapely.linearrings(points, indices=ring_of_point)
    polygons = shapely.polygons(lines, indices=np.repeat(np.arange(len(owners)), rings_of_polygon))
    return _gather(shapely.normalize(polygons), np.array(owners), count)


def _node(
    rings: list[list[tuple[float, float]]], vertices: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each ring's lattice points that are vertices, in its order, unclosed; and the ring of each point."""
    sizes = np.fromiter(map(len, rings), np.int64, len(rings))
    flat = chain.from_iterable(chain.from_iterable(rings))
    corners = np.fromiter(flat, np.float64, 2 * int(sizes.sum())).astype(np.int64).reshape(-1, 2)
    ring = np.repeat(np.arange(len(rings)), sizes)
    step = np.zeros_like(corners)
    step[:-1] = corners[1:] - corners[:-1]
    # A ring's last corner repeats its first: nothing is to be walked from there to the next ring.
    step[np.cumsum(sizes) - 1] = 0
    length = np.abs(step).sum(axis=1)
    start = np.cumsum(length) - length
    side = np.repeat(np.arange(len(corners)), length)
    along = np.arange(len(side)) - start[side]
    points = corners[side] + np.sign(step)[side] * along[:, None]
    kept = vertices[points[:, 1], points[:, 0]]
    return points[kept], ring[side[kept]]


def _gather(polygons: NDArray[np.object_], owners: NDArray[np.int64], count: int) -> NDArray[np.object_]:
    """One geometry for each id: its polygon, or its polygons together."""
    order = np.argsort(owners, kind="stable")
    polygons, owners = polygons[order], owners[order]
    pieces = np.bincount(owners, minlength=count + 1)
    several = pieces[owners] > 1
    outlines = np.empty(count, dtype=object)
    outlines[owners[~several] - 1] = polygons[~several]
    if several.any():
        split, index = np.unique(owners[several], return_inverse=True)
        outlines[split - 1] = shapely.normalize(shapely.multipolygons(polygons[several], indices=index))
    return outlines

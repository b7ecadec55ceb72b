"""Class and instance rasters burnt from polygons by window, each pixel the same whatever the window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize

from segnoise.data.sample import IGNORE_INDEX
from segnoise.data.source import Labels
from segnoise.data.tiles import tiles
from segnoise.data.writetiff import geotiff
from segnoise.windows import Window, atomic_output

# Pixels are always burnt in these squares of the scene, so that rounding at an edge cannot depend on the window.
_TILE = 256
# Tiles a VectorLabels keeps: a scene of a thousand pixels square, one MiB.
_KEPT = 16


def rasterize_instances(frame: gpd.GeoDataFrame, geobox: GeoBox, window: Window | None = None) -> NDArray[np.int32]:
    """Instance ids ``H W`` at pixel centres: row i of the frame is i + 1, 0 is background, -1 is outside the grid.

    Where polygons overlap the smaller one wins, between equals the earlier row.

    >>> grid = GeoBox((2, 4), Affine(1, 0, 0, 0, -1, 2), "EPSG:32633")
    >>> frame = gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 4, 2), shapely.box(2, 1, 4, 2)], crs="EPSG:32633")
    >>> rasterize_instances(frame, grid)
    array([[1, 1, 2, 2],
           [1, 1, 1, 1]], dtype=int32)
    """
    burner = _Burner(frame.geometry.to_numpy(), np.arange(1, len(frame) + 1), geobox, "int32")
    window = window or Window((0, 0), tuple(geobox.shape))
    ids = np.full(window.size, -1, dtype=np.int32)
    for tile, part in _parts(window, geobox):
        ids[part.within(window)] = burner.burn(tile)[part.within(tile)]
    return ids


class VectorLabels:
    """Classes from polygons on a scene's grid: 0 background, 1 field and, with three classes, 2 boundary.

    With B, S and X the pixels whose centre lies in a polygon, in a polygon shrunk by s and in one grown by s, where
    s is the mean of the pixel's two side lengths in CRS units, the three classes are::

        label = 2 B - S + 2 [X = 1 and B = 0]        edge_px = 2: one pixel inside and one outside
        label = 2 B - S                              edge_px = 1: the pixel inside only

    so touching fields are parted by twice that, and where fields overlap the interior of any one wins. With two
    classes the label is B. Rings are rounded at corners. Reading uses a spatial index; outside the grid is 255.
    The two-pixel edge is the rule of the Africa field-boundary labels (Estes et al. 2024, arXiv 2412.18483).

    >>> grid = GeoBox((5, 7), Affine(1, 0, 0, 0, -1, 5), "EPSG:32633")
    >>> frame = gpd.GeoDataFrame(geometry=[shapely.box(1, 1, 6, 5)], crs="EPSG:32633")
    >>> VectorLabels(frame, grid, num_classes=3, edge_px=1).read(Window((0, 0), (5, 7)))
    array([[0, 2, 2, 2, 2, 2, 0],
           [0, 2, 1, 1, 1, 2, 0],
           [0, 2, 1, 1, 1, 2, 0],
           [0, 2, 2, 2, 2, 2, 0],
           [0, 0, 0, 0, 0, 0, 0]])
    """

    def __init__(self, frame: gpd.GeoDataFrame, geobox: GeoBox, num_classes: int = 2, edge_px: int = 1) -> None:
        if num_classes not in (2, 3) or edge_px not in (1, 2):
            raise ValueError(f"num_classes {num_classes} must be 2 or 3 and edge_px {edge_px} 1 or 2")
        a = geobox.affine
        step = (np.hypot(a.a, a.d) + np.hypot(a.b, a.e)) / 2
        polygons = frame.geometry.to_numpy()

        def layer(grow: float) -> _Burner:
            shapes = shapely.buffer(polygons, grow * step, quad_segs=16) if grow else polygons
            return _Burner(shapes, np.ones(len(shapes), dtype=np.int64), geobox, "uint8")

        self.geobox = geobox
        self.shape: tuple[int, ...] = tuple(geobox.shape)
        self._body = layer(0)
        self._core = layer(-1) if num_classes == 3 else None
        self._halo = layer(1) if num_classes == 3 and edge_px == 2 else None
        self._kept: dict[tuple[int, ...], NDArray[np.uint8]] = {}

    def read(self, window: Window) -> NDArray[np.int64]:
        labels = np.full(window.size, IGNORE_INDEX, dtype=np.int64)
        for tile, part in _parts(window, self.geobox):
            labels[part.within(window)] = self._tile(tile)[part.within(tile)]
        return labels

    def _tile(self, tile: Window) -> NDArray[np.uint8]:
        label = self._kept.get(tile.start)
        if label is None:
            body = self._body.burn(tile)
            label = body
            if self._core is not None:
                label = 2 * body - (self._core.burn(tile) & body)
            if self._halo is not None:
                label = label + 2 * ((self._halo.burn(tile) == 1) & (body == 0)).astype(np.uint8)
            while len(self._kept) >= _KEPT:
                self._kept.pop(next(iter(self._kept)), None)
            self._kept[tile.start] = label
        return label


class _Burner:
    """Polygons that can be burnt into any tile of a grid, larger ones first."""

    def __init__(self, polygons: NDArray[Any], values: NDArray[np.int64], geobox: GeoBox, dtype: str) -> None:
        area = shapely.area(polygons)
        order = np.lexsort((-np.arange(len(polygons)), -area))
        order = order[~shapely.is_empty(polygons[order])]
        self._polygons, self._values = polygons[order], values[order]
        self._index = shapely.STRtree(self._polygons)
        self._affine, self._dtype = geobox.affine, dtype

    def burn(self, tile: Window) -> NDArray[Any]:
        (top, left), (rows, columns) = tile.start, tile.size
        a = self._affine
        corner = (a.a * left + a.b * top + a.c, a.d * left + a.e * top + a.f)
        affine = Affine(a.a, a.b, corner[0], a.d, a.e, corner[1])
        x, y = np.array([0, columns, columns, 0]), np.array([0, 0, rows, rows])
        footprint = shapely.Polygon(np.stack([a.a * x + a.b * y + corner[0], a.d * x + a.e * y + corner[1]], axis=1))
        found = np.sort(self._index.query(footprint))
        if not len(found):
            return np.zeros(tile.size, dtype=self._dtype)
        shapes = zip(self._polygons[found], self._values[found].tolist(), strict=True)
        return rasterize(shapes, out_shape=tile.size, transform=affine, fill=0, dtype=self._dtype)


def _parts(window: Window, geobox: GeoBox) -> list[tuple[Window, Window]]:
    """The tiles of the grid that a window meets, each with the part of the window in it."""
    shape = tuple(geobox.shape)
    inside = window.clip(shape)
    if not all(inside.size):
        return []
    first = tuple(a // _TILE * _TILE for a in inside.start)
    region = Window(first, tuple(b - a for a, b in zip(first, inside.stop, strict=True)))
    parts = []
    for cut in tiles(region, _TILE):
        tile = Window(cut.start, (_TILE, _TILE)).clip(shape)
        start = tuple(max(a, b) for a, b in zip(tile.start, inside.start, strict=True))
        stop = tuple(min(a, b) for a, b in zip(tile.stop, inside.stop, strict=True))
        parts.append((tile, Window(start, tuple(b - a for a, b in zip(start, stop, strict=True)))))
    return parts


def write_label_raster(
    labels: Labels, geobox: GeoBox, path: str | Path, block: int = 512, overwrite: bool = False
) -> Path:
    """Streams labels of any size to a tiled, deflated uint8 GeoTIFF on ``geobox``; 255 is declared as nodata.

    ``block``, a multiple of 16, is the side of the tiles, and of what is in memory at a time. Raises UserError when
    the output exists or cannot be written.
    """
    path = Path(path)
    profile = {
        "dtype": "uint8", "count": 1, "nodata": IGNORE_INDEX, "blockxsize": block, "blockysize": block,
        "height": geobox.shape[0], "width": geobox.shape[1], "transform": geobox.affine,
        "crs": geobox.crs.to_wkt() if geobox.crs is not None else None,
    }  # fmt: skip
    with atomic_output(path, overwrite) as temporary, geotiff(temporary, **profile) as dataset:
        for tile in tiles(Window((0, 0), tuple(geobox.shape)), block):
            rows, columns = tile.slices
            box = ((rows.start, rows.stop), (columns.start, columns.stop))
            dataset.write(labels.read(tile).astype(np.uint8), 1, window=box)
    return path

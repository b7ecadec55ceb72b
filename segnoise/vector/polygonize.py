"""A label raster as a table of fields: exact outlines, simplified together, measured in metres."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyproj
import rasterio
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError

from segnoise.errors import UserError
from segnoise.vector.areas import metric_areas, square_metres_per_unit
from segnoise.vector.canonical import UNKNOWN, canonical, components
from segnoise.vector.instances import instance_confidence
from segnoise.vector.simplify import drop_vertices
from segnoise.vector.trace import trace


def polygonize(
    labels: str | PathLike[str] | NDArray[Any],
    geobox: GeoBox | None = None,
    tolerance_m: float = 0.0,
    min_area_m2: float = 0.0,
    scores: str | PathLike[str] | NDArray[Any] | None = None,
    instances: bool | None = None,
) -> geopandas.GeoDataFrame:
    """Turns a label raster into polygons that form a valid coverage: neighbours share their borders exactly.

    Outlines follow the pixels, so before simplification rasterising them gives the labels back and

        area = n_px |det A|,   A = the linear part of the raster's affine.

    Then all are simplified together (``simplify_coverage`` says what the tolerance means; its metres are those at
    the raster's centre), measured, and filtered by area; what is left out changes no other polygon.

    Args:
        labels: a single-band integer raster file, or an array ``H W``. The file's nodata and masked pixels are
            not vectorised.
        geobox: the array's grid; for a file, only where its own is to be replaced.
        tolerance_m: metres, >= 0; 0 keeps the exact outlines.
        min_area_m2: polygons below this are left out.
        scores: a single-band raster file on the same grid, or an array ``H W``, in 0..1.
        instances: True: pixels hold object ids, an object is a row (a MultiPolygon if in several pieces), values
            <= 0 are none. False: pixels hold classes, each 4-connected component is a row, 0 is background and 255
            unknown. None: classes if pixels have 8 bits, ids if they have more.

    Returns:
        GeoDataFrame in the raster's CRS, in raster order of first pixels, with ``id`` (r<row>c<column> of the
        first pixel: stable), ``label`` (the pixels' value), ``area_ha``, ``perimeter_m`` (holes included; both of
        the polygon as it is, ``metric_areas``), ``confidence`` (mean score over the object's pixels, nan without
        any; only if scores are given), ``n_px`` (pixels of the object) and ``geometry``. ``attrs`` counts what was
        left out: ``collapsed`` in simplification, ``below_min_area``.

    Raises:
        UserError: for a file that is no raster of integers in one band, a raster without CRS, or scores that are
            on another grid or outside 0..1.
        ValueError: for an array without geobox or of another shape, or a negative tolerance.

    >>> from affine import Affine
    >>> grid = GeoBox((2, 3), Affine(10, 0, 500_000, 0, -10, 8_000_000), "EPSG:32736")
    >>> fields = polygonize(np.array([[7, 7, 0], [8, 8, 8]]), grid)
    >>> fields[["id", "label", "area_ha", "perimeter_m", "n_px"]]
         id  label  area_ha  perimeter_m  n_px
    0  r0c0      7     0.02         60.0     2
    1  r1c0      8     0.03         80.0     3
    """
    pixels, masked, geobox, name = _read_labels(labels, geobox)
    crs = _crs(geobox, name)
    if instances is None:
        instances = pixels.dtype.itemsize > 1
    if instances:
        objects = canonical(pixels, (pixels <= 0) | masked)
    else:
        objects = components(pixels, (pixels <= 0) | (pixels == UNKNOWN) | masked)
    outlines = drop_vertices(trace(objects.ids), tolerance_m / np.sqrt(_pixel_area(geobox, crs)))
    row, column = np.divmod(objects.first, max(pixels.shape[1], 1))
    table: dict[str, Any] = {
        "id": [f"r{r}c{c}" for r, c in zip(row.tolist(), column.tolist(), strict=True)],
        "label": objects.values,
    }
    fields = geopandas.GeoDataFrame(table, geometry=_place(outlines, geobox), crs=crs)
    fields = fields.astype({"id": str, "label": np.int64})
    area, perimeter = metric_areas(fields)
    fields.insert(2, "area_ha", area / 1e4)
    fields.insert(3, "perimeter_m", perimeter)
    if scores is not None:
        values = _read_scores(scores, geobox, name)
        fields.insert(4, "confidence", instance_confidence(objects.ids, values))
    fields.insert(fields.shape[1] - 1, "n_px", objects.n_px)
    collapsed, small = area <= 0, (area > 0) & (area < min_area_m2)
    fields = fields[~collapsed & ~small].reset_index(drop=True)
    fields.attrs = {"collapsed": int(collapsed.sum()), "below_min_area": int(small.sum())}
    return fields


def _place(outlines: NDArray[np.object_], geobox: GeoBox) -> NDArray[np.object_]:
    """From pixel coordinates to the CRS: equal lattice points become equal places, bit for bit."""
    return shapely.transform(outlines, lambda xy: _affine(geobox, xy))


def _affine(geobox: GeoBox, xy: NDArray[np.float64]) -> NDArray[np.float64]:
    a, b, c, d, e, f = geobox.affine[:6]
    x, y = xy[:, 0], xy[:, 1]
    return np.column_stack([a * x + b * y + c, d * x + e * y + f])


def _pixel_area(geobox: GeoBox, crs: pyproj.CRS) -> float:
    """The area in m² of the pixel at the raster's centre."""
    height, width = geobox.shape
    ((x, y),) = _affine(geobox, np.array([[width / 2, height / 2]]))
    return abs(geobox.affine.determinant) * square_metres_per_unit(crs, float(x), float(y))


def _crs(geobox: GeoBox, name: str) -> pyproj.CRS:
    if geobox.crs is None:
        raise UserError(
            f"{name}: no CRS, so fields have no place and no area; assign one (gdal_edit.py -a_srs EPSG:... FILE)"
        )
    return geobox.crs.proj


def _read_labels(
    labels: str | PathLike[str] | NDArray[Any], geobox: GeoBox | None
) -> tuple[NDArray[Any], NDArray[np.bool_], GeoBox, str]:
    """The label pixels, those that do not count, their grid, and what to call them in messages."""
    if isinstance(labels, str | PathLike):
        band, own = _read_band(labels)
        if band.dtype.kind not in "iu":
            raise UserError(f"{labels}: pixels are {band.dtype}; polygons are made of integer labels")
        pixels, masked, name = band.data, np.ma.getmaskarray(band), str(labels)
        geobox = own if geobox is None else geobox
    else:
        pixels, masked, name = np.asarray(labels), np.zeros(np.shape(labels), bool), "labels"
        if pixels.dtype == bool:
            pixels = pixels.view(np.uint8)
        if pixels.ndim != 2 or pixels.dtype.kind not in "iu":
            raise ValueError(f"labels must be integers H W, not {pixels.dtype} of shape {pixels.shape}")
        if geobox is None:
            raise ValueError("labels given as an array need a geobox")
    if tuple(geobox.shape) != pixels.shape:
        raise ValueError(f"labels of shape {pixels.shape} do not fit the geobox of shape {tuple(geobox.shape)}")
    return pixels, masked, geobox, name


def _read_scores(scores: str | PathLike[str] | NDArray[Any], geobox: GeoBox, name: str) -> NDArray[np.floating[Any]]:
    """Scores in 0..1, nan where masked."""
    if isinstance(scores, str | PathLike):
        band, own = _read_band(scores)
        if tuple(own.shape) != tuple(geobox.shape) or not own.affine.almost_equals(geobox.affine, 1e-6):
            raise UserError(f"{scores}: grid {_grid(own)} is not that of {name}, {_grid(geobox)}")
        values = np.ma.filled(band.astype(np.float32), np.nan)
    else:
        values = np.asarray(scores)
        if values.shape != tuple(geobox.shape):
            raise ValueError(f"scores of shape {values.shape} do not fit the labels of shape {tuple(geobox.shape)}")
    low, high = np.nanmin(values, initial=0.0), np.nanmax(values, initial=1.0)
    if low < 0 or high > 1:
        where = scores if isinstance(scores, str | PathLike) else "scores"
        raise UserError(f"{where}: scores must lie in 0..1, but reach from {low:g} to {high:g}")
    return values


def _read_band(path: str | PathLike[str]) -> tuple[np.ma.MaskedArray[Any, Any], GeoBox]:
    """The only band of a raster file, nodata masked, and its grid."""
    local = "://" not in str(path) and not str(path).startswith("/vsi")
    if local and not Path(path).exists():
        raise UserError(f"{path}: no such file")
    try:
        with rasterio.open(path) as file:
            if file.count != 1:
                raise UserError(f"{path}: has {file.count} bands; one is needed (gdal_translate -b 1 takes the first)")
            return file.read(1, masked=True), GeoBox.from_rio(file)
    except RasterioError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: cannot be read as a raster ({reason})") from error


def _grid(geobox: GeoBox) -> str:
    height, width = geobox.shape
    a, b, c, d, e, f = geobox.affine[:6]
    return f"{height} x {width} pixels, affine ({a:g}, {b:g}, {c:.10g}, {d:g}, {e:g}, {f:.10g})"

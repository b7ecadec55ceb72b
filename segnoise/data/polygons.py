"""Polygons from any vector file, made fit for a scene: in its CRS, two-dimensional, valid, one part a row."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyogrio
import shapely
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from segnoise.data.grid import crs_name
from segnoise.errors import UserError

logger = logging.getLogger(__name__)

Bounds = tuple[float, float, float, float]

# How far beyond the scene labels are read, in pixels: an edge two pixels wide reaches in from there.
_MARGIN = 4


def read_polygons(path: str | Path, geobox: GeoBox | None = None) -> gpd.GeoDataFrame:
    """The polygons of a GeoPackage, GeoJSON, GeoParquet, Shapefile or any other file GDAL can read.

    With ``geobox`` they come in its CRS, and only those that reach its surroundings are read. Heights are dropped,
    invalid outlines are repaired (``make_valid``), multipolygons and collections become one row a polygon, in file
    order; points and lines are left out. What was repaired or left out is logged. A file without features is legal:
    all is background.

    Raises UserError when the file is missing, unreadable, holds several layers, has no CRS, holds only points or
    lines, or lies elsewhere than the scene (naming both extents).

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "fields.gpkg"
    >>> two = shapely.MultiPolygon([shapely.box(0, 0, 9, 9), shapely.box(20, 0, 29, 9)])
    >>> gpd.GeoDataFrame({"crop": ["oats"]}, geometry=[two], crs=32633).to_file(path)
    >>> read_polygons(path)["crop"].tolist()
    ['oats', 'oats']
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such file; check the path of the labels")
    frame, extent = _read_parquet(path, geobox) if path.suffix == ".parquet" else _read_gdal(path, geobox)
    if extent is not None and frame.crs is None:
        raise UserError(f"{path}: the labels have no CRS; assign one (for a Shapefile, its .prj file is missing)")
    if geobox is not None and extent is not None:
        _require_overlap(path, extent, frame.crs, geobox)
    if frame.geometry.name != "geometry":
        frame = frame.rename_geometry("geometry")
    if geobox is not None:
        target = geobox.crs.proj
        try:
            frame = frame.to_crs(target) if frame.crs is not None else frame.set_crs(target)
        except ProjError as error:
            raise UserError(
                f"{path}: its CRS {frame.crs.name!r} has no way to {crs_name(geobox)}; assign the right one"
            ) from error
    frame = _only_polygons(path, frame)
    if geobox is not None and extent is not None and frame.empty:
        logger.warning("%s: no polygon reaches the scene, so all of it is background", path)
    return frame


def _read_gdal(path: Path, geobox: GeoBox | None) -> tuple[gpd.GeoDataFrame, Bounds | None]:
    """The features near the scene, and the extent of all features in the file's CRS (None without features)."""
    try:
        layers = [name for name, kind in pyogrio.list_layers(path) if kind is not None]
        if len(layers) > 1:
            raise UserError(f"{path}: holds {len(layers)} layers ({', '.join(layers)}); export the one with the labels")
        if not layers:
            raise UserError(f"{path}: holds no layer with geometry; give a file of polygons")
        info = pyogrio.read_info(path, layer=layers[0], force_feature_count=True, force_total_bounds=True)
        bounds = info["total_bounds"]
        known = bool(info["features"]) and bounds is not None and bool(np.isfinite(bounds).all())
        extent = tuple(float(b) for b in bounds) if known else None
        near = None
        if geobox is not None and extent is not None and info["crs"] is not None:
            near = _bounds_in(_around(geobox), geobox.crs.proj, CRS.from_user_input(info["crs"]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            frame = gpd.read_file(path, layer=layers[0], bbox=near, engine="pyogrio")
    except (RuntimeError, ValueError, OSError) as error:
        raise _unreadable(path, error) from error
    if not isinstance(frame, gpd.GeoDataFrame):
        frame = gpd.GeoDataFrame(frame, geometry=[None] * len(frame), crs=info["crs"])
    return frame, extent  # type: ignore[return-value]


def _read_parquet(path: Path, geobox: GeoBox | None) -> tuple[gpd.GeoDataFrame, Bounds | None]:
    try:
        frame = gpd.read_parquet(path)
    except (RuntimeError, ValueError, KeyError, OSError) as error:
        raise _unreadable(path, error) from error
    bounds = frame.total_bounds
    if not np.isfinite(bounds).all():
        return frame, None
    if geobox is not None and frame.crs is not None:
        near = _bounds_in(_around(geobox), geobox.crs.proj, frame.crs)
        if near is not None:
            frame = frame.iloc[np.sort(frame.sindex.query(shapely.box(*near)))]
    return frame, tuple(float(b) for b in bounds)  # type: ignore[return-value]


def _unreadable(path: Path, error: Exception) -> UserError:
    reason = " ".join(str(error).split())[:200]
    return UserError(f"{path}: not a vector file that can be read, or a damaged one; export it again ({reason})")


def _around(geobox: GeoBox) -> Bounds:
    box = geobox.extent.boundingbox
    rows, columns = geobox.shape
    x, y = _MARGIN * (box.right - box.left) / columns, _MARGIN * (box.top - box.bottom) / rows
    return (box.left - x, box.bottom - y, box.right + x, box.top + y)


def _bounds_in(bounds: Bounds, source: Any, target: Any) -> Bounds | None:
    """A box that holds the given one in another CRS; None where that has no meaning."""
    try:
        found = Transformer.from_crs(source, target, always_xy=True).transform_bounds(*bounds, densify_pts=21)
    except ProjError:
        return None
    crosses_antimeridian = found[0] > found[2]
    return found if np.isfinite(found).all() and not crosses_antimeridian else None


def _require_overlap(path: Path, extent: Bounds, crs: Any, geobox: GeoBox) -> None:
    # Asked in the labels' CRS: a country has no box in the projection of a scene on the other side of the Earth.
    # There is no answer across the antimeridian; what is read then decides.
    near = _bounds_in(_around(geobox), geobox.crs.proj, crs)
    if near is None or _meet(extent, near):
        return
    labels = _bounds_in(extent, crs, geobox.crs.proj)
    shown, name = (labels, crs_name(geobox)) if labels is not None else (extent, CRS(crs).name)
    raise UserError(
        f"{path}: the labels do not overlap the scene; labels: {_say(shown)} in {name}; scene: "
        f"{_say(tuple(geobox.extent.boundingbox))} in {crs_name(geobox)}; check the files and their CRS"
    )


def _meet(a: Bounds, b: Bounds) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


def _say(bounds: Bounds) -> str:
    return f"x {bounds[0]:.10g} to {bounds[2]:.10g}, y {bounds[1]:.10g} to {bounds[3]:.10g}"


def _only_polygons(path: Path, frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    frame = frame[~(frame.geometry.isna() | frame.geometry.is_empty)].reset_index(drop=True)
    shapes = shapely.force_2d(frame.geometry.to_numpy())
    # What lies outside the domain of a projection comes back infinite.
    finite = np.isfinite(shapely.bounds(shapes)).all(axis=1) if len(shapes) else np.zeros(0, dtype=bool)
    if not finite.all():
        logger.warning("%s: %d features cannot be placed in the scene's CRS; left out", path, int((~finite).sum()))
    frame, shapes = frame[finite].reset_index(drop=True), shapes[finite]
    invalid = ~shapely.is_valid(shapes)
    if invalid.any():
        shapes[invalid] = shapely.make_valid(shapes[invalid], method="structure", keep_collapsed=False)
        logger.warning("%s: %d geometries were invalid and have been repaired", path, int(invalid.sum()))
    frame = frame.set_geometry(gpd.GeoSeries(shapes, crs=frame.crs))
    parts = frame.explode(ignore_index=True)
    while (parts.geom_type == "GeometryCollection").any() or parts.geom_type.str.startswith("Multi").any():
        parts = parts.explode(ignore_index=True)
    polygons = parts[(parts.geom_type == "Polygon") & ~parts.geometry.is_empty].reset_index(drop=True)
    others = int(parts.geom_type.isin(["Point", "LineString", "LinearRing"]).sum())
    if others and polygons.empty:
        kind = parts.geom_type.iloc[0].lower()
        raise UserError(f"{path}: holds no polygon, only points or lines (the first is a {kind}); give polygons")
    if others:
        logger.warning("%s: %d points and lines are no areas; left out", path, others)
    return polygons

"""Polygons to files: the suffix says the format, and a file appears only when it is whole."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path

import pyogrio
import shapely
from geopandas import GeoDataFrame

from segnoise.errors import UserError
from segnoise.vector.geojson import write_geojson
from segnoise.windows import atomic_output


def write_polygons(frame: GeoDataFrame, path: str | PathLike[str], overwrite: bool = False) -> Path:
    """Writes polygons to ``path``, in the format its suffix names; a frame without rows gives a valid empty file.

    =========== ==================================================================================
    suffix      what is written
    =========== ==================================================================================
    .geojson    RFC 7946: WGS 84 longitude / latitude whatever the frame's CRS, string ids, ``bbox``,
                right-hand winding, seven decimals, cut at the antimeridian
    .gpkg       GeoPackage in the frame's CRS, one layer named like the file
    .parquet    GeoParquet 1.1 in the frame's CRS, zstd, with bounding-box columns
    =========== ==================================================================================

    Args:
        frame: Polygons and MultiPolygons with a CRS.
        path: the file to write.
        overwrite: replace a file that exists.

    Raises:
        UserError: for an unknown suffix, a frame without CRS, with other geometries or with equal ids, a path
            that exists or cannot be written.

    >>> import tempfile
    >>> from shapely import box
    >>> frame = GeoDataFrame({"id": ["r0c0"]}, geometry=[box(30, -2, 30.5, -1)], crs=4326)
    >>> print(write_polygons(frame, Path(tempfile.mkdtemp()) / "fields.geojson").read_text())
    {"type": "FeatureCollection",
    "bbox": [30.0, -2.0, 30.5, -1.0],
    "features": [
    {"type":"Feature","id":"r0c0","geometry":{"type":"Polygon","coordinates":[[[30.5,-2.0],...]]},"properties":{}}
    ]}
    """
    path = check_suffix(path)
    write = _WRITERS[path.suffix.lower()]
    if frame.crs is None:
        raise UserError(f"{path}: the polygons have no CRS, so they have no place on Earth; set one with set_crs")
    shapes = frame.geometry.to_numpy()
    others = set(frame.geometry[~shapely.is_missing(shapes)].geom_type) - {"Polygon", "MultiPolygon"}
    if others:
        raise UserError(f"{path}: only polygons can be written, but there are also {', '.join(sorted(others))}")
    if "id" in frame and not frame["id"].is_unique:
        raise UserError(f"{path}: the column 'id' has equal values; ids must differ")
    try:
        with atomic_output(path, overwrite) as temporary:
            write(frame, temporary, path.stem)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        # SQLite reports a full disk by whichever statement failed first, never by an errno.
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: could not be written ({reason}); free space or choose another folder") from error
    return path


def check_suffix(path: str | PathLike[str]) -> Path:
    """The path, if its suffix names a format that can be written; UserError otherwise, before any work is done.

    >>> check_suffix("fields.gpkg").name
    'fields.gpkg'
    """
    path = Path(path)
    if path.suffix.lower() not in _WRITERS:
        raise UserError(f"{path}: unknown polygon format {path.suffix!r}; known: {', '.join(_WRITERS)}")
    return path


def _geojson(frame: GeoDataFrame, path: Path, _name: str) -> None:
    write_geojson(frame, path)


def _geopackage(frame: GeoDataFrame, path: Path, name: str) -> None:
    # Said outright, for an empty frame cannot tell and a mixed one would become a layer of any geometry.
    single = (frame.geometry.geom_type.dropna() == "Polygon").all()
    kind = "Polygon" if single else "MultiPolygon"
    pyogrio.write_dataframe(frame, path, layer=name, driver="GPKG", geometry_type=kind, promote_to_multi=not single)


def _geoparquet(frame: GeoDataFrame, path: Path, _name: str) -> None:
    frame.to_parquet(path, index=False, compression="zstd", schema_version="1.1.0", write_covering_bbox=True)


_WRITERS: dict[str, Callable[[GeoDataFrame, Path, str], None]] = {
    ".geojson": _geojson,
    ".gpkg": _geopackage,
    ".parquet": _geoparquet,
}

POLYGON_SUFFIXES = tuple(_WRITERS)
"""Of the formats that can be written."""

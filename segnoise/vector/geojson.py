"""GeoJSON as RFC 7946 defines it, one feature a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import shapely
from geopandas import GeoDataFrame
from numpy.typing import NDArray

from segnoise.vector.lonlat import bounding_box, to_lonlat


def write_geojson(frame: GeoDataFrame, path: Path) -> None:
    """Writes polygons as an RFC 7946 FeatureCollection with a ``bbox``.

    ``id`` (else the index) becomes the features' string id, the other columns their properties; missing and
    non-finite values become null. Polygons that are empty, or become so by rounding, are left out.
    """
    shapes = to_lonlat(frame)
    present = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
    frame, shapes = frame[present], shapes[present]
    identifiers = [str(i) for i in frame.get("id", frame.index)]
    columns = [name for name in frame.columns if name not in ("id", frame.geometry.name)]
    properties = zip(*(_json_values(frame[name]) for name in columns), strict=True) if columns else [()] * len(shapes)
    names = [str(name) for name in columns]
    with open(path, "w", encoding="utf-8") as file:
        box = f'"bbox": {json.dumps(bounding_box(shapes))},\n' if len(shapes) else ""
        file.write('{"type": "FeatureCollection",\n' + box + '"features": [')
        separator = "\n"
        for identifier, geometry, row in zip(identifiers, _json_geometries(shapes), properties, strict=True):
            feature = {
                "type": "Feature",
                "id": identifier,
                "geometry": geometry,
                "properties": dict(zip(names, row, strict=True)),
            }
            file.write(separator + json.dumps(feature, separators=(",", ":"), ensure_ascii=False, allow_nan=False))
            separator = ",\n"
        file.write("\n]}\n")


def _json_values(column: pd.Series[Any]) -> list[Any]:
    """A column as values JSON knows."""
    if pd.api.types.is_datetime64_any_dtype(column):
        return [None if pd.isna(value) else value.isoformat() for value in column]
    return [_json_value(value) for value in column.tolist()]


def _json_value(value: Any) -> Any:
    if isinstance(value, list | tuple | np.ndarray):
        return [_json_value(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and not np.isfinite(value)):
        return None
    return value if isinstance(value, str | bool | int | float) else str(value)


def _json_geometries(shapes: NDArray[np.object_]) -> list[dict[str, Any]]:
    """The geometries as GeoJSON mappings, from flat coordinate arrays: no Python object a vertex but its pair."""
    if len(shapes) == 0:
        return []
    parts, part_of = shapely.get_parts(shapes, return_index=True)
    rings, ring_of = shapely.get_rings(parts, return_index=True)
    xy, point_of = shapely.get_coordinates(rings, return_index=True)
    pairs = xy.tolist()
    ends = np.cumsum(np.bincount(point_of, minlength=len(rings)))
    coordinates = [pairs[a:b] for a, b in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)]
    ends = np.cumsum(np.bincount(ring_of, minlength=len(parts)))
    polygons = [coordinates[a:b] for a, b in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)]
    ends = np.cumsum(np.bincount(part_of, minlength=len(shapes)))
    spans = zip([0, *ends[:-1].tolist()], ends.tolist(), shapely.get_type_id(shapes).tolist(), strict=True)
    return [
        {"type": "Polygon", "coordinates": polygons[a]}
        if kind == shapely.GeometryType.POLYGON
        else {"type": "MultiPolygon", "coordinates": polygons[a:b]}
        for a, b, kind in spans
    ]

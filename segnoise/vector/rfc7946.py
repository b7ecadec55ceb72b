"""Does a GeoJSON file keep RFC 7946, so that every map, database and web client reads it alike?"""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from segnoise.errors import UserError
from segnoise.vector.lonlat import DECIMALS


class _Problems:
    """What was found, each kind once with its count and its first place."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str]] = {}

    def add(self, kind: str, where: str = "") -> None:
        count, first = self._found.get(kind, (0, where))
        self._found[kind] = (count + 1, first)

    def lines(self) -> list[str]:
        return [
            kind + (f" ({count} times, first in {where})" if where and count > 1 else f" ({where})" if where else "")
            for kind, (count, where) in self._found.items()
        ]


def check_geojson(path: str | PathLike[str]) -> list[str]:
    """The ways in which a file of polygon features departs from RFC 7946; empty if it conforms.

    Looked at: JSON without NaN; a FeatureCollection; no ``crs`` member; features with geometry and properties;
    ids that are strings and differ, where given; longitudes in [-180, 180] and latitudes in [-90, 90] (projected
    coordinates fail here); no more than seven decimals; rings closed, of four positions or more, without
    consecutive duplicates, outer ones counter-clockwise and holes clockwise; nothing across the antimeridian;
    valid geometries; a ``bbox`` that holds the features.

    Args:
        path: the file.

    Returns:
        One line a kind of problem, with the number of times and the first place.

    Raises:
        UserError: if there is no such file.

    Butler, H. et al. The GeoJSON Format. RFC 7946 (2016).

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "old.geojson"
    >>> _ = path.write_text('{"type": "FeatureCollection", "crs": {}, "features": []}')
    >>> check_geojson(path)
    ['has a crs member: RFC 7946 knows WGS 84 only']
    """
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        root = json.loads(text.decode("utf-8"), parse_constant=_refuse_constant)
    except ValueError as error:
        return [f"is not JSON: {error}"]
    if not isinstance(root, dict) or root.get("type") != "FeatureCollection":
        return ["is not a FeatureCollection"]
    problems = _Problems()
    if "crs" in root:
        problems.add("has a crs member: RFC 7946 knows WGS 84 only")
    features = root.get("features")
    if not isinstance(features, list):
        problems.add("features is not a list")
        features = []
    identifiers: set[str] = set()
    boxes = [_check_feature(feature, f"feature {i}", identifiers, problems) for i, feature in enumerate(features)]
    if "bbox" in root:
        _check_bbox(root["bbox"], [box for found in boxes for box in found], problems)
    return problems.lines()


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _check_feature(
    feature: Any, where: str, identifiers: set[str], problems: _Problems
) -> list[tuple[float, float, float, float]]:
    """Notes what is wrong with a feature; returns the bounds of its polygons."""
    if not isinstance(feature, dict) or feature.get("type") != "Feature":
        problems.add("is not a Feature", where)
        return []
    if "id" in feature:
        identifier = feature["id"]
        where = f"{where}, id {identifier!r}"
        if not isinstance(identifier, str):
            problems.add("id is not a string", where)
        elif identifier in identifiers:
            problems.add("id occurs twice", where)
        else:
            identifiers.add(identifier)
    if "crs" in feature:
        problems.add("has a crs member: RFC 7946 knows WGS 84 only", where)
    if not isinstance(feature.get("properties", ""), dict | None):
        problems.add("properties is neither an object nor null", where)
    geometry = feature.get("geometry", "")
    if geometry is None:
        return []
    if not isinstance(geometry, dict) or geometry.get("type") not in ("Polygon", "MultiPolygon"):
        problems.add("geometry is neither a Polygon, a MultiPolygon nor null", where)
        return []
    coordinates: Any = geometry.get("coordinates")
    polygons: Any = [coordinates] if geometry["type"] == "Polygon" else coordinates
    try:
        arrays = [[np.array(ring, dtype=np.float64) for ring in polygon] for polygon in polygons]
        if not arrays or any(
            not rings or any(ring.ndim != 2 or ring.shape[1] < 2 for ring in rings) for rings in arrays
        ):
            raise ValueError
    except (TypeError, ValueError):
        problems.add("coordinates are not rings of positions", where)
        return []
    whole = [_check_ring(ring, k == 0, where, problems) for rings in arrays for k, ring in enumerate(rings)]
    if not all(whole):
        return []
    shape = shapely.multipolygons([shapely.Polygon(rings[0], rings[1:]) for rings in arrays])
    if not shapely.is_valid(shape):
        problems.add("geometry is not valid", f"{where}: {shapely.is_valid_reason(shape)}")
    return [part.bounds for part in shapely.get_parts(shape)]


def _check_ring(ring: NDArray[np.float64], outer: bool, where: str, problems: _Problems) -> bool:
    """Notes what is wrong with a ring; returns whether a polygon can be built of it."""
    lonlat = ring[:, :2]
    if (np.abs(lonlat) > [180, 90]).any():
        problems.add("coordinates are not degrees of longitude and latitude", where)
    elif np.ptp(lonlat[:, 0]) > 180 and (np.abs(np.diff(lonlat[:, 0])) > 180).any():
        problems.add("crosses the antimeridian: such a polygon must be cut in two", where)
    if (np.round(lonlat, DECIMALS) != lonlat).any():
        problems.add(f"has more than {DECIMALS} decimals", where)
    if len(ring) < 4 or (ring[0] != ring[-1]).any():
        problems.add("ring is not closed or has fewer than four positions", where)
        return False
    if (lonlat[1:] == lonlat[:-1]).all(axis=1).any():
        problems.add("ring repeats a position", where)
    x, y = (lonlat - lonlat[0]).T
    twice_area = float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))
    if (twice_area > 0) != outer:
        problems.add("outer ring is not counter-clockwise" if outer else "hole is not clockwise", where)
    return True


def _check_bbox(bbox: Any, boxes: list[tuple[float, float, float, float]], problems: _Problems) -> None:
    """Notes a bbox that is malformed or does not hold the polygons; west > east means it holds longitude 180."""
    if (
        not isinstance(bbox, list)
        or len(bbox) not in (4, 6)
        or not all(isinstance(value, int | float) for value in bbox)
    ):
        problems.add("bbox is not four (or, with heights, six) numbers")
        return
    (west, south), (east, north) = bbox[:2], bbox[len(bbox) // 2 :][:2]
    if south > north or max(abs(west), abs(east)) > 180 or max(abs(south), abs(north)) > 90:
        problems.add("bbox is not [west, south, east, north] in degrees")
        return
    for w, s, e, n in boxes:
        between = west <= w and e <= east if west <= east else w >= west or e <= east
        if not (between and south <= s and n <= north):
            problems.add("bbox does not hold every feature")
            return

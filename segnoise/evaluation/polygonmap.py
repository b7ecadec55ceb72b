"""Polygons over a scene, made ready for the map in a page: in the picture's pixels, quantised and packed."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from segnoise.data import RasterSource, read_polygons
from segnoise.errors import UserError
from segnoise.evaluation.pictures import colour_uri, overview

_LONGEST = 1600
_STEPS = 65535


@dataclass(frozen=True)
class PolygonMap:
    """The scene's picture and what the map's script reads.

    ``data`` is JSON: ``size`` (width, height of the picture in pixels), ``metres`` (per picture pixel, None if
    unknown), ``origin`` and ``step`` (coordinate = origin + step * integer, in picture pixels), ``xy`` (uint16 pairs),
    ``rings`` (vertices in each ring, uint32) and ``parts`` (rings in each polygon, uint32), all little-endian base64;
    and per polygon ``id``, ``area_ha``, ``perimeter_m`` and ``confidence`` (None where a column is missing).
    """

    name: str
    picture: str
    data: dict[str, Any]
    count: int
    area_ha: float | None
    confidence: float | None


def polygon_map(polygons: Path, scene: Path) -> PolygonMap:
    """Prepares the map of a vector file over a scene; polygons that do not reach the scene are left out.

    Raises UserError for files that cannot be read, a scene without CRS, or polygons that lie elsewhere.
    """
    if not polygons.is_file():
        raise UserError(f"{polygons}: no such file; give the polygons that `segnoise fields` wrote")
    source = RasterSource(scene)
    geobox = source.require_crs()
    frame = read_polygons(polygons, geobox)
    picture, ratio = overview(scene, _LONGEST)
    height, width = picture.shape[:2]
    shapes = _in_picture(frame.geometry.to_numpy(), geobox.affine, geobox.shape, (height, width))
    bounds = shapely.bounds(shapes).reshape(-1, 4)
    meets = (bounds[:, 0] < width) & (bounds[:, 1] < height) & (bounds[:, 2] > 0) & (bounds[:, 3] > 0)
    frame, shapes = frame[meets].reset_index(drop=True), shapes[meets]
    spacing = source.spacing[1]
    data: dict[str, Any] = {
        "size": [width, height],
        "metres": spacing * ratio if math.isfinite(spacing) else None,
        **_pack(shapes, (width, height)),
        "id": [str(v) for v in frame["id"]] if "id" in frame else [str(k + 1) for k in range(len(frame))],
    }
    for column, digits in (("area_ha", 3), ("perimeter_m", 1), ("confidence", 3)):
        data[column] = _column(frame, column, digits)
    return PolygonMap(
        name=scene.name,
        picture=colour_uri(picture, _LONGEST, quality=80),
        data=data,
        count=len(frame),
        area_ha=_total(data["area_ha"]),
        confidence=None if _total(data["confidence"]) is None else float(np.mean(_known(data["confidence"]))),
    )


def _in_picture(
    shapes: NDArray[np.object_], affine: Any, scene: tuple[int, int], picture: tuple[int, int]
) -> NDArray[np.object_]:
    """From the CRS to pixels of the picture: x right, y down, (0, 0) the corner of the first pixel."""
    a, b, c, d, e, f = (~affine)[:6]
    sx, sy = picture[1] / scene[1], picture[0] / scene[0]

    def move(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = xy[:, 0], xy[:, 1]
        return np.column_stack([(a * x + b * y + c) * sx, (d * x + e * y + f) * sy])

    return np.asarray(shapely.transform(shapes, move), dtype=object)


def _pack(shapes: NDArray[np.object_], size: tuple[int, int]) -> dict[str, Any]:
    """Outlines as integers between the corners of all that is shown; the closing vertex is left out."""
    rings, polygon = shapely.get_rings(shapes, return_index=True) if len(shapes) else (np.empty(0, object), np.empty(0))
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    last = np.append(ring[1:] != ring[:-1], True) if len(ring) else np.zeros(0, dtype=bool)
    xy, ring = xy[~last], ring[~last]
    low = np.minimum(xy.min(axis=0, initial=0), 0)
    high = np.maximum(xy.max(axis=0) if len(xy) else 0, np.array(size, dtype=float))
    step = float((high - low).max() / _STEPS)
    return {
        "origin": [round(float(v), 4) for v in low],
        "step": step,
        "xy": _base64(np.rint((xy - np.round(low, 4)) / step).clip(0, _STEPS).astype("<u2")),
        "rings": _base64(np.bincount(ring, minlength=len(rings)).astype("<u4")),
        "parts": _base64(np.bincount(polygon.astype(int), minlength=len(shapes)).astype("<u4")),
    }


def _base64(values: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()


def _column(frame: Any, name: str, digits: int) -> list[float | None] | None:
    """A numeric column, rounded; None where the file has none."""
    if name not in frame:
        return None
    return [round(float(v), digits) if v is not None and math.isfinite(float(v)) else None for v in frame[name]]


def _known(values: list[float | None]) -> list[float]:
    return [v for v in values if v is not None]


def _total(values: list[float | None] | None) -> float | None:
    known = _known(values or [])
    return float(sum(known)) if known else None

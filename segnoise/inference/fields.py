"""From scenes to field polygons in one pass: predict, separate the fields, vectorise."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd
import pandas as pd
import rasterio
from torch import nn

from segnoise.data import RasterSource
from segnoise.errors import UserError, nearest
from segnoise.inference.looking import map_source
from segnoise.inference.raster import Progress, predict_raster
from segnoise.vector import label_instances, polygonize, write_polygons
from segnoise.windows import refuse_existing

log = logging.getLogger(__name__)


def predict_fields(
    model: nn.Module,
    scene: str | Path,
    *,
    tolerance_m: float | None = None,
    min_area_m2: float | None = None,
    of: str | None = None,
    window: int | None = None,
    overlap: int | None = None,
    batch_size: int = 4,
    device: str = "cpu",
    progress: Progress | None = None,
) -> gpd.GeoDataFrame:
    """Field polygons of one scene, in the scene's CRS, as a valid coverage.

    Pixels of the class ``of`` are separated into 4-connected fields, pixels of a class named ``boundary`` go back to
    the nearest field, outlines are traced, shared edges simplified together, and each field gets ``id``,
    ``area_ha``, ``perimeter_m`` and ``confidence`` (mean probability of the class inside).

    Args:
        model: see ``segnoise.predict_raster``; its ``classes`` name the classes.
        scene: path of a raster with a CRS.
        tolerance_m: simplification in metres; by default one pixel. 0 keeps the pixel outlines.
        min_area_m2: smaller fields are left out; by default 16 pixels.
        of: name of the class to vectorise; by default ``field``, else the first after the background.

    Raises:
        UserError: no CRS, unknown class, unreadable scene.
    """
    geobox = RasterSource(scene).require_crs()
    source = map_source(model, scene)
    classes = list(getattr(model, "classes", ["background", "field"]))
    index = class_to_vectorise(classes, of)
    boundary = classes.index("boundary") if "boundary" in classes and classes[index] != "boundary" else None
    pixel = (source.spacing[0] * source.spacing[1]) ** 0.5
    with tempfile.TemporaryDirectory() as folder:
        labels, scores = Path(folder) / "labels.tif", Path(folder) / "scores.tif"
        predict_raster(
            model, source, labels, window=window, overlap=overlap, batch_size=batch_size, scores=scores,
            device=device, progress=progress,
        )  # fmt: skip
        with rasterio.open(labels) as src:
            instances = label_instances(src.read(1), field=index, boundary=boundary)
        with rasterio.open(scores) as src:
            probability = src.read(index + 1)
    return polygonize(
        instances,
        geobox,
        tolerance_m=pixel if tolerance_m is None else tolerance_m,
        min_area_m2=16 * pixel**2 if min_area_m2 is None else min_area_m2,
        scores=probability,
    )


def write_fields(frames: Sequence[gpd.GeoDataFrame], names: Sequence[str], out: Path, overwrite: bool = False) -> int:
    """Writes the fields of one or several scenes into one file and returns their number.

    With several scenes each field also carries its ``scene``, its id starts with the scene's name, and all are
    brought into the first scene's CRS (GeoJSON is lon/lat anyway).
    """
    refuse_existing(out, overwrite)
    if len(frames) == 1:
        whole = frames[0]
    else:
        parts = []
        for frame, name in zip(frames, names, strict=True):
            part = frame.to_crs(frames[0].crs).assign(scene=name)
            parts.append(part.assign(id=name + "/" + part["id"].astype(str)))
        whole = gpd.GeoDataFrame(pd.concat(parts, ignore_index=True), crs=frames[0].crs)
    write_polygons(whole, out, overwrite=overwrite)
    return len(whole)


def class_to_vectorise(classes: Sequence[str], of: str | None) -> int:
    """The index of the class whose pixels become polygons."""
    if of is not None:
        if of not in classes:
            raise UserError(f"--class {of}: the run has no such class; {nearest(of, classes)}")
        return list(classes).index(of)
    return list(classes).index("field") if "field" in classes else 1

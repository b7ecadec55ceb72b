"""Corrupting label files: polygons stay polygons, rasters stay rasters, and the record goes beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import rasterio
from rasterio.errors import RasterioError

from segnoise.data import IGNORE_INDEX, RasterSource, geotiff, pixel_spacing, rasterize_instances, read_polygons
from segnoise.data.pairing import VECTOR_SUFFIXES
from segnoise.errors import UserError
from segnoise.noise.expression import parse
from segnoise.vector import check_suffix, polygonize, write_polygons
from segnoise.windows import atomic_output, refuse_existing


def corrupt_file(
    labels: str | Path,
    out: str | Path,
    expression: str,
    *,
    grid: str | Path | None = None,
    instances: bool = False,
    seed: int = 0,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Writes noisy labels and their record (``out`` with the suffix .json); returns the record.

    Polygons are rasterised as objects on the grid of a scene, corrupted there (touching parcels are two objects), and
    traced back to polygons that keep the attributes of the polygon they come from. Rasters hold class indices (255
    unknown) or, with ``instances``, object ids (0 none).

    Args:
        labels: vector file or single-band raster.
        out: file of the same kind.
        expression: see ``segnoise.noise.parse``.
        grid: scene that gives the grid for polygons.
        seed: of the draw.

    Raises:
        UserError: missing or unreadable files, polygons without ``grid``, existing output, bad expression.
    """
    labels, out = Path(labels), Path(out)
    corruption = parse(expression)
    record_path = refuse_existing(out.with_suffix(".json"), overwrite)
    refuse_existing(out, overwrite)
    if not labels.exists():
        raise UserError(f"{labels}: no such file; check the path of the labels")
    if labels.suffix.lower() in VECTOR_SUFFIXES:
        check_suffix(out)
        if grid is None:
            raise UserError(f"{labels}: polygons need --grid SCENE, the raster whose pixels the noise acts on")
        geobox = RasterSource(grid).require_crs()
        frame = read_polygons(labels, geobox)
        ids, record = corruption.corrupt(
            rasterize_instances(frame, geobox), seed=seed, instances=True, spacing=pixel_spacing(geobox)
        )
        noisy = polygonize(np.asarray(ids, dtype=np.int32), geobox)
        attributes = frame.drop(columns="geometry").set_axis(pd.RangeIndex(1, len(frame) + 1))
        kept = [c for c in attributes.columns if c not in noisy.columns]
        write_polygons(noisy.join(attributes[kept], on="label"), out, overwrite=overwrite)
    else:
        record = _corrupt_raster(labels, out, corruption, instances, seed, overwrite)
    with atomic_output(record_path, overwrite) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n")
    return record


def _corrupt_raster(
    labels: Path, out: Path, corruption: Any, instances: bool, seed: int, overwrite: bool
) -> dict[str, Any]:
    try:
        with rasterio.open(labels) as src:
            if src.count != 1 or not np.issubdtype(np.dtype(src.dtypes[0]), np.integer):
                raise UserError(
                    f"{labels}: holds {src.count} bands of {src.dtypes[0]}; labels are one band of integers"
                )
            values, profile, known = src.read(1), src.profile, src.read_masks(1) > 0
            grid = RasterSource(labels).grid
    except RasterioError as error:
        raise UserError(f"{labels}: is not a readable raster ({error})") from error
    known &= (values != IGNORE_INDEX) | instances
    array = np.where(known, values.astype(np.int64), -1 if instances else IGNORE_INDEX)
    if not instances and known.any() and int(array[known].max()) > IGNORE_INDEX:
        raise UserError(f"{labels}: holds the value {int(array[known].max())}; object ids need --instances")
    spacing = pixel_spacing(grid)
    noisy, record = corruption.corrupt(array, seed=seed, instances=instances, spacing=spacing)
    if int(noisy.max()) > np.iinfo(profile["dtype"]).max:
        profile["dtype"] = "int32"
    # What was unknown keeps the value it had.
    written = np.where(known, noisy, values).astype(profile["dtype"])
    kept = {k: profile[k] for k in ("height", "width", "count", "dtype", "crs", "transform", "nodata")}
    with atomic_output(out, overwrite) as temporary, geotiff(temporary, **kept) as dst:
        dst.write(written, 1)
    result: dict[str, Any] = record
    return result

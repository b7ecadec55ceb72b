"""Real files for the readers: rasters and vector files written by rasterio and pyogrio."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine

AFFINE = Affine(10, 0, 500000, 0, -10, 5000000)


@pytest.fixture
def write_raster(tmp_path: Path) -> Callable[..., Path]:
    """Writes an array ``C H W`` or ``H W``; 10 m pixels in EPSG:32633 unless said otherwise."""

    def write(
        name: str, array: np.ndarray, alpha: bool = False, mask: np.ndarray | None = None, **profile: Any
    ) -> Path:
        bands = array if array.ndim == 3 else array[None]
        settings = {
            "driver": "GTiff", "count": len(bands), "height": bands.shape[1], "width": bands.shape[2],
            "dtype": bands.dtype.name, "crs": "EPSG:32633", "transform": AFFINE, "photometric": "minisblack",
            **profile,
        }  # fmt: skip
        path = tmp_path / name
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(path, "w", **{k: v for k, v in settings.items() if v is not None}) as dataset,
        ):
            if alpha:
                kinds = [rasterio.enums.ColorInterp.gray] * (len(bands) - 1)
                dataset.colorinterp = [*kinds, rasterio.enums.ColorInterp.alpha]
            dataset.write(bands)
            if mask is not None:
                dataset.write_mask(mask)
        return path

    return write


@pytest.fixture
def write_vector(tmp_path: Path) -> Callable[..., Path]:
    """Writes shapely geometries to a vector file in EPSG:32633 unless said otherwise."""

    def write(name: str, geometries: list[Any], crs: Any = "EPSG:32633", **columns: Any) -> Path:
        path = tmp_path / name
        frame = gpd.GeoDataFrame(columns, geometry=gpd.GeoSeries(geometries, crs=crs), crs=crs)
        if path.suffix == ".parquet":
            frame.to_parquet(path)
        else:
            frame.to_file(path, engine="pyogrio")
        return path

    return write

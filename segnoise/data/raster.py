"""Georeferenced scenes and label rasters of any size, read strictly by window."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from segnoise.data.classvalues import class_indices
from segnoise.data.grid import describe_grid, pixel_spacing, same_grid
from segnoise.data.rasterfile import RasterFile
from segnoise.data.sample import IGNORE_INDEX
from segnoise.data.tiles import tiles
from segnoise.errors import UserError
from segnoise.windows import Window

logger = logging.getLogger(__name__)

_CHECK_TILE = 1024


class RasterSource:
    """A scene in a GeoTIFF, COG or VRT: any size, data type, number of bands and CRS.

    Values come raw as float32, ``C H W``. ``observed`` is false outside the scene, under nodata, a mask or an alpha
    of 0, and where a band is NaN or infinite; values are 0 there. An alpha band is not a channel unless ``bands``
    (counted from 1, in the order wanted) names it.

    Raises UserError when the file is missing, no raster, truncated or complex, or has no such band.

    >>> import tempfile, rasterio
    >>> path = Path(tempfile.mkdtemp()) / "scene.tif"
    >>> profile = {"driver": "GTiff", "height": 2, "width": 3, "count": 1, "dtype": "int16", "nodata": -1}
    >>> with rasterio.open(path, "w", **profile) as dataset:
    ...     dataset.write(np.array([[[5, -1, 7], [8, 9, 10]]], dtype=np.int16))
    >>> values, observed = RasterSource(path).read(Window((0, 1), (1, 3)))
    >>> values[0].tolist(), observed.tolist()
    ([[0.0, 7.0, 0.0]], [[False, True, False]])
    """

    def __init__(self, path: str | Path, bands: Sequence[int] | None = None) -> None:
        self._file = RasterFile(path)
        info = self._file.info
        self._bands = tuple(bands) if bands is not None else info.bands
        for band in self._bands:
            if not 1 <= band <= len(info.dtypes):
                raise UserError(f"{path}: has no band {band}; choose from 1 to {len(info.dtypes)}")
        if not self._bands:
            raise UserError(f"{path}: no band but alpha is left to read; name the bands to use")
        self.path = self._file.path
        self.name = self.path.stem
        self.shape: tuple[int, ...] = info.shape
        self.channels = len(self._bands)
        self.dtype = info.dtypes[self._bands[0] - 1]

    @property
    def grid(self) -> GeoBox:
        """The pixel grid, whether or not it is tied to the Earth."""
        return self._file.info.grid

    @property
    def geobox(self) -> GeoBox | None:
        """The grid on the Earth; None for a file without CRS."""
        return self.grid if self.grid.crs is not None else None

    @cached_property
    def spacing(self) -> tuple[float, ...]:
        """Metres per pixel along (y, x) at the scene's centre; nan without CRS."""
        return pixel_spacing(self.grid)

    def require_crs(self) -> GeoBox:
        """The geobox; UserError for a file without CRS."""
        if self.geobox is None:
            raise UserError(
                f"{self.path}: has no CRS, so nothing can be placed on a map; assign one (gdal_edit.py -a_srs)"
            )
        return self.geobox

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        values = np.zeros((self.channels, *window.size), dtype=np.float32)
        observed = np.zeros(window.size, dtype=bool)
        inside = window.clip(self.shape)
        if all(inside.size):
            raw, valid = self._file.read(self._bands, inside)
            with np.errstate(over="ignore"):
                raw = raw.astype(np.float32)
            valid &= np.isfinite(raw).all(axis=0)
            target = inside.within(window)
            values[(slice(None), *target)] = np.where(valid, raw, 0)
            observed[target] = valid
        return values, observed


class RasterLabels:
    """Class indices in the one band of a raster file; 255, declared nodata, NaN and masked pixels are unknown.

    ``like`` is the scene the labels belong to: they must lie on its grid. Whole numbers in a float raster count.

    Raises UserError when the file is no raster, has several bands or lies on another grid than ``like`` (naming
    both grids); and when reading, for a value outside 0 .. num_classes - 1.
    """

    def __init__(self, path: str | Path, num_classes: int | None = None, like: RasterSource | None = None) -> None:
        self._file = RasterFile(path)
        info = self._file.info
        self.path = self._file.path
        self.num_classes = num_classes
        self.shape: tuple[int, ...] = info.shape
        if len(info.bands) != 1:
            raise UserError(f"{path}: has {len(info.bands)} bands; labels are class indices in one band")
        if like is not None and not same_grid(info.grid, like.grid):
            raise UserError(
                f"{path}: not on the grid of its scene; labels: {describe_grid(info.grid)}; scene {like.path}: "
                f"{describe_grid(like.grid)}; warp the labels to the scene (nearest neighbour)"
            )
        if info.nodata[info.bands[0] - 1] == 0:
            logger.warning("%s: declares 0 as nodata, so its zeros are unknown and not a class", path)

    def read(self, window: Window) -> NDArray[np.int64]:
        labels = np.full(window.size, IGNORE_INDEX, dtype=np.int64)
        inside = window.clip(self.shape)
        if all(inside.size):
            values, valid = self._file.read(self._file.info.bands, inside)
            labels[inside.within(window)] = class_indices(values[0], valid, self.num_classes, self.path)
        return labels

    def check(self) -> None:
        """Reads the whole file once, tile by tile, so that a wrong value is found before hours of training."""
        check_labels(self)


class _LabelFile(Protocol):
    path: Path
    shape: tuple[int, ...]

    def read(self, window: Window) -> NDArray[np.int64]: ...


def check_labels(labels: _LabelFile) -> None:
    """Reads every tile of a label file; warns when all that is known is background."""
    seen = np.zeros(IGNORE_INDEX + 1, dtype=bool)
    for tile in tiles(Window((0,) * len(labels.shape), labels.shape), _CHECK_TILE):
        seen[np.unique(labels.read(tile))] = True
    if seen[IGNORE_INDEX] and seen.sum() == 1 + int(seen[0]):
        logger.warning(
            "%s: holds only %s255; 255 means unknown, so no class but background is labelled",
            labels.path,
            "0 and " if seen[0] else "",
        )


def check_same_bands(sources: Sequence[Any]) -> None:
    """UserError that names two scenes when their numbers of bands differ."""
    first = sources[0]
    for source in sources[1:]:
        if source.channels != first.channels:
            raise UserError(
                f"{source.path}: has {source.channels} bands but {first.path} has {first.channels}; "
                "give scenes with the same bands"
            )

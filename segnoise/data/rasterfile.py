"""A raster file on disk: opened lazily in every process and thread, read by window, its faults said in one line."""

from __future__ import annotations

import os
import threading
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from segnoise.errors import UserError
from segnoise.windows import Window

# GDAL keeps blocks in 5 % of all memory for each process, which is most of it with sixteen loader workers.
os.environ.setdefault("GDAL_CACHEMAX", "256")

# A photograph without a grid is as ordinary here as a scene with one.
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)

# Datasets that stay open per thread: enough for the scenes of a run, few enough for the limit on open files.
_CAPACITY = 64


class _Handles(threading.local):
    """The datasets this thread has open, most recently used last."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._datasets: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
        self._inherited: list[Any] = []

    def get(self, key: tuple[Any, ...], path: Path) -> Any:
        if self._pid != os.getpid():
            # A forked child shares file offsets with its parent, so it opens its own. The old ones stay unclosed:
            # closing may wait for a lock that some thread of the parent held at the fork.
            self._inherited.append(self._datasets)
            self._pid, self._datasets = os.getpid(), OrderedDict()
        dataset = self._datasets.pop(key, None)
        self._datasets[key] = rasterio.open(path) if dataset is None else dataset
        while len(self._datasets) > _CAPACITY:
            self._datasets.popitem(last=False)[1].close()
        return self._datasets[key]


_handles = _Handles()


@dataclass(frozen=True)
class RasterInfo:
    """What a raster file says about itself. Bands count from 1."""

    shape: tuple[int, int]
    dtypes: tuple[str, ...]
    nodata: tuple[float | None, ...]
    alpha: int | None
    masked: tuple[int, ...]
    palette: dict[int, tuple[int, ...]] | None
    grid: GeoBox

    @property
    def bands(self) -> tuple[int, ...]:
        """The bands that hold measurements: all but alpha."""
        return tuple(b for b in range(1, len(self.dtypes) + 1) if b != self.alpha)


class RasterFile:
    """One raster file. What is pickled is its path and what it says about itself, never an open handle.

    Raises UserError when there is no such file, when it is not a raster, and when a read fails.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        dataset = self._dataset()
        if dataset.count == 0:
            raise UserError(f"{self.path}: holds no band of its own; give one of its subdatasets as its own file")
        interpretation = dataset.colorinterp
        flags = dataset.mask_flag_enums
        masks = [
            band
            for band, flag in enumerate(flags, 1)
            if not {MaskFlags.all_valid, MaskFlags.nodata, MaskFlags.alpha} & set(flag)
        ]
        if masks and MaskFlags.per_dataset in flags[masks[0] - 1]:
            masks = masks[:1]
        self.info = RasterInfo(
            shape=(dataset.height, dataset.width),
            dtypes=tuple(dataset.dtypes),
            nodata=tuple(dataset.nodatavals),
            alpha=interpretation.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in interpretation else None,
            masked=tuple(masks),
            palette=dataset.colormap(1) if interpretation[0] == ColorInterp.palette else None,
            grid=GeoBox(
                (dataset.height, dataset.width), dataset.transform, dataset.crs.to_wkt() if dataset.crs else None
            ),
        )
        for dtype in self.info.dtypes:
            if np.dtype(dtype).kind == "c":
                raise UserError(f"{self.path}: holds complex numbers ({dtype}); convert to magnitude or power first")

    def read(self, bands: Sequence[int], window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Values ``C *size`` in the file's own type, and which pixels are valid; the window must lie inside.

        A pixel is invalid under a mask or an alpha of 0 (unless alpha is among ``bands``). A nodata value makes it
        invalid in any one band, for a sentinel such as -9999 is no measurement; where it may be one (0, or an 8-bit
        value: a dark or a saturated band) all bands must hold it.
        """
        (rows, columns) = window.slices
        box = ((rows.start, rows.stop), (columns.start, columns.stop))
        dataset = self._dataset()
        try:
            values = dataset.read(list(bands), window=box)
            valid = np.ones(window.size, dtype=bool)
            if self.info.alpha is not None and self.info.alpha not in bands:
                valid &= dataset.read(self.info.alpha, window=box) > 0
            for band in self.info.masked:
                valid &= dataset.read_masks(band, window=box) > 0
        except RasterioError as error:
            reason = " ".join(str(error.__cause__ or error).split())
            where = f"rows {rows.start} to {rows.stop} could not be read"
            raise UserError(
                f"{self.path}: {where}, the file is truncated or damaged; copy it again ({reason})"
            ) from error
        missing = [_is_nodata(layer, self.info.nodata[band - 1]) for band, layer in zip(bands, values, strict=True)]
        plausible = [
            self.info.nodata[band - 1] == 0 or np.dtype(self.info.dtypes[band - 1]).itemsize == 1 for band in bands
        ]
        lost = np.logical_and.reduce(missing)
        for sentinel in [m for m, p in zip(missing, plausible, strict=True) if not p]:
            lost |= sentinel
        return values, valid & ~lost

    def _dataset(self) -> Any:
        """This thread's handle, opened when needed and again when the file has been replaced."""
        try:
            stat = os.stat(self.path)
        except OSError as error:
            raise UserError(f"{self.path}: no such file; check the path") from error
        key = (str(self.path), stat.st_mtime_ns, stat.st_size, stat.st_ino)
        try:
            return _handles.get(key, self.path)
        except RasterioError as error:
            what = "a folder" if self.path.is_dir() else "not a raster that GDAL can read, or a damaged one"
            raise UserError(f"{self.path}: {what}; give a GeoTIFF, VRT or image file") from error


def _is_nodata(layer: NDArray[Any], nodata: float | None) -> NDArray[np.bool_]:
    if nodata is None:
        return np.zeros(layer.shape, dtype=bool)
    if layer.dtype.kind == "f":
        # The header holds the value as text or double; the pixels hold it rounded to their own type.
        with np.errstate(over="ignore"):
            value = np.float64(nodata).astype(layer.dtype)
        return np.isnan(layer) if np.isnan(value) else layer == value
    return layer == nodata

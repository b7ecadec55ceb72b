"""Plain images and masks (PNG, JPEG, TIFF): pixels without a place on the Earth."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from segnoise.data.classvalues import class_indices
from segnoise.data.raster import check_labels
from segnoise.data.rasterfile import RasterFile
from segnoise.data.sample import IGNORE_INDEX
from segnoise.errors import UserError
from segnoise.windows import Window


class ImageSource:
    """A photograph or slide: 8- or 16-bit, grey, RGB or with a palette, which is read as its colours.

    Where alpha is 0, and beyond the edge, nothing is observed. Raises UserError as ``RasterSource`` does.

    >>> import tempfile, rasterio
    >>> path = Path(tempfile.mkdtemp()) / "grey.png"
    >>> with rasterio.open(path, "w", driver="PNG", height=2, width=2, count=1, dtype="uint8") as dataset:
    ...     dataset.write(np.array([[[1, 2], [3, 4]]], dtype=np.uint8))
    >>> ImageSource(path).read(Window((0, 0), (2, 2)))[0].tolist()
    [[[1.0, 2.0], [3.0, 4.0]]]
    """

    def __init__(self, path: str | Path) -> None:
        self._file = RasterFile(path)
        info = self._file.info
        if not info.bands:
            raise UserError(f"{path}: holds only an alpha band; give an image")
        self._colours: NDArray[np.uint8] | None = None
        if info.palette is not None:
            self._colours = np.zeros((max(info.palette) + 1, 4), dtype=np.uint8)
            for value, colour in info.palette.items():
                self._colours[value] = colour
        self.path = self._file.path
        self.name = self.path.stem
        self.shape: tuple[int, ...] = info.shape
        self.channels = 3 if self._colours is not None else len(info.bands)
        self.dtype = info.dtypes[0]
        self.spacing: tuple[float, ...] = (float("nan"), float("nan"))

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        values = np.zeros((self.channels, *window.size), dtype=np.float32)
        observed = np.zeros(window.size, dtype=bool)
        inside = window.clip(self.shape)
        if all(inside.size):
            raw, valid = self._file.read(self._file.info.bands, inside)
            if self._colours is not None:
                rgba = np.moveaxis(self._colours[raw[0]], -1, 0)
                raw, valid = rgba[:3], rgba[3] > 0
            raw = raw.astype(np.float32)
            valid = valid & np.isfinite(raw).all(axis=0)
            target = inside.within(window)
            values[(slice(None), *target)] = np.where(valid, raw, 0)
            observed[target] = valid
        return values, observed


class _Sized(Protocol):
    path: Path
    shape: tuple[int, ...]


class ImageLabels:
    """Class indices in a one-band image; a palette gives its indices, 255 and an alpha of 0 are unknown.

    ``like`` is the image the mask belongs to: both must have the same size.

    Raises UserError for a colour mask, for sizes that differ (naming both), and when reading for a value outside
    0 .. num_classes - 1.
    """

    def __init__(self, path: str | Path, num_classes: int | None = None, like: _Sized | None = None) -> None:
        self._file = RasterFile(path)
        info = self._file.info
        self.path = self._file.path
        self.num_classes = num_classes
        self.shape: tuple[int, ...] = info.shape
        if len(info.bands) != 1:
            raise UserError(
                f"{path}: a mask with {len(info.bands)} bands; give class indices in one band (grey or palette)"
            )
        if like is not None and self.shape != like.shape:
            raise UserError(
                f"{path}: the mask is {self.shape[0]} x {self.shape[1]} px but its image {like.path} is "
                f"{like.shape[0]} x {like.shape[1]} px; give a mask of the same size"
            )

    def read(self, window: Window) -> NDArray[np.int64]:
        labels = np.full(window.size, IGNORE_INDEX, dtype=np.int64)
        inside = window.clip(self.shape)
        if all(inside.size):
            values, valid = self._file.read(self._file.info.bands, inside)
            if self._file.info.palette is not None:
                # A transparent palette entry only says how the class is drawn.
                valid = np.ones_like(valid)
            labels[inside.within(window)] = class_indices(values[0], valid, self.num_classes, self.path)
        return labels

    def check(self) -> None:
        """Reads the whole mask once, so that a wrong value is found before hours of training."""
        check_labels(self)

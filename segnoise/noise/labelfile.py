"""Label files as arrays, and arrays back as label files of the same kind: polygons, rasters and masks, volumes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from segnoise.data import (
    IGNORE_INDEX,
    RasterSource,
    geotiff,
    is_vector,
    pixel_spacing,
    rasterize_instances,
    read_polygons,
)
from segnoise.data.rasterfile import RasterFile
from segnoise.errors import UserError
from segnoise.vector import check_suffix, polygonize, write_polygons
from segnoise.windows import Window, atomic_output


class LabelFile(ABC):
    """Labels in memory, with the way back to a file of their kind.

    ``labels`` are class indices (255 unknown) or, where ``instances``, object ids (0 none, -1 unknown); ``spacing``
    is the size of a pixel along each axis in ``unit``, nan where unknown. ``grid`` says where the pixels
    of a map lie and ``affine`` those of a volume; None for plain images.
    """

    labels: NDArray[np.int64]
    instances: bool
    spacing: tuple[float, ...]
    grid: GeoBox | None = None
    affine: NDArray[np.float64] | None = None
    unit: ClassVar[str] = "m"

    @abstractmethod
    def check(self, out: Path) -> None:
        """UserError if ``out`` is not the name of a file of this kind."""

    @abstractmethod
    def save(self, noisy: NDArray[np.int64], out: Path, overwrite: bool) -> None:
        """Labels of the same shape as a file; what was unknown is written with the value it had."""


def open_labels(path: str | Path, *, instances: bool = False, grid: str | Path | None = None) -> LabelFile:
    """The labels in a file: polygons as objects on the grid of a scene, a raster or mask, or a NIfTI volume.

    Args:
        path: vector file, single-band raster or image, ``.nii`` or ``.nii.gz``.
        instances: a raster or volume holds object ids rather than class indices.
        grid: scene that gives the grid for polygons.

    Raises:
        UserError: a missing or unreadable file, values that are no labels, or polygons without ``grid``.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "mask.png"
    >>> with rasterio.open(path, "w", driver="PNG", height=1, width=3, count=1, dtype="uint8") as dataset:
    ...     dataset.write(np.array([[[0, 1, 255]]], dtype=np.uint8))
    >>> open_labels(path).labels
    array([[  0,   1, 255]])
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such file; check the path of the labels")
    if is_vector(path):
        return PolygonFile(path, grid)
    if path.name.lower().endswith((".nii", ".nii.gz")):
        from segnoise.noise.niftifile import NiftiFile

        return NiftiFile(path, instances)
    return MaskFile(path, instances)


class PolygonFile(LabelFile):
    """Polygons as the ids of objects on a scene's grid; what is saved keeps their attributes."""

    instances = True

    def __init__(self, path: Path, grid: str | Path | None) -> None:
        if grid is None:
            raise UserError(f"{path}: polygons need --grid SCENE, the raster whose pixels the noise acts on")
        self.grid = self._geobox = RasterSource(grid).require_crs()
        self._frame = read_polygons(path, self._geobox)
        self.labels = rasterize_instances(self._frame, self._geobox).astype(np.int64)
        self.spacing = pixel_spacing(self._geobox)

    def check(self, out: Path) -> None:
        check_suffix(out)

    def save(self, noisy: NDArray[np.int64], out: Path, overwrite: bool) -> None:
        traced = polygonize(noisy.astype(np.int32), self._geobox)
        attributes = self._frame.drop(columns="geometry").set_axis(pd.RangeIndex(1, len(self._frame) + 1))
        kept = [c for c in attributes.columns if c not in traced.columns]
        write_polygons(traced.join(attributes[kept], on="label"), out, overwrite=overwrite)


class MaskFile(LabelFile):
    """A raster of labels, with or without a place on the Earth; grid, type, nodata and palette are kept."""

    def __init__(self, path: Path, instances: bool) -> None:
        file = RasterFile(path)
        self._info = info = file.info
        if len(info.dtypes) != 1 or not np.issubdtype(np.dtype(info.dtypes[0]), np.integer):
            raise UserError(
                f"{path}: holds {len(info.dtypes)} bands of {info.dtypes[0]}; labels are one band of integers"
            )
        values, valid = file.read((1,), Window((0, 0), info.shape))
        if info.palette is not None:
            # A transparent palette entry only says how the class is drawn.
            valid = np.ones_like(valid)
        self._values = values[0].astype(np.int64)
        self._known = known_values(self._values, valid, instances, path)
        self.labels = np.where(self._known, self._values, -1 if instances else IGNORE_INDEX)
        self.instances = instances
        self.grid = None if info.grid.crs is None and info.grid.affine.is_identity else info.grid
        self.spacing = pixel_spacing(info.grid)

    def check(self, out: Path) -> None:
        # A PNG has nowhere to keep the place on the Earth.
        plain = self._info.grid.crs is None
        check_ending(out, (".png", ".tif", ".tiff") if plain else (".tif", ".tiff"))

    def save(self, noisy: NDArray[np.int64], out: Path, overwrite: bool) -> None:
        written = np.where(self._known, noisy, self._values)
        png = out.suffix.lower() == ".png"
        dtype = dtype_for(written, self._info.dtypes[0], "uint16" if png else "int32", out)
        height, width = self._info.shape
        profile: dict[str, Any] = {"height": height, "width": width, "count": 1, "dtype": dtype}
        palette = self._info.palette if dtype == "uint8" else None
        with atomic_output(out, overwrite) as temporary:
            if png:
                with rasterio.open(temporary, "w", driver="PNG", **profile) as dst:
                    _fill(dst, written, palette)
                # Errors on closing go unheard, so what was written is read again.
                with rasterio.open(temporary) as src:
                    if not np.array_equal(src.read(1), written):
                        raise OSError("the file is not whole after closing, the disk may be full")
            else:
                grid = self._info.grid
                profile |= {"crs": grid.crs, "transform": grid.affine, "nodata": self._info.nodata[0]}
                with geotiff(temporary, **profile) as dst:
                    _fill(dst, written, palette)


def _fill(dst: Any, labels: NDArray[np.int64], palette: dict[int, tuple[int, ...]] | None) -> None:
    if palette is not None:
        dst.write_colormap(1, palette)
    dst.write(labels.astype(dst.dtypes[0]), 1)


def check_ending(out: Path, suffixes: tuple[str, ...]) -> None:
    """UserError for a file name that has none of the suffixes."""
    if not out.name.lower().endswith(suffixes):
        raise UserError(f"{out}: labels of this kind are written as {' or '.join(suffixes)}; give such a name")


def known_values(values: NDArray[np.int64], valid: NDArray[np.bool_], instances: bool, path: Path) -> NDArray[np.bool_]:
    """Where there is a label: valid, not negative and, among classes, not 255.

    Raises:
        UserError: a class index above 255, which can only be an object id.

    >>> known_values(np.array([0, -1, 255]), np.array([True, True, True]), False, Path("a.tif"))
    array([ True, False, False])
    """
    known = valid & (values >= 0)
    if not instances:
        known &= values != IGNORE_INDEX
        if (largest := int(values[known].max(initial=0))) > IGNORE_INDEX:
            raise UserError(f"{path}: holds the value {largest}; object ids need --instances")
    return known


def dtype_for(labels: NDArray[np.int64], own: str, wider: str, out: Path) -> str:
    """The file's own type, or a wider one where new object ids do not fit into it.

    >>> [dtype_for(np.array([largest]), "uint8", "int32", Path("a.tif")) for largest in (255, 256)]
    ['uint8', 'int32']
    """
    largest = int(labels.max(initial=0))
    for dtype in (own, wider):
        if largest <= np.iinfo(dtype).max:
            return dtype
    raise UserError(f"{out}: cannot hold the object id {largest}; choose a .tif")

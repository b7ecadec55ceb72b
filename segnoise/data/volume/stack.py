"""Stacks of pictures as volumes: a TIFF of many pages, and a folder of slices. Axes are (rows, columns, slices).

Slice ``[:, :, k]`` is the picture as image readers give it. The affine puts rows from front to back and columns from
right to left of the patient, as ITK places a stack, so that a viewer shows the picture upright.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from segnoise.data.pairing import natural_key
from segnoise.data.rasterfile import RasterFile
from segnoise.data.volume.grid import VolumeGrid
from segnoise.data.volume.volume import VolumeFile
from segnoise.errors import UserError
from segnoise.windows import Window

TIFF_SUFFIXES = (".tif", ".tiff")
SLICE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", *TIFF_SUFFIXES)
_MILLIMETRES = {
    "nm": 1e-6, "um": 1e-3, "µm": 1e-3, "μm": 1e-3, "\\u00b5m": 1e-3, "micron": 1e-3, "microns": 1e-3, "mm": 1.0,
    "cm": 10.0, "m": 1e3, "inch": 25.4,
}  # fmt: skip


def open_tiff(path: Path) -> VolumeFile:
    """A TIFF of several pages; the size of a voxel is known where ImageJ or OME metadata say it."""
    with _tiff(path) as tiff:
        try:
            groups, axes = len(tiff.series), tiff.series[0].axes
            shape, dtype = tiff.series[0].shape, tiff.series[0].dtype
            spacing = _tiff_spacing(tiff)
        except Exception as error:
            raise UserError(f"{path}: the TIFF is damaged; copy it again") from error
    if groups > 1:
        raise UserError(f"{path}: its pages differ in size or type; give a TIFF whose pages make one volume")
    if dtype is None or dtype.kind not in "biuf":
        raise UserError(f"{path}: holds values of type {dtype}; export plain numbers")
    slices, channels = _tiff_axes(axes, shape, path)
    sizes = dict(zip(axes, shape, strict=True))
    count = sizes[channels] if channels else 1
    return VolumeFile(path, _grid((sizes["Y"], sizes["X"], sizes[slices]), spacing), count, partial(_tiff_values, path))


def open_slices(files: Sequence[Path], folder: Path) -> VolumeFile:
    """A folder of pictures of one size, one a slice, in the order of the numbers in their names (2 before 10).

    A picture with a palette gives its indices; an alpha band is left out.
    """
    files = sorted((path for path in files if path.suffix.lower() in SLICE_SUFFIXES), key=lambda p: natural_key(p.name))
    kinds = sorted({path.suffix.lower() for path in files})
    if len(kinds) > 1:
        raise UserError(f"{folder}: holds {' and '.join(kinds)} files; keep the slices of one volume in a folder")
    infos = [RasterFile(path).info for path in files]
    first = infos[0]
    for path, info in zip(files, infos, strict=True):
        if (info.shape, info.bands, info.dtypes) != (first.shape, first.bands, first.dtypes):
            raise UserError(
                f"{folder}: slices differ: {files[0].name} is {_picture(first)}, {path.name} is {_picture(info)}; "
                "keep those of one volume"
            )
    with rasterio.open(files[0]) as dataset:
        if dataset.subdatasets:
            raise UserError(f"{folder}: {files[0].name} holds several pages; each file is a volume, name the files")
    grid = _grid((*first.shape, len(files)), (math.nan, math.nan, math.nan))
    return VolumeFile(folder, grid, len(first.bands), partial(_slice_values, tuple(files)))


def _slice_values(files: tuple[Path, ...]) -> NDArray[Any]:
    planes = []
    for path in files:
        file = RasterFile(path)
        planes.append(file.read(file.info.bands, Window((0, 0), file.info.shape))[0])
    if len({plane.shape for plane in planes}) > 1:
        raise UserError(f"{files[0].parent}: its slices changed while they were in use; leave them alone")
    return np.stack(planes, axis=-1)


def _tiff_values(path: Path) -> NDArray[Any]:
    with _tiff(path) as tiff:
        try:
            series = tiff.series[0]
            values = series.asarray()
        except Exception as error:
            # A missing codec and a damaged page both come as ValueError, among others.
            if "imagecodecs" in str(error):
                raise UserError(f"{path}: its compression needs imagecodecs; pip install segnoise[medical]") from error
            raise UserError(f"{path}: the TIFF is truncated or damaged; copy it again") from error
    slices, channels = _tiff_axes(series.axes, series.shape, path)
    order = [series.axes.index(axis) for axis in (channels, "Y", "X", slices) if axis]
    rest = [i for i in range(values.ndim) if i not in order]
    values = values.transpose(*rest, *order)[(0,) * len(rest)]
    return values if channels else values[None]


def _tiff_axes(axes: str, shape: tuple[int, ...], path: Path) -> tuple[str, str | None]:
    """The letters of the slice axis and, if there is one, of the channel axis."""
    long = [axis for axis, n in zip(axes, shape, strict=True) if n > 1 and axis not in "YX"]
    channels = [axis for axis in long if axis in "CS"]
    slices = [axis for axis in long if axis not in "CS"]
    if channels == ["C"] and not slices:
        # What many programs write of a plain stack: nothing says what its pages are.
        channels, slices = slices, channels
    if "Y" not in axes or "X" not in axes or len(channels) > 1 or len(slices) > 1:
        raise UserError(f"{path}: has the axes {axes} {shape}; a volume has pages, rows, columns and channels")
    if not slices:
        raise UserError(f"{path}: holds one picture; give a TIFF of many pages, or the folder of the slices")
    return slices[0], channels[0] if channels else None


def _tiff_spacing(tiff: Any) -> tuple[float, float, float]:
    """Millimetres along rows, columns and slices, nan where nothing sure is said; a resolution for printing is not."""
    if tiff.is_ome:
        pixels = re.search(r"<Pixels\b[^>]*>", tiff.ome_metadata)
        said = dict(re.findall(r'(PhysicalSize\w+)="([^"]*)"', pixels.group() if pixels else ""))
        sizes = [
            float(said.get(f"PhysicalSize{a}", "nan"))
            * _MILLIMETRES.get(said.get(f"PhysicalSize{a}Unit", "µm"), math.nan)
            for a in "YXZ"
        ]
        return (sizes[0], sizes[1], sizes[2])
    said = tiff.imagej_metadata or {}
    unit = _MILLIMETRES.get(str(said.get("unit", "")), math.nan)
    tags = tiff.pages[0].tags
    rows, columns = (
        tags[name].value[1] / tags[name].value[0] if name in tags and tags[name].value[0] else math.nan
        for name in ("YResolution", "XResolution")
    )
    return (rows * unit, columns * unit, float(said.get("spacing", math.nan)) * unit)


def _grid(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> VolumeGrid:
    known = tuple(math.isfinite(s) and s > 0 for s in spacing)
    rows, columns, slices = (s if k else 1.0 for s, k in zip(spacing, known, strict=True))
    affine = np.array([[0, -columns, 0, 0], [-rows, 0, 0, 0], [0, 0, slices, 0], [0, 0, 0, 1]], dtype=np.float64)
    return VolumeGrid(shape, affine, (known[0], known[1], known[2]))


def _tiff(path: Path) -> Any:
    try:
        import tifffile
    except ImportError as error:
        raise UserError(f"{path}: reading a TIFF stack needs tifffile; pip install segnoise[medical]") from error
    try:
        return tifffile.TiffFile(path)
    except (OSError, ValueError, tifffile.TiffFileError) as error:
        raise UserError(f"{path}: is no TIFF that can be read, or a damaged one; copy it again") from error


def _picture(info: Any) -> str:
    rows, columns = info.shape
    return f"{rows} x {columns} px of {len(info.bands)} x {info.dtypes[0]}"

"""A DICOM series as a volume, read with pydicom: axes (columns, rows, slices) as in ITK and MONAI."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segnoise.data.volume.dicomseries import choose_series, pydicom_module
from segnoise.data.volume.dicomslices import Slice, grid_of, in_order, slices_of
from segnoise.data.volume.volume import VolumeFile
from segnoise.errors import UserError


def open_dicom(files: Sequence[Path], path: Path, series: str | None = None) -> VolumeFile:
    """One series among the files, sorted by position; ``path`` names the volume in messages."""
    headers = choose_series(files, path, series)
    slices = in_order([one for header in headers for one in slices_of(header)], path)
    name = path if series is None else path.with_name(f"{path.name}#{series}")
    return VolumeFile(name, grid_of(slices, path), 1, partial(_values, tuple(slices)))


def _values(slices: tuple[Slice, ...]) -> NDArray[Any]:
    """Values ``1 X Y Z``: as stored where no slice is rescaled, integers where whole, else float32."""
    rescale = [(s.slope, s.intercept) for s in slices]
    plain = all(pair == (1, 0) for pair in rescale)
    whole = all(slope.is_integer() and intercept.is_integer() for slope, intercept in rescale)
    stored: dict[Path, NDArray[Any]] = {}
    planes = []
    for one in slices:
        if one.path not in stored:
            stored = {one.path: _pixels(one.path)}
        plane = stored[one.path]
        if one.frame is not None and plane.ndim == 3:
            plane = plane[one.frame]
        if plane.shape != one.size:
            raise UserError(f"{one.path}: holds pixels {plane.shape} where its header says {one.size}; copy it again")
        if not plain:
            number = np.int64 if whole else np.float64
            plane = plane * number(one.slope) + number(one.intercept)
            plane = plane.astype(_narrow(plane) if whole else np.float32)
        planes.append(plane)
    return np.stack(planes, axis=-1).transpose(1, 0, 2)[None]


def _narrow(values: NDArray[Any]) -> str:
    """int16 where it holds all values, as tools expect of CT; else int32 or int64."""
    low, high = int(values.min()), int(values.max())
    fits = [t for t in ("int16", "int32") if np.iinfo(t).min <= low and high <= np.iinfo(t).max]
    return fits[0] if fits else "int64"


def _pixels(path: Path) -> NDArray[Any]:
    pydicom = pydicom_module(path)
    try:
        dataset = pydicom.dcmread(path)
    except Exception as error:
        raise UserError(f"{path}: the DICOM file is gone or damaged; copy it again") from error
    if "PixelData" not in dataset and "FloatPixelData" not in dataset:
        raise UserError(f"{path}: holds no pixel data; export the series with its images")
    try:
        return np.asarray(dataset.pixel_array)
    except Exception as error:
        # What a decoder raises depends on which of them is installed.
        syntax = dataset.file_meta.get("TransferSyntaxUID")
        if syntax is not None and not _decodable(pydicom, syntax):
            raise UserError(
                f"{path}: no installed decoder reads {syntax.name}; pip install segnoise[dicom], or decompress the "
                "series (gdcmconv --raw)"
            ) from error
        raise UserError(f"{path}: its pixels are truncated or damaged; copy it again") from error


def _decodable(pydicom: Any, syntax: Any) -> bool:
    if not syntax.is_compressed:
        return True
    try:
        return bool(pydicom.pixels.get_decoder(syntax).is_available)
    except NotImplementedError:
        return False

"""NRRD and MetaImage volumes, read with SimpleITK: from its (z, y, x) arrays in LPS to the affine's order in RAS+."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segnoise.data.volume.grid import VolumeGrid, lps_to_ras
from segnoise.data.volume.volume import VolumeFile
from segnoise.errors import UserError

ITK_SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")


def open_itk(path: Path) -> VolumeFile:
    """A ``.nrrd``, ``.nhdr``, ``.mha`` or ``.mhd``; a vector of values a voxel, or a fourth axis, as channels."""
    sitk = _simpleitk(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise UserError(f"{path}: is no NRRD or MetaImage that can be read, or a damaged one; copy it again") from error
    if "complex" in sitk.GetPixelIDValueAsString(reader.GetPixelID()):
        raise UserError(f"{path}: holds complex numbers; convert to magnitude first")
    n, size, components = reader.GetDimension(), reader.GetSize(), reader.GetNumberOfComponents()
    if n not in (3, 4) or (n == 4 and components > 1):
        raise UserError(f"{path}: has the axes {size}; a volume has three, and at most one more for channels")
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(reader.GetDirection(), (n, n))[:3, :3] * reader.GetSpacing()[:3]
    affine[:3, 3] = reader.GetOrigin()[:3]
    grid = VolumeGrid((size[0], size[1], size[2]), lps_to_ras(affine))
    return VolumeFile(path, grid, size[3] if n == 4 else components, partial(_values, path))


def _values(path: Path) -> NDArray[Any]:
    sitk = _simpleitk(path)
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise UserError(f"{path}: the file is truncated or damaged; copy it again") from error
    values = sitk.GetArrayFromImage(image).T
    if image.GetDimension() == 4:
        return np.moveaxis(values, -1, 0)
    return values if values.ndim == 4 else values[None]


def _simpleitk(path: Path) -> Any:
    try:
        import SimpleITK
    except ImportError as error:
        raise UserError(f"{path}: reading it needs SimpleITK; pip install segnoise[medical]") from error
    return SimpleITK

"""NIfTI volumes, read and written with nibabel."""

from __future__ import annotations

import gzip
import logging
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from segnoise.data.volume.grid import VolumeGrid, drift
from segnoise.data.volume.volume import VolumeFile
from segnoise.errors import UserError
from segnoise.windows import atomic_output

logger = logging.getLogger(__name__)

NIFTI_SUFFIXES = (".nii", ".nii.gz")
_MILLIMETRES = {"meter": 1e3, "micron": 1e-3}
_SCANNER = 1
_LONGEST = 2**15 - 1
_LABEL_TYPES = ("uint8", "int16", "uint16", "int32", "uint32", "int64")


def open_nifti(path: Path) -> VolumeFile:
    """A ``.nii`` or ``.nii.gz``: nibabel's affine in millimetres, further axes as channels."""
    image = _image(path)
    spatial, channels = _split(image.shape, path)
    try:
        affine = np.array(image.affine, dtype=np.float64)
        units = image.header.get_xyzt_units()[0]
        _warn_of_two_places(image, spatial, path)
    except (HeaderDataError, KeyError) as error:
        raise UserError(f"{path}: the header is damaged ({error}); export the volume again") from error
    affine[:3] *= _MILLIMETRES.get(units, 1.0)
    return VolumeFile(path, VolumeGrid(spatial, affine), channels, partial(_values, path))


def write_volume(
    path: str | Path, values: NDArray[Any], affine: NDArray[np.float64], *, overwrite: bool = False
) -> Path:
    """Writes values ``X Y Z`` or ``C X Y Z`` as NIfTI, channels as the fourth axis; returns the path.

    Integers are written in the smallest type that holds them, others as float32. Affine (mm, RAS+, kept as float32
    by the format) goes to sform and, unless it is sheared, to qform. The same input gives the same bytes.

    Raises UserError for another ending than ``.nii`` or ``.nii.gz``, an existing file without ``overwrite`` and an
    axis longer than the format allows; ValueError for other shapes and types.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "seg.nii.gz"
    >>> image = nibabel.load(write_volume(path, np.arange(24).reshape(2, 3, 4), np.diag([1.0, 1.0, 2.5, 1.0])))
    >>> image.get_data_dtype(), image.header.get_zooms(), image.header.get_xyzt_units()[0]
    (dtype('uint8'), (np.float32(1.0), np.float32(1.0), np.float32(2.5)), 'mm')
    """
    path = Path(path)
    if not path.name.lower().endswith(NIFTI_SUFFIXES):
        raise UserError(f"{path}: volumes are written as .nii.gz or .nii; give such a name")
    if values.ndim not in (3, 4) or np.shape(affine) != (4, 4):
        raise ValueError(f"a volume is X Y Z or C X Y Z with a 4 x 4 affine, not {values.shape} and {np.shape(affine)}")
    if max(values.shape) > _LONGEST:
        raise UserError(f"{path}: an axis of {max(values.shape)} is too long for NIfTI (at most {_LONGEST})")
    if values.ndim == 4:
        values = values[0] if len(values) == 1 else np.moveaxis(values, 0, -1)
    values = values.astype(_written_type(values), copy=False)
    image = nibabel.Nifti1Image(values, None, dtype=values.dtype)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, _SCANNER)
    image.set_qform(affine, _SCANNER, strip_shears=True)
    if not np.allclose(image.get_qform(), affine, rtol=0, atol=1e-4 * np.linalg.norm(affine[:3, :3], axis=0).min()):
        # A quaternion cannot say a shear, and a place that is nearly right is worse than none.
        image.set_qform(None, 0)
        image.header.set_zooms((*np.linalg.norm(affine[:3, :3], axis=0), *image.header.get_zooms()[3:]))
    content = image.to_bytes()
    if path.name.lower().endswith(".gz"):
        content = gzip.compress(content, compresslevel=6, mtime=0)
    with atomic_output(path, overwrite) as temporary:
        temporary.write_bytes(content)
    return path


def _image(path: Path) -> Any:
    try:
        # A map of an uncompressed file would keep a file handle for every volume in memory.
        image = nibabel.load(path, mmap=False)
    except (ImageFileError, HeaderDataError, OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError(f"{path}: is no NIfTI file that can be read, or a damaged one; copy it again") from error
    if not isinstance(image, nibabel.Nifti1Image):
        raise UserError(f"{path}: is no NIfTI file; give a .nii or .nii.gz")
    dtype = image.get_data_dtype()
    if dtype.kind not in "biuf":
        raise UserError(f"{path}: holds colours or complex numbers ({dtype}); export plain numbers, one a channel")
    return image


def _split(shape: tuple[int, ...], path: Path) -> tuple[tuple[int, int, int], int]:
    """Spatial shape and channels: a fourth axis, or a fifth behind a time axis of length 1 as ITK writes vectors."""
    further = [n for n in shape[3:] if n != 1]
    if len(shape) < 2 or len(further) > 1:
        raise UserError(f"{path}: has the axes {tuple(shape)}; a volume has three, and at most one more for channels")
    x, y, z = (*shape[:3], 1)[:3]
    return (x, y, z), further[0] if further else 1


def _values(path: Path) -> NDArray[Any]:
    image = _image(path)
    spatial, channels = _split(image.shape, path)
    try:
        scaled = (image.dataobj.slope, image.dataobj.inter) != (1, 0)
        values = np.asarray(image.dataobj, dtype=np.float32 if scaled else None)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError(f"{path}: the file is truncated or damaged; copy it again") from error
    values = values.astype(values.dtype.name, copy=False)
    return np.moveaxis(values.reshape((*spatial, channels), order="A"), -1, 0)


def _warn_of_two_places(image: Any, shape: tuple[int, int, int], path: Path) -> None:
    sform, qform = image.get_sform(coded=True), image.get_qform(coded=True)
    if not sform[1] or not qform[1] or not np.linalg.det(sform[0]):
        return
    apart = drift(VolumeGrid(shape, sform[0]), VolumeGrid(shape, qform[0]))
    if apart > 0.1:
        logger.warning("%s: sform and qform are up to %.3g voxels apart; the sform is used", path, apart)


def _written_type(values: NDArray[Any]) -> str:
    if values.dtype.kind == "f":
        return "float32"
    if values.dtype.kind not in "biu":
        raise ValueError(f"values of type {values.dtype} cannot be written as NIfTI")
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    for name in _LABEL_TYPES:
        if np.iinfo(name).min <= low and high <= np.iinfo(name).max:
            return name
    return "uint64"

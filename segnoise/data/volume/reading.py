"""One way to open any volume: the reader is chosen by what the path is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from segnoise.data.volume.dicom import open_dicom
from segnoise.data.volume.dicomseries import is_dicom
from segnoise.data.volume.itkfile import ITK_SUFFIXES, open_itk
from segnoise.data.volume.nifti import NIFTI_SUFFIXES, open_nifti
from segnoise.data.volume.stack import SLICE_SUFFIXES, TIFF_SUFFIXES, open_slices, open_tiff
from segnoise.data.volume.volume import Volume, VolumeFile
from segnoise.errors import UserError

_KINDS = "a .nii, .nii.gz, .nrrd, .mha, .mhd or multi-page .tif file, or a folder with a DICOM series or slices"


def read_volume(path: str | Path | Sequence[str | Path], series: str | None = None) -> Volume:
    """A medical volume with its values, data type and place as the file has them; nothing is turned or resampled.

    Axes are in the order of the affine's columns, so that the array equals what nibabel and MONAI give. Read are

    * ``.nii``, ``.nii.gz`` (nibabel): a fourth axis is channels; scl_slope gives float32; units become mm;
    * ``.nrrd``, ``.nhdr``, ``.mha``, ``.mhd`` (SimpleITK): axes (x, y, z), LPS turned to RAS+;
    * a folder with a DICOM series, a list of its files, or one file (pydicom): axes (columns, rows, slices), slices
      by position, rescaled one by one to integers where the rescale is whole, else float32;
    * a multi-page TIFF (tifffile), or a folder of PNG, JPEG or TIFF slices in natural order: axes (rows, columns,
      slices), 1 mm and not measured unless ImageJ or OME metadata give the size.

    Args:
        path: file, folder, ``FOLDER#SERIES_UID`` or list of DICOM files.
        series: which series of a DICOM folder, by its SeriesInstanceUID.

    Raises:
        UserError: nothing there, an unknown kind, a truncated or damaged file, more than one axis of channels, voxels
            of no size, several series in a folder, slices that make no volume, a missing reader or decoder.

    >>> import tempfile, nibabel, numpy as np
    >>> path = Path(tempfile.mkdtemp()) / "ct.nii.gz"
    >>> nibabel.save(nibabel.Nifti1Image(np.ones((4, 5, 6), np.int16), np.diag([-2.0, -2, 3, 1])), path)
    >>> volume = read_volume(path)
    >>> volume.values.shape, volume.values.dtype.name, volume.spacing, volume.grid.codes
    ((1, 4, 5, 6), 'int16', (2.0, 2.0, 3.0), 'LPS')
    """
    return open_volume(path, series).read()


def open_volume(path: str | Path | Sequence[str | Path], series: str | None = None) -> VolumeFile:
    """The grid of a volume, read from its header; ``read_volume`` says what is read and what is raised."""
    if not isinstance(path, str | Path):
        return _open_list([Path(name) for name in path], series)
    path = Path(path)
    if not path.exists() and "#" in path.name:
        folder, _, chosen = path.name.rpartition("#")
        path, series = path.with_name(folder), series or chosen
    if not path.exists():
        raise UserError(f"{path}: no such file; check the path")
    if path.is_dir():
        return _open_folder(path, series)
    if series is not None:
        raise UserError(f"{path}: a series is chosen in a folder, this is a file; give the folder or leave it out")
    name = path.name.lower()
    if name.endswith(NIFTI_SUFFIXES):
        return open_nifti(path)
    if name.endswith(ITK_SUFFIXES):
        return open_itk(path)
    if name.endswith(TIFF_SUFFIXES):
        return open_tiff(path)
    if name.endswith(".dcm") or is_dicom(path):
        return open_dicom([path], path)
    if name.endswith(SLICE_SUFFIXES):
        raise UserError(f"{path}: is one picture, not a volume; give the folder of the slices")
    raise UserError(f"{path}: unknown kind of volume; give {_KINDS}")


def folder_kind(folder: Path) -> str | None:
    """``"dicom"``, ``"slices"``, or None for a folder that is no volume."""
    files = _files(folder)
    if any(map(is_dicom, files)):
        return "dicom"
    return "slices" if any(path.suffix.lower() in SLICE_SUFFIXES for path in files) else None


def _open_folder(folder: Path, series: str | None) -> VolumeFile:
    kind, files = folder_kind(folder), _files(folder)
    if kind is None:
        what = "is empty" if not any(folder.iterdir()) else "holds neither DICOM files nor slices"
        raise UserError(f"{folder}: the folder {what} (encrypted DICOM is not read); give {_KINDS}")
    if kind == "dicom":
        return open_dicom(files, folder, series)
    if series is not None:
        raise UserError(f"{folder}: holds no DICOM, so no series {series!r}; give the folder alone")
    return open_slices(files, folder)


def _open_list(files: list[Path], series: str | None) -> VolumeFile:
    if not files:
        raise UserError("the list of files is empty; give the DICOM files of one series")
    for path in files:
        if not path.is_file():
            raise UserError(f"{path}: no such file; check the path")
        if not is_dicom(path):
            raise UserError(f"{path}: is no DICOM file; a list of files is a DICOM series")
    return open_dicom(files, files[0].parent, series)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))

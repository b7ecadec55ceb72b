"""Labels in NIfTI volumes: integers on a grid in millimetres."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any, ClassVar

import nibabel
import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from segnoise.data import IGNORE_INDEX
from segnoise.errors import UserError
from segnoise.noise.labelfile import LabelFile, check_ending, dtype_for, known_values
from segnoise.windows import atomic_output

_MILLIMETRES = {"meter": 1e3, "micron": 1e-3}


class NiftiFile(LabelFile):
    """A ``.nii`` or ``.nii.gz`` of class indices or object ids; affine, header and data type are kept.

    Axes are those of the affine's columns, never transposed; the spacing is the length of each column in mm.

    Raises UserError for a file that is no NIfTI or is cut short, for values that are not whole numbers, and for more
    than three axes.
    """

    unit: ClassVar[str] = "mm"

    def __init__(self, path: Path, instances: bool) -> None:
        try:
            image: Any = nibabel.load(path)
        except (ImageFileError, HeaderDataError, OSError, EOFError, zlib.error) as error:
            raise UserError(f"{path}: is not a NIfTI file that can be read; give a .nii or .nii.gz") from error
        if not isinstance(image, nibabel.Nifti1Image):
            raise UserError(f"{path}: is not a NIfTI file; give a .nii or .nii.gz")
        shape = tuple(image.shape)
        while len(shape) > 3 and shape[-1] == 1:
            shape = shape[:-1]
        if len(shape) > 3:
            raise UserError(f"{path}: has {len(shape)} axes {shape}; give one label volume of at most three")
        self._values = _integers(path, image).reshape(shape)
        self._image = image
        self._known = known_values(self._values, np.ones(shape, dtype=bool), instances, path)
        self.labels = np.where(self._known, self._values, -1 if instances else IGNORE_INDEX)
        self.instances = instances
        self.affine = np.asarray(image.affine, dtype=np.float64)
        scale = _MILLIMETRES.get(image.header.get_xyzt_units()[0], 1.0)
        self.spacing = tuple(float(s) * scale for s in voxel_sizes(image.affine)[: len(shape)])

    def check(self, out: Path) -> None:
        check_ending(out, (".nii.gz", ".nii"))

    def save(self, noisy: NDArray[np.int64], out: Path, overwrite: bool) -> None:
        written = np.where(self._known, noisy, self._values).reshape(self._image.shape)
        own = self._image.get_data_dtype()
        dtype = np.dtype(own if own.kind == "f" else dtype_for(written, own.name, "int32", out))
        header = self._image.header.copy()
        header.set_data_dtype(dtype)
        content = type(self._image)(written.astype(dtype), self._image.affine, header, dtype=dtype).to_bytes()
        if out.name.lower().endswith(".gz"):
            content = gzip.compress(content, compresslevel=6, mtime=0)
        with atomic_output(out, overwrite) as temporary:
            temporary.write_bytes(content)


def _integers(path: Path, image: Any) -> NDArray[np.int64]:
    try:
        values = np.asarray(image.dataobj)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError(f"{path}: the file is truncated or damaged; copy it again") from error
    if values.dtype.kind not in "iuf":
        raise UserError(f"{path}: holds values of type {values.dtype}; labels are whole numbers")
    if values.dtype.kind == "f":
        whole = np.isfinite(values) & (values == np.rint(values))
        if not whole.all():
            raise UserError(f"{path}: label value {values[~whole][0]:g} is not a whole number; give label indices")
    return values.astype(np.int64)

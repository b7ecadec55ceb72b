"""Real volumes for the readers: written by nibabel, SimpleITK, pydicom and tifffile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from scipy.spatial.transform import Rotation

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def oblique() -> np.ndarray:
    """Axes turned by up to 20 degrees, a flip, three spacings: everything an affine without shear can be."""
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", [20, -15, 10], degrees=True).as_matrix()
    affine[:3, :3] = turn @ np.diag([-0.5, 0.75, 2.0])
    affine[:3, 3] = [12.5, -30.25, 7.0]
    return affine


def write_itk(path: Path, values: np.ndarray, affine: np.ndarray) -> Path:
    """Values ``X Y Z`` or ``C X Y Z`` with a RAS+ affine through SimpleITK, which thinks in (z, y, x) and LPS."""
    image = SimpleITK.GetImageFromArray(values.T, isVector=values.ndim == 4)
    lps = LPS @ affine
    sizes = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(sizes)
    image.SetDirection((lps[:3, :3] / sizes).ravel())
    image.SetOrigin(lps[:3, 3])
    SimpleITK.WriteImage(image, str(path))
    return path


def write_nifti(path: Path, values: np.ndarray, affine: np.ndarray) -> Path:
    nibabel.save(nibabel.Nifti1Image(values, affine, dtype=values.dtype), path)
    return path


@pytest.fixture
def voxels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 60000, (7, 6, 5)).astype(np.uint16)


@pytest.fixture
def write_dicom(tmp_path: Path) -> Callable[..., list[Path]]:
    """Writes values ``rows columns slices`` as one CT file a slice; keywords set or (None) remove elements."""

    def write(
        values: np.ndarray,
        folder: str = "ct",
        positions: np.ndarray | None = None,
        directions: tuple[float, ...] = (1, 0, 0, 0, 1, 0),
        spacing: tuple[float, float] = (0.5, 0.75),
        uid: str = "1.2.3",
        prefix: str = "i",
        **elements: Any,
    ) -> list[Path]:
        (tmp_path / folder).mkdir(exist_ok=True)
        count = values.shape[2]
        if positions is None:
            normal = np.cross(directions[:3], directions[3:])
            positions = np.array([10.0, 20.0, 30.0]) + np.arange(count)[:, None] * normal * 2.5
        paths = []
        for k in range(count):
            dataset = pydicom.Dataset()
            dataset.file_meta = FileMetaDataset()
            dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = pydicom.uid.CTImageStorage
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
            dataset.Modality, dataset.SeriesInstanceUID, dataset.SeriesNumber = "CT", uid, 4
            dataset.InstanceNumber = k + 1
            dataset.StudyInstanceUID, dataset.SeriesDescription = "1.2", "thin"
            dataset.Rows, dataset.Columns = values.shape[:2]
            dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
            dataset.BitsAllocated = dataset.BitsStored = 16
            dataset.HighBit, dataset.PixelRepresentation = 15, int(values.dtype.kind == "i")
            dataset.ImagePositionPatient = [float(p) for p in positions[k]]
            dataset.ImageOrientationPatient = [float(d) for d in directions]
            dataset.PixelSpacing = list(spacing)
            dataset.PixelData = np.ascontiguousarray(values[:, :, k]).tobytes()
            for name, value in elements.items():
                value = value[k] if isinstance(value, list) else value
                if value is None:
                    delattr(dataset, name)
                else:
                    setattr(dataset, name, value)
            # Names run against the positions.
            paths.append(tmp_path / folder / f"{prefix}{count - k:03d}")
            dataset.save_as(paths[-1], enforce_file_format=True)
        return paths

    return write

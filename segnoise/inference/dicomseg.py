"""Segmentations as DICOM objects that refer to the series they were made from, written through highdicom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segnoise.data import IGNORE_INDEX
from segnoise.data.volume import VolumeGrid
from segnoise.data.volume.dicomseries import choose_series, is_dicom, pydicom_module
from segnoise.data.volume.dicomslices import Slice, grid_of, in_order, slices_of
from segnoise.errors import UserError
from segnoise.windows import atomic_output

_NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "FrameOfReferenceUID")
_MAY_BE_BLANK = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
_LONGEST = 64
_AFTER_THE_SCANNERS = 100


@dataclass(frozen=True)
class DicomSeries:
    """A series that a segmentation can refer to: its slices in the order of their places, and the grid they make."""

    path: Path
    slices: tuple[Slice, ...]
    grid: VolumeGrid


def dicom_series(path: str | Path, out: str | Path) -> DicomSeries:
    """The series that a scan is; tells, before any work, why the segmentation ``out`` could not refer to it.

    Args:
        path: a folder, ``FOLDER#SERIES_UID``, or one file.
        out: what is to be written, for messages.

    Raises:
        UserError: highdicom is missing; the scan is no DICOM, lies in several multi-frame files, or lacks a UID.
    """
    path, out = Path(path), Path(out)
    folder, series = path, None
    if not path.exists() and "#" in path.name:
        name, _, series = path.name.rpartition("#")
        folder = path.with_name(name)
    files = sorted(p for p in folder.iterdir() if p.is_file()) if folder.is_dir() else [folder]
    if not any(map(is_dicom, files)):
        raise UserError(
            f"{out}: a DICOM segmentation refers to a DICOM series, and {path} is none; write .nii.gz instead"
        )
    _highdicom(out)
    headers = choose_series(files, folder, series)
    slices = in_order([one for header in headers for one in slices_of(header)], path)
    if len(headers) > 1 and any(one.frame is not None for one in slices):
        raise UserError(f"{path}: lies in {len(headers)} multi-frame files, {out} can refer to one; write .nii.gz")
    first = pydicom_module(path).dcmread(slices[0].path, stop_before_pixels=True)
    for name in _NEEDED:
        if not first.get(name):
            raise UserError(f"{slices[0].path}: has no {name}, so {out} cannot refer to it; write .nii.gz instead")
    return DicomSeries(path, tuple(slices), grid_of(slices, path))


def write_dicom_seg(
    out: str | Path,
    labels: NDArray[np.uint8],
    series: DicomSeries,
    classes: Sequence[str],
    *,
    algorithm: str = "segnoise",
    overwrite: bool = False,
) -> Path:
    """Class indices ``X Y Z`` (columns, rows, slices) on a series as a binary DICOM Segmentation (PS3.3, A.51).

    Each class but the first is a segment, called as the class is. What it is of is not known beyond that, so it is
    coded as tissue, and its maker as artificial intelligence. Voxels of class 0 and 255 (unknown) are in no segment;
    frames without a voxel are left out. The object belongs to the patient, study and frame of reference of the series
    and refers to its instances, frame by frame.

    Args:
        out: ``.dcm`` to write.
        labels: on the grid of the series.
        series: from :func:`dicom_series`.
        classes: names, class 0 first.
        algorithm: what made the labels, such as the name of a run.
        overwrite: replace an existing output.

    Raises:
        UserError: an existing or unwritable output, or headers of the series that highdicom does not accept.
        ValueError: labels of another shape.
    """
    out = Path(out)
    if labels.shape != series.grid.shape:
        raise ValueError(f"labels {labels.shape} are not on the grid of the series, {series.grid.shape}")
    hd = _highdicom(out)
    headers, order = _headers(series)
    first = headers[0]
    planes = np.where(labels == IGNORE_INDEX, 0, labels).astype(np.uint8).transpose(2, 1, 0)
    try:
        made = hd.seg.Segmentation(
            source_images=headers,
            pixel_array=planes[order],
            segmentation_type="BINARY",
            omit_empty_frames=bool(planes.any()),
            segment_descriptions=_segments(hd, classes[1:], algorithm),
            series_instance_uid=hd.UID(),
            series_number=int(first.get("SeriesNumber") or 0) + _AFTER_THE_SCANNERS,
            sop_instance_uid=hd.UID(),
            instance_number=1,
            manufacturer="segnoise",
            manufacturer_model_name="segnoise",
            software_versions=version("segnoise"),
            device_serial_number="none",
            series_description=_text(f"Segmentation: {algorithm}"),
            specific_character_set="ISO_IR 192",
        )
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise UserError(
            f"{series.path}: its headers do not do for a DICOM segmentation ({error}); write .nii.gz instead"
        ) from error
    with atomic_output(out, overwrite) as temporary:
        made.save_as(temporary)
    return out


def _headers(series: DicomSeries) -> tuple[list[Any], list[int]]:
    """The headers of a series' files in order, and which slice is the k-th frame of what they hold."""
    read = pydicom_module(series.path).dcmread
    order = list(range(len(series.slices)))
    paths = [one.path for one in series.slices]
    if series.slices[0].frame is not None:
        order.sort(key=lambda k: series.slices[k].frame or 0)
        paths = paths[:1]
    headers = [read(path, stop_before_pixels=True) for path in paths]
    for header in headers:
        for name in _MAY_BE_BLANK:
            if name not in header:
                setattr(header, name, None)
        if series.slices[0].frame is None:
            # Both are told by the grid; highdicom wants a thickness, and directions alike to the last digit.
            header.ImageOrientationPatient = headers[0].ImageOrientationPatient
            if not header.get("SliceThickness"):
                header.SliceThickness = float(np.linalg.norm(series.grid.affine[:3, 2]))
    return headers, order


def _segments(hd: Any, names: Sequence[str], algorithm: str) -> list[Any]:
    from pydicom.sr.codedict import codes

    maker = hd.AlgorithmIdentificationSequence(
        name=_text(algorithm), family=codes.cid7162.ArtificialIntelligence, version=version("segnoise")
    )
    return [
        hd.seg.SegmentDescription(number, _text(name), codes.SCT.Tissue, codes.SCT.Tissue, "AUTOMATIC", maker)
        for number, name in enumerate(names, start=1)
    ]


def _text(text: str) -> str:
    """As DICOM's long strings allow: no backslash, 64 characters."""
    return text.replace("\\", "/")[:_LONGEST]


def _highdicom(out: Path) -> Any:
    try:
        import highdicom
    except ImportError as error:
        raise UserError(f"{out}: writing DICOM needs highdicom; pip install segnoise[highdicom]") from error
    return highdicom

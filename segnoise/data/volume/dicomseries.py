"""Which DICOM files make one volume: the series in a folder, and the one that is meant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segnoise.errors import UserError, nearest

_TAGS = (
    "Modality", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "Rows", "Columns", "NumberOfFrames",
    "SamplesPerPixel", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness",
    "SpacingBetweenSlices", "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
)  # fmt: skip
_NO_IMAGE = {"SEG", "RTSTRUCT", "SR", "PR", "KO", "REG"}

Header = tuple[Path, Any]
"""A DICOM file and what it says about itself, without its pixels."""


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do."""
    try:
        with open(path, "rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def choose_series(files: Sequence[Path], folder: Path, series: str | None) -> list[Header]:
    """The files of one series of images: the only one, or the one whose UID is ``series``.

    Raises UserError when no file is a DICOM image, when there are several series (listing number, description, count
    and UID of each) and when none has that UID.
    """
    headers = [header for path in files if is_dicom(path) and (header := _header(path)) is not None]
    if not headers:
        raise UserError(f"{folder}: holds no DICOM file that can be read; give the folder of an unencrypted series")
    images = [(p, d) for p, d in headers if "Rows" in d and d.get("Modality") not in _NO_IMAGE]
    if not images:
        kinds = ", ".join(sorted({str(d.get("Modality") or "unknown") for _, d in headers}))
        raise UserError(
            f"{folder}: holds DICOM without pixel data of an image (modality {kinds}); convert SEG and RTSTRUCT to "
            "NIfTI first (dcmqi, plastimatch)"
        )
    kinds_of_image = {str(dataset.get("Modality")) for _, dataset in images}
    for path, dataset in headers:
        if "Rows" not in dataset and str(dataset.get("Modality")) in {*kinds_of_image, "None"}:
            raise UserError(f"{path}: the DICOM file is truncated, it ends in its header; copy it again or take it out")
    found: dict[str, list[Header]] = {}
    for path, dataset in images:
        found.setdefault(str(dataset.get("SeriesInstanceUID") or ""), []).append((path, dataset))
    if series is not None:
        if series not in found:
            raise UserError(f"{folder}: holds no series {series!r}; {nearest(series, found)}")
        return found[series]
    if len(found) > 1:
        listed = "; ".join(_describe(uid, members) for uid, members in found.items())
        raise UserError(f"{folder}: holds {len(found)} series; choose one as {folder}#UID or with series=UID: {listed}")
    return next(iter(found.values()))


def pydicom_module(path: Path) -> Any:
    """pydicom, or UserError with the extra that installs it."""
    try:
        import pydicom
    except ImportError as error:
        raise UserError(f"{path}: reading DICOM needs pydicom; pip install segnoise[dicom]") from error
    return pydicom


def _header(path: Path) -> Header | None:
    """What a file says about itself; None for an index of others (DICOMDIR)."""
    pydicom = pydicom_module(path)
    try:
        dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS))
    except Exception as error:
        # pydicom lets out whatever a damaged file provokes: EOFError, struct.error, KeyError, ValueError.
        raise UserError(f"{path}: the DICOM file is damaged; copy it again or take it out") from error
    directory = str(dataset.file_meta.get("MediaStorageSOPClassUID", "")) == pydicom.uid.MediaStorageDirectoryStorage
    return None if directory else (path, dataset)


def _describe(uid: str, members: list[Header]) -> str:
    first = members[0][1]
    count = sum(int(dataset.get("NumberOfFrames") or 1) for _, dataset in members)
    number = first.get("SeriesNumber")
    described = f"{'no number' if number is None else number} {str(first.get('SeriesDescription', ''))!r}"
    return f"{described} {count} slices {uid}"

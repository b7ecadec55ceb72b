"""Where the slices of a DICOM series lie, and the grid that they make."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segnoise.data.volume.dicomseries import Header
from segnoise.data.volume.grid import VolumeGrid, lps_to_ras
from segnoise.errors import UserError

logger = logging.getLogger(__name__)

_SAME_PLACE = 1e-3
_SAME_DIRECTION = 1e-4
_UNEVEN = 0.05


@dataclass(frozen=True)
class Slice:
    """One slice: where it is on disk, where it lies in the patient (LPS, mm), and what its numbers mean.

    ``directions`` are the unit vectors along which the column and the row index grow, ``pixel`` the millimetres
    between rows and between columns, ``frame`` its number in a multi-frame file.
    """

    path: Path
    frame: int | None
    size: tuple[int, int]
    position: tuple[float, ...]
    directions: tuple[float, ...]
    pixel: tuple[float, ...]
    thickness: float
    slope: float
    intercept: float

    @property
    def normal(self) -> NDArray[np.float64]:
        return np.cross(self.directions[:3], self.directions[3:])


def slices_of(header: Header) -> list[Slice]:
    """The slices in one file: one, or the frames of an enhanced multi-frame object.

    Raises UserError for colours, a modality look-up table, or a file that does not say where its slices lie.
    """
    path, dataset = header
    if int(dataset.get("SamplesPerPixel") or 1) > 1:
        raise UserError(f"{path}: holds colours; give DICOM with one value a pixel")
    if "ModalityLUTSequence" in dataset:
        raise UserError(f"{path}: its values go through a modality look-up table; convert it to NIfTI first")
    count = int(dataset.get("NumberOfFrames") or 1)
    groups = dataset.get("PerFrameFunctionalGroupsSequence")
    if groups is None and count > 1:
        raise UserError(f"{path}: does not say where its {count} frames lie; convert it to NIfTI first")
    if groups is None:
        return [_slice(path, None, dataset, lambda _, name: dataset.get(name))]
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [{}])[0]

    def reader(own: Any) -> Any:
        def value(group: str, name: str) -> Any:
            return next((box[group].value[0].get(name) for box in _elements(own, shared) if group in box), None)

        return value

    return [_slice(path, number, dataset, reader(own)) for number, own in enumerate(groups)]


def in_order(slices: Sequence[Slice], folder: Path) -> list[Slice]:
    """The slices sorted by their place along the normal of the first.

    Raises UserError for slices of several sizes or directions, and for two in one place.
    """
    first = slices[0]
    for other in slices[1:]:
        if other.size != first.size:
            raise UserError(
                f"{folder}: slices of two sizes, {first.path.name} {_by(first.size)} and {other.path.name} "
                f"{_by(other.size)}; keep those of one volume"
            )
        if np.abs(np.subtract(other.directions, first.directions)).max() > _SAME_DIRECTION:
            raise UserError(
                f"{folder}: slices of two orientations, {first.path.name} and {other.path.name}; keep those of one "
                "volume (is one a localiser?)"
            )
        if not np.allclose(other.pixel, first.pixel, rtol=1e-4, atol=0):
            raise UserError(
                f"{folder}: pixels of two sizes, {first.path.name} {first.pixel} mm and {other.path.name} "
                f"{other.pixel} mm; keep the slices of one volume"
            )
    places = [float(np.dot(s.position, first.normal)) for s in slices]
    order = sorted(range(len(slices)), key=lambda i: places[i])
    for before, after in itertools.pairwise(order):
        if places[after] - places[before] < _SAME_PLACE:
            raise UserError(
                f"{folder}: two slices in one place, {_name(slices[before])} and {_name(slices[after])}; several time "
                "points or echoes are several volumes, give a list of the files of one"
            )
    return [slices[i] for i in order]


def grid_of(slices: Sequence[Slice], folder: Path) -> VolumeGrid:
    """The grid (columns, rows, slices) of sorted slices, in RAS+.

    Voxels count as evenly spaced; where slices are missing the step is the usual one, and the gap is logged in mm.
    A single slice is as thick as it says it is, else not measured.
    """
    first, last = slices[0], slices[-1]
    affine = np.eye(4)
    affine[:3, 0] = np.multiply(first.directions[:3], first.pixel[1])
    affine[:3, 1] = np.multiply(first.directions[3:], first.pixel[0])
    affine[:3, 3] = first.position
    measured = True
    if len(slices) > 1:
        affine[:3, 2] = np.subtract(last.position, first.position) / (len(slices) - 1)
        steps = np.diff([np.dot(s.position, first.normal) for s in slices])
        usual = float(np.median(steps))
        uneven = np.flatnonzero(np.abs(steps - usual) > _UNEVEN * usual)
        if len(uneven):
            affine[:3, 2] *= usual / float(np.dot(affine[:3, 2], first.normal))
            at = int(uneven[np.argmax(steps[uneven])])
            logger.warning(
                "%s: %.4g mm between %s and %s where slices are %.4g mm apart (%d of %d gaps differ); slices are "
                "missing or uneven, and are placed as if evenly spaced",
                folder, steps[at], _name(slices[at]), _name(slices[at + 1]), usual, len(uneven), len(steps),
            )  # fmt: skip
    else:
        measured = first.thickness > 0
        affine[:3, 2] = first.normal * (first.thickness if measured else 1.0)
    rows, columns = first.size
    return VolumeGrid((columns, rows, len(slices)), lps_to_ras(affine), (True, True, measured))


def _slice(path: Path, frame: int | None, dataset: Any, value: Any) -> Slice:
    position = value("PlanePositionSequence", "ImagePositionPatient")
    directions = value("PlaneOrientationSequence", "ImageOrientationPatient")
    pixel = value("PixelMeasuresSequence", "PixelSpacing")
    for what, given in (("position", position), ("orientation", directions), ("pixel spacing", pixel)):
        if not given:
            raise UserError(f"{path}: does not say the {what} of its slice; convert the series to NIfTI by hand")
    between = value("PixelMeasuresSequence", "SpacingBetweenSlices") or value("PixelMeasuresSequence", "SliceThickness")
    slope = value("PixelValueTransformationSequence", "RescaleSlope")
    return Slice(
        path,
        frame,
        (int(dataset.Rows), int(dataset.Columns)),
        tuple(map(float, position)),
        tuple(map(float, directions)),
        tuple(map(float, pixel)),
        float(between) if between else math.nan,
        1.0 if slope is None else float(slope),
        float(value("PixelValueTransformationSequence", "RescaleIntercept") or 0),
    )


def _elements(*boxes: Any) -> list[dict[str, Any]]:
    """The functional groups of an item by their names."""
    return [{element.keyword: element for element in box} for box in boxes]


def _name(one: Slice) -> str:
    return one.path.name if one.frame is None else f"frame {one.frame + 1} of {one.path.name}"


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]} px"

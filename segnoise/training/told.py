"""What a table of slice or volume labels says of each volume of a run, and of each slice that the networks see."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segnoise.data.volume import VolumeGrid, volume_name
from segnoise.data.volume.grid import VOXEL_TOLERANCE
from segnoise.data.volume.slicetable import SliceRow, read_slice_table
from segnoise.errors import UserError, nearest

Labels = tuple[float, ...]
"""Of each class: 1, 0, or nan where nobody knows."""


@dataclass(frozen=True)
class Told:
    """What is said of one volume: of all of it, or of its slices by their numbers in the file."""

    whole: SliceRow | None
    slices: Mapping[int, SliceRow]


def read_told(path: str, classes: Sequence[str], volumes: Sequence[tuple[str, Sequence[Path]]]) -> list[Told | None]:
    """What a table says of each of the volumes, which are given as name and files; None where it names one nowhere.

    A table names a volume by the path of one of its files, from the table's folder, or by its name. Files that are
    there but not among the volumes are left alone.

    Raises UserError as ``read_slice_table`` does, and for a volume that is not there and for one said twice.
    """
    files = {file.resolve(): k for k, (_, paths) in enumerate(volumes) for file in paths}
    names: dict[str, list[int]] = {}
    for k, (name, _) in enumerate(volumes):
        names.setdefault(name, []).append(k)
    found: dict[int, dict[int | None, SliceRow]] = {}
    for row in read_slice_table(path, classes):
        at = Path(path).parent / row.image
        which = files.get(at.resolve(), _by_name(row.image, names))
        if which is None:
            if at.exists():
                continue
            raise UserError(f"{row.where}: data.images has no volume {row.image!r}; {nearest(row.image, names)}")
        first = found.setdefault(which, {}).setdefault(row.slice, row)
        if first is not row:
            what = "the volume" if row.slice is None else f"slice {row.slice} of"
            raise UserError(f"{row.where}: {what} {row.image} is given twice; keep one row")
    return [_told(found[k]) if k in found else None for k in range(len(volumes))]


def _by_name(text: str, names: Mapping[str, list[int]]) -> int | None:
    """The one volume that is called so, with or without its ending."""
    if Path(text).name != text:
        return None
    called = names.get(text) or names.get(volume_name(Path(text))) or []
    return called[0] if len(called) == 1 else None


def _told(rows: dict[int | None, SliceRow]) -> Told:
    return Told(rows.get(None), {number: row for number, row in rows.items() if number is not None})


def labels_within_volume(told: Told, stored: VolumeGrid, seen: VolumeGrid) -> NDArray[np.float32] | None:
    """Of the slices across the last axis of the grid that the networks see, ``C Z``; None where nothing is known.

    The table numbers the slices across the last axis of the file. Between two slices of the file, where they are
    resampled, is known what both have or both lack.

    Raises UserError for a slice beyond the volume, and where the last axis of the file is not the last that is seen.
    """
    if not told.slices:
        return None
    step = np.linalg.solve(stored.affine, seen.affine)
    axis, count = int(np.abs(step[2, :3]).argmax()), stored.shape[2]
    first = next(iter(told.slices.values()))
    if axis != 2:
        codes = seen.codes
        turned = codes.replace(codes[axis], "") + codes[axis]
        raise UserError(
            f"{first.where}: slices lie across the last axis of {first.image}, and across axis {axis} where "
            f"data.orientation is {codes}; write {turned}, which puts it last, or null"
        )
    known = np.full((len(first.labels), count), np.nan, dtype=np.float32)
    for number, row in told.slices.items():
        if number >= count:
            raise UserError(
                f"{row.where}: slice {number} of {row.image}, which has {count} along its last axis (0 to "
                f"{count - 1}); correct the number"
            )
        known[:, number] = row.labels
    place = (step[2, 2] * np.arange(seen.shape[2]) + step[2, 3]).clip(0, count - 1)
    below = known[:, np.floor(place + VOXEL_TOLERANCE).astype(int)]
    above = known[:, np.ceil(place - VOXEL_TOLERANCE).astype(int)]
    labels = np.where(below == above, below, np.float32(np.nan))
    return None if np.isnan(labels).all() else labels


def labels_of_slices(told: Told, stored: VolumeGrid, seen: VolumeGrid, axis: int) -> list[Labels | None]:
    """Of each slice that the networks see along an axis of their grid, from the numbers of slices in the file.

    What a whole volume lacks each of its slices lacks; what it holds may be in any of them, so it is unknown in each,
    unless there is but one.

    Raises UserError for a slice beyond the volume, and where slices were resampled, so that none is one of the file.
    """
    count = seen.shape[axis]
    if told.whole is not None:
        of_all = told.whole.labels
        return [of_all if count == 1 else tuple(math.nan if value == 1 else value for value in of_all)] * count
    if not told.slices:
        return [None] * count
    numbers = stored_slices(stored, seen, axis)
    first = next(iter(told.slices.values()))
    if numbers is None:
        raise UserError(
            f"{first.where}: slices are numbered as in the file, but data.spacing resamples them along axis {axis}; "
            "leave data.spacing null, or give along this axis what the file has"
        )
    for number, row in told.slices.items():
        if number >= count:
            raise UserError(
                f"{row.where}: slice {number} of {row.image}, which has {count} along the axis that is cut (0 to "
                f"{count - 1}); correct the number or data.slices.axis"
            )
    return [told.slices[number].labels if number in told.slices else None for number in numbers]


def stored_slices(stored: VolumeGrid, seen: VolumeGrid, axis: int) -> list[int] | None:
    """The number in the file of each slice of the grid that is seen along an axis; None where they are no longer its
    slices, one for one.

    >>> upside_down = VolumeGrid((4, 5, 3), np.diag([1.0, 1.0, -2.0, 1.0]))
    >>> above = np.diag([1.0, 1.0, 2.0, 1.0])
    >>> above[2, 3] = -4
    >>> stored_slices(upside_down, VolumeGrid((4, 5, 3), above), 2)
    [2, 1, 0]
    """
    step = np.linalg.solve(stored.affine, seen.affine)
    along = int(np.abs(step[:3, axis]).argmax())
    straight = np.zeros(4)
    straight[axis] = np.sign(step[along, axis])
    straight[3] = np.rint(step[along, 3])
    count = seen.shape[axis]
    if count != stored.shape[along] or np.abs(step[along] - straight).max() > VOXEL_TOLERANCE / count:
        return None
    numbers = np.arange(count) * int(straight[axis]) + int(straight[3])
    return numbers.tolist() if set(numbers.tolist()) == set(range(count)) else None

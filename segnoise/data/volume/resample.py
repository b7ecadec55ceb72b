"""Volumes on another grid: to a spacing in millimetres, and back to the grid of another volume."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segnoise.data.sample import IGNORE_INDEX
from segnoise.data.volume.grid import Placed, VolumeGrid, turn_onto
from segnoise.data.volume.orientation import turned
from segnoise.data.volume.volume import Volume
from segnoise.errors import UserError

logger = logging.getLogger(__name__)

Order = Literal[0, 1]
"""0: the nearest voxel, for labels; 1: linear, for images."""

_EDGE = 1e-6


def resample(volume: Volume, spacing: Sequence[float], order: Order) -> Volume:
    """The volume at another spacing; the centre of the first voxel stays where it is, as with MONAI's ``Spacing``.

    An axis of n voxels becomes ``round((n - 1) * old / new) + 1``. Order 1 gives float32, and NaN beside NaN; order 0
    keeps the data type, so that no class can appear, and warns of classes that vanish.

    Args:
        volume: what to resample.
        spacing: millimetres along each axis; nan keeps the axis as it is.
        order: 1 (linear) for images, 0 (nearest) for labels.

    Raises:
        UserError: a spacing that is not positive, or for an axis whose own spacing is not known.

    >>> volume = Volume(np.array([[[[0, 4, 8]]]], dtype=np.uint8), np.diag([1.0, 1.0, 2.0, 1.0]))
    >>> resample(volume, (1, 1, 1), order=1).values.tolist()
    [[[[0.0, 2.0, 4.0, 6.0, 8.0]]]]
    >>> resample(volume, (1, 1, 4), order=0).values.tolist()
    [[[[0, 8]]]]
    """
    _check_order(order)
    return _on_grid(volume, grid_at(volume.grid, spacing, volume.path), order)


def grid_at(grid: VolumeGrid, spacing: Sequence[float], path: Path | None = None) -> VolumeGrid:
    """The grid that ``resample`` gives a volume on this one."""
    if len(spacing) != 3 or any(not math.isnan(s) and not 0 < s < math.inf for s in spacing):
        raise UserError(f"spacing {tuple(spacing)}: give three positive numbers in mm, or nan to keep an axis")
    own = grid.spacing
    for axis, (old, new) in enumerate(zip(own, spacing, strict=True)):
        if math.isnan(old) and not math.isnan(new):
            raise UserError(
                f"{path or 'volume'}: the size of a voxel along axis {axis} is not known, so it cannot become "
                f"{new:g} mm; give a file that says it, or keep the axis (nan)"
            )
    ratio = np.array([1.0 if math.isnan(new) else new / old for old, new in zip(own, spacing, strict=True)])
    x, y, z = (int(n) for n in np.rint((np.array(grid.shape) - 1) / ratio) + 1)
    return VolumeGrid((x, y, z), grid.affine @ np.diag([*ratio, 1.0]), grid.measured)


def like(volume: Volume, reference: Placed, order: Order, fill: float | None = None) -> Volume:
    """The volume on the grid of another, such as a prediction back on the scan that it was made from.

    Where the grids differ only by the order and direction of axes, values are moved and none is computed. ``fill`` is
    for voxels beyond the volume: 255 (unknown) with order 0 and NaN with order 1 unless given.

    >>> scan = Volume(np.arange(5.0).reshape(1, 1, 1, 5), np.diag([1.0, 1.0, 1.0, 1.0]))
    >>> coarse = resample(scan, (1, 1, 2), order=1)
    >>> coarse.shape, like(coarse, scan, order=1).values.ravel().tolist()
    ((1, 1, 3), [0.0, 1.0, 2.0, 3.0, 4.0])
    """
    _check_order(order)
    grid = reference.grid
    turn = turn_onto(volume.grid, grid)
    if turn is not None:
        return Volume(turned(volume, turn).values, grid.affine, volume.path, grid.measured)
    if not all(volume.measured + grid.measured):
        raise UserError(
            f"{volume.path or 'volume'}: cannot be put on another grid, the size of a voxel is not known for both; "
            "give files that say it"
        )
    placed = _on_grid(volume, grid, order)
    outside = ~_inside(volume.grid, grid)
    if outside.any():
        placed.values[:, outside] = fill if fill is not None else (IGNORE_INDEX if order == 0 else math.nan)
    return placed


def _on_grid(volume: Volume, grid: VolumeGrid, order: Order) -> Volume:
    """Every voxel of the grid from the volume; beyond its edge the voxel at the edge."""
    matrix: NDArray[Any] = np.linalg.solve(volume.affine, grid.affine)
    linear = matrix[:3, :3]
    diagonal = np.diagonal(linear)
    # A diagonal lets scipy go axis by axis.
    step: NDArray[Any] = diagonal if np.abs(linear - np.diag(diagonal)).max() < 1e-12 else linear
    dtype = np.dtype(np.float32) if order == 1 else volume.values.dtype
    values = np.empty((volume.channels, *grid.shape), dtype=dtype)
    for source, target in zip(volume.values, values, strict=True):
        ndimage.affine_transform(
            source, step, matrix[:3, 3], output_shape=grid.shape, output=target, order=order, mode="nearest"
        )
    if order == 0:
        _warn_of_vanished(volume, values)
    return Volume(values, grid.affine, volume.path, grid.measured)


def _inside(volume: VolumeGrid, grid: VolumeGrid) -> NDArray[np.bool_]:
    """Which voxels of a grid have their centre within the volume, to the outer faces of its voxels."""
    matrix = np.linalg.solve(volume.affine, grid.affine)
    inside = np.ones(grid.shape, dtype=bool)
    for row, n in zip(matrix[:3], volume.shape, strict=True):
        x, y, z = (row[axis] * np.arange(length) for axis, length in enumerate(grid.shape))
        place = x[:, None, None] + y[:, None] + z + row[3]
        inside &= (place >= -0.5 - _EDGE) & (place <= n - 0.5 + _EDGE)
    return inside


def _warn_of_vanished(volume: Volume, values: NDArray[Any]) -> None:
    vanished = np.setdiff1d(np.unique(volume.values), np.unique(values))
    if len(vanished):
        listed = ", ".join(f"{value:g}" for value in vanished[:10])
        logger.warning("%s: class %s vanished at the new spacing", volume.path or "volume", listed)


def _check_order(order: int) -> None:
    if order not in (0, 1):
        raise ValueError(f"order {order}: 0 (nearest, labels) or 1 (linear, images)")

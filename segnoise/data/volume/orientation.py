"""Turning a volume: axes permuted and flipped so that they point where the codes say, values untouched."""

from __future__ import annotations

import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform
from numpy.typing import NDArray

from segnoise.data.volume.grid import Turn, VolumeGrid
from segnoise.data.volume.volume import Volume
from segnoise.errors import UserError

_PAIRS = ("RL", "AP", "SI")


def reorient(volume: Volume, codes: str = "RAS") -> Volume:
    """The same voxels in the same places, in an array whose axes grow towards ``codes`` (Right, Anterior, Superior).

    An oblique volume stays oblique: each axis takes the nearest direction. ``like(turned, volume)`` undoes it, bit
    for bit. Raises UserError for codes that do not name each of R/L, A/P and S/I once.

    >>> volume = Volume(np.arange(6).reshape(1, 1, 2, 3), np.diag([-1.0, -1.0, 2.0, 1.0]))
    >>> reorient(volume).values.tolist(), reorient(volume, "SAR").spacing
    ([[[[3, 4, 5], [0, 1, 2]]]], (2.0, 1.0, 1.0))
    """
    return turned(volume, _turn(volume.affine, codes))


def grid_towards(grid: VolumeGrid, codes: str) -> VolumeGrid:
    """The grid that ``reorient`` gives a volume on this one."""
    return grid.turned(_turn(grid.affine, codes))


def _turn(affine: NDArray[np.float64], codes: str) -> Turn:
    if len(codes) != 3 or any(sum(code in pair for code in codes) != 1 for pair in _PAIRS):
        raise UserError(f"orientation {codes!r}: give one of R/L, one of A/P and one of S/I, such as RAS or LPS")
    return ornt_transform(io_orientation(affine), axcodes2ornt(tuple(codes)))


def turned(volume: Volume, turn: Turn) -> Volume:
    """The volume with its axes permuted and flipped."""
    grid = volume.grid.turned(turn)
    values = np.moveaxis(apply_orientation(np.moveaxis(volume.values, 0, -1), turn), -1, 0)
    return Volume(values, grid.affine, volume.path, grid.measured)

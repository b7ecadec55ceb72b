"""Where the voxels of a volume lie: shape and affine together, compared, turned and said in one line."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.orientations import aff2axcodes, inv_ornt_aff, io_orientation
from numpy.typing import NDArray

VOXEL_TOLERANCE = 1e-3
"""Two grids are one when their corners agree within this share of a voxel."""

Turn = NDArray[np.float64]
"""A signed permutation of axes as nibabel writes it: per axis, where it goes (column 0) and 1 or -1 for a flip."""


@dataclass(frozen=True, eq=False)
class VolumeGrid:
    """Shape ``X Y Z`` and affine (voxel index to millimetres in RAS+) of a volume.

    ``measured`` says for which axes the file gives the size of a voxel; along the others the affine takes 1 mm and
    ``spacing`` is nan.

    >>> grid = VolumeGrid((4, 5, 6), np.diag([-2.0, -2.0, 3.0, 1.0]), (True, True, False))
    >>> grid.spacing, grid.codes
    ((2.0, 2.0, nan), 'LPS')
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    measured: tuple[bool, bool, bool] = (True, True, True)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres per voxel along each axis: the lengths of the affine's columns; nan where not measured."""
        sizes = np.where(self.measured, voxel_sizes(self.affine), np.nan)
        return (float(sizes[0]), float(sizes[1]), float(sizes[2]))

    @property
    def codes(self) -> str:
        """The direction nearest to each axis, such as ``"RAS"``."""
        return "".join(str(code) for code in aff2axcodes(self.affine))

    def turned(self, turn: Turn) -> VolumeGrid:
        """The same places in space for an array whose axes are permuted and flipped."""
        shape, measured = list(self.shape), list(self.measured)
        for axis, (target, _) in enumerate(turn.astype(int)):
            shape[target], measured[target] = self.shape[axis], self.measured[axis]
        affine = self.affine @ inv_ornt_aff(turn, self.shape)
        return VolumeGrid((shape[0], shape[1], shape[2]), affine, (measured[0], measured[1], measured[2]))


class Placed(Protocol):
    """Anything that lies on a grid: a volume, a file, a source."""

    @property
    def grid(self) -> VolumeGrid: ...


def drift(one: VolumeGrid, other: VolumeGrid) -> float:
    """How far the corners of two grids of one shape lie apart, in voxels of the first.

    An axis that either file does not measure has no place to compare: then only directions count, and a length of 1
    is taken for each axis.

    >>> grid = VolumeGrid((4, 5, 6), np.diag([2.0, 2.0, 3.0, 1.0]))
    >>> shifted = grid.affine.copy()
    >>> shifted[0, 3] += 0.5
    >>> drift(grid, VolumeGrid((4, 5, 6), shifted))
    0.25
    """
    a, b = one.affine, other.affine
    if not all(one.measured + other.measured):
        a, b = _directions(a), _directions(b)
    corners = np.array([[*corner, 1] for corner in itertools.product(*((0, n - 1) for n in one.shape))], dtype=float).T
    return float(np.abs(np.linalg.solve(a, b @ corners) - corners).max())


def same_volume_grid(one: VolumeGrid, other: VolumeGrid) -> bool:
    """Whether two grids have the same shape and corners within ``VOXEL_TOLERANCE`` of a voxel."""
    return one.shape == other.shape and drift(one, other) <= VOXEL_TOLERANCE


def turn_onto(grid: VolumeGrid, target: VolumeGrid) -> Turn | None:
    """The permutation and flips that bring one grid onto another; None where none does."""
    turn = io_orientation(np.linalg.solve(target.affine, grid.affine))
    if np.isnan(turn).any() or not same_volume_grid(grid.turned(turn), target):
        return None
    return turn


def describe_turn(turn: Turn) -> str:
    """A turn in words.

    >>> describe_turn(np.array([[0, -1], [1, 1], [2, 1]]))
    'flipped along axis 0'
    >>> describe_turn(np.array([[1, 1], [0, 1], [2, -1]]))
    'with its axes in the order (1, 0, 2) and flipped along axis 2'
    """
    order = [int(axis) for axis in np.argsort(turn[:, 0])]
    flips = [str(axis) for axis in range(3) if turn[axis, 1] < 0]
    parts = []
    if order != [0, 1, 2]:
        parts.append(f"with its axes in the order ({', '.join(map(str, order))})")
    if flips:
        parts.append(f"flipped along {'axis' if len(flips) == 1 else 'axes'} {' and '.join(flips)}")
    return " and ".join(parts) or "as it is"


def describe_volume_grid(grid: VolumeGrid) -> str:
    """A grid in one line, for messages.

    >>> describe_volume_grid(VolumeGrid((4, 5, 6), np.diag([-2.0, -2.0, 3.0, 1.0])))
    '4 x 5 x 6 voxels, axes LPS, spacing (2, 2, 3) mm, origin (0, 0, 0)'
    """
    size = " x ".join(str(n) for n in grid.shape)
    spacing = ", ".join(f"{s:.4g}" for s in grid.spacing)
    origin = ", ".join(f"{o + 0.0:.6g}" for o in grid.affine[:3, 3])
    return f"{size} voxels, axes {grid.codes}, spacing ({spacing}) mm, origin ({origin})"


def lps_to_ras(affine: NDArray[Any]) -> NDArray[np.float64]:
    """An affine of DICOM and ITK (x to the left, y to the back) in the convention of NIfTI, and the other way round.

    >>> lps_to_ras(np.diag([1.0, 1.0, 2.0, 1.0])).diagonal().tolist()
    [-1.0, -1.0, 2.0, 1.0]
    """
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.asarray(affine, dtype=np.float64)


def _directions(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    unit = np.eye(4)
    unit[:3, :3] = affine[:3, :3] / voxel_sizes(affine)
    return unit

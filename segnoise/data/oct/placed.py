"""Whole OCT scans: B-scans as networks see them, rows down the eye, with the way back to the file's own grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segnoise.data.oct.duke import read_duke_scan
from segnoise.data.oct.scan import Scan
from segnoise.data.oct.vendor import VENDOR_SUFFIXES, read_vendor_scan
from segnoise.data.source import ArraySource
from segnoise.data.volume import VolumeGrid, VolumeSource, volume_name
from segnoise.data.volume.grid import lps_to_ras
from segnoise.data.volume.itkfile import ITK_SUFFIXES
from segnoise.data.volume.nifti import NIFTI_SUFFIXES
from segnoise.errors import UserError
from segnoise.windows import Window

AXES = ("width", "depth", "bscan")

_RETOUCH = "oct.mhd"
_TIE = 1.05
"""Sizes of voxels that differ by less than this factor do not tell two axes apart."""


@dataclass(frozen=True, eq=False)
class PlacedScan:
    """B-scans ``B rows columns`` (rows are depth, columns width) and the grid of the file they came from.

    ``observed`` is false where a value is not finite; ``values`` are 0 there. ``order`` are the axes of the grid along
    which B-scans, rows and columns run.
    """

    path: Path
    values: NDArray[np.float32]
    observed: NDArray[np.bool_]
    grid: VolumeGrid
    order: tuple[int, int, int]

    def bscan(self, number: int) -> ArraySource:
        """One B-scan as a source of one channel, with the depth and the width of a pixel in mm."""
        _, rows, columns = self.order
        spacing = (self.grid.spacing[rows], self.grid.spacing[columns])
        name = f"{scan_name(self.path)}/{number:03d}"
        return ArraySource(self.values[number][None], spacing, name, self.observed[number])

    def stacked(self, array: NDArray[Any]) -> NDArray[Any]:
        """An array on the file's grid as ``B rows columns``."""
        return array.transpose(self.order)

    def placed(self, stack: NDArray[Any]) -> NDArray[Any]:
        """An array ``... B rows columns`` on the file's grid, ``... X Y Z``."""
        further = stack.ndim - 3
        back = (int(axis) + further for axis in np.argsort(self.order))
        return stack.transpose(*range(further), *back)


def is_scan(path: str | Path) -> bool:
    """Whether a file holds a whole scan, by its ending, and not one B-scan.

    >>> is_scan("TRAIN001/oct.mhd"), is_scan("eye.vol"), is_scan("eye_017.png")
    (True, True, False)
    """
    return Path(path).name.lower().endswith((*NIFTI_SUFFIXES, *ITK_SUFFIXES, *VENDOR_SUFFIXES, ".mat"))


def scan_name(path: Path) -> str:
    """What a scan is called: its file's name, or the case's folder of a RETOUCH ``oct.mhd``.

    >>> scan_name(Path("a/eye.nii.gz")), scan_name(Path("a/TRAIN001/oct.mhd"))
    ('eye', 'TRAIN001')
    """
    return path.resolve().parent.name if path.name.lower() == _RETOUCH else volume_name(path)


def read_scan(path: str | Path, axes: Sequence[str] | None = None) -> PlacedScan:
    """A whole OCT scan of any kind of file that holds one.

    * ``Subject_XX.mat`` of Duke's set and the devices' files (``.vol``, ``.e2e``, ``.fda``, ``.img``): their formats
      say what is a B-scan. They say no place, so the grid is built as ITK lays a stack of pictures, axes (width,
      depth, B-scan) to the left, to the back and up, of the file's spacing, and 1 mm where the file does not give it,
      as between B-scans.
    * ``oct.mhd`` of RETOUCH: axes (width, depth, B-scan).
    * any other ``.nii``, ``.nii.gz``, ``.nrrd``, ``.nhdr``, ``.mha`` or ``.mhd``: the axis with the smallest voxels is
      depth, that with the largest runs from B-scan to B-scan, as in all scans of the macula that are not taken
      with equal steps to both sides. Where the sizes do not differ, ``axes`` must tell.

    Depth 0 is the vitreous side: no file says so, but all these formats lie so.

    Args:
        path: the file.
        axes: for volume files, what the axes in the file's order are, such as ``("width", "depth", "bscan")``.

    Raises:
        UserError: an unreadable file, several channels, axes that cannot be known, or that are given where the format
            says them.

    >>> import tempfile
    >>> from segnoise.data.volume import write_volume
    >>> path = Path(tempfile.mkdtemp()) / "eye.nii.gz"
    >>> made = write_volume(path, np.zeros((6, 4, 2)), np.diag([0.004, 0.011, 0.12, 1]))
    >>> scan = read_scan(path)
    >>> scan.values.shape, scan.order, scan.placed(scan.values).shape
    ((2, 6, 4), (2, 0, 1), (6, 4, 2))
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file; check the path")
    suffix = path.suffix.lower()
    if axes is not None and sorted(axes) != sorted(AXES):
        raise UserError(f"axes {', '.join(axes)}: give {', '.join(AXES)}, each once, in the order of the file")
    if suffix == ".mat" or suffix in VENDOR_SUFFIXES:
        if axes is not None:
            raise UserError(f"{path}: its format says which axes are depth and width; leave the axes out")
        return _built(path, read_duke_scan(path) if suffix == ".mat" else read_vendor_scan(path))
    if not is_scan(path):
        raise UserError(f"{path}: is no OCT scan that can be read; give a volume file, a Duke .mat or a device's file")
    volume = VolumeSource(path)
    if volume.channels != 1:
        raise UserError(f"{path}: has {volume.channels} channels; an OCT scan has one, of grey values")
    if axes is None:
        order = (2, 1, 0) if path.name.lower() == _RETOUCH else _by_spacing(path, volume.grid)
    else:
        order = _order(tuple(axes))
    values, observed = volume.read(Window((0, 0, 0), volume.shape))
    return PlacedScan(path, values[0].transpose(order), observed.transpose(order), volume.grid, order)


def _by_spacing(path: Path, grid: VolumeGrid) -> tuple[int, int, int]:
    depth, width, between = (int(axis) for axis in np.argsort(grid.spacing))
    sizes = grid.spacing
    if not sizes[width] > _TIE * sizes[depth] or not sizes[between] > _TIE * sizes[width]:
        listed = ", ".join(f"{size:.4g}" for size in sizes)
        raise UserError(
            f"{path}: spacing ({listed}) mm does not tell which axis is depth (the smallest) and which runs from "
            "B-scan to B-scan (the largest); say --axes width,depth,bscan, in the order of the file"
        )
    return between, depth, width


def _order(axes: tuple[str, ...]) -> tuple[int, int, int]:
    return axes.index("bscan"), axes.index("depth"), axes.index("width")


def _built(path: Path, scan: Scan) -> PlacedScan:
    depth, width = scan.spacing
    measured = (bool(np.isfinite(width)), bool(np.isfinite(depth)), False)
    sizes = [size if known else 1.0 for size, known in zip((width, depth, 1.0), measured, strict=True)]
    values = np.asarray(scan.values, dtype=np.float32)
    observed = np.isfinite(values)
    count, rows, columns = values.shape
    grid = VolumeGrid((columns, rows, count), lps_to_ras(np.diag([*sizes, 1.0])), measured)
    return PlacedScan(path, np.where(observed, values, np.float32(0)), observed, grid, (2, 1, 0))

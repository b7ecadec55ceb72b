"""Volumes brought to one orientation and spacing when they are read, and nothing of them before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from numpy.typing import NDArray

from segnoise.data.volume.orientation import grid_towards, reorient
from segnoise.data.volume.resample import Order, grid_at, resample
from segnoise.data.volume.volume import VolumeFile


@dataclass(frozen=True)
class Standard:
    """Where axes point and how large voxels are while a network looks; None as stored."""

    orientation: str | None = None
    spacing: tuple[float, float, float] | None = None

    def of(self, file: VolumeFile, order: Order) -> VolumeFile:
        """The file as it would be read from this grid; its values stay on disk.

        >>> import numpy as np
        >>> from pathlib import Path
        >>> from segnoise.data.volume.grid import VolumeGrid
        >>> voxels = np.arange(6).reshape(1, 1, 2, 3)
        >>> file = VolumeFile(Path("a.nii"), VolumeGrid((1, 2, 3), np.diag([-1.0, 1, 2, 1])), 1, lambda: voxels)
        >>> seen = Standard("RAS", (1.0, 1.0, 1.0)).of(file, order=0)
        >>> seen.grid.codes, seen.grid.shape, seen.values().shape
        ('RAS', (1, 2, 5), (1, 1, 2, 5))
        """
        grid = file.grid
        if self.orientation is not None:
            grid = grid_towards(grid, self.orientation)
        if self.spacing is not None:
            grid = grid_at(grid, self.spacing, file.path)
        if grid is file.grid:
            return file
        return replace(file, grid=grid, load=partial(_values, file, self.orientation, self.spacing, order))


AS_STORED = Standard()


def _values(file: VolumeFile, orientation: str | None, spacing: Sequence[float] | None, order: Order) -> NDArray[Any]:
    volume = file.read()
    if orientation is not None:
        volume = reorient(volume, orientation)
    if spacing is not None:
        volume = resample(volume, spacing, order)
    return volume.values

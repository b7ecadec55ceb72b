"""Volumes as sources that are read by window."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segnoise.data.volume.grid import VolumeGrid, describe_volume_grid, same_volume_grid
from segnoise.data.volume.held import Held
from segnoise.data.volume.reading import open_volume
from segnoise.data.volume.standard import AS_STORED, Standard
from segnoise.data.volume.volume import VolumeFile, volume_name
from segnoise.errors import UserError
from segnoise.windows import Window


class VolumeSource:
    """A volume of any format that ``read_volume`` knows, or several on one grid, whose channels come one after another.

    Values come raw as float32, ``C X Y Z``; a voxel is not observed beyond the volume and where a channel is NaN or
    infinite. The header is read at once, the values with the first window; volumes used lately stay in memory.

    Args:
        path: file, folder or ``FOLDER#SERIES_UID``; a list gives channels (not the slices of a series).
        series: which series of a DICOM folder.
        standard: orientation and spacing that the volume is brought to when it is read.

    Raises UserError as ``read_volume`` does, and for channels that do not share a grid, naming both.

    >>> import tempfile
    >>> from segnoise.data.volume.nifti import write_volume
    >>> path = Path(tempfile.mkdtemp()) / "mr.nii.gz"
    >>> voxels = np.array([[[1.0, np.nan, 3.0]]])
    >>> source = VolumeSource(write_volume(path, voxels, np.eye(4)))
    >>> values, observed = source.read(Window((0, 0, 1), (1, 1, 3)))
    >>> source.name, values.tolist(), observed.tolist()
    ('mr', [[[[0.0, 3.0, 0.0]]]], [[[False, True, False]]])
    """

    def __init__(
        self, path: str | Path | Sequence[str | Path], series: str | None = None, standard: Standard = AS_STORED
    ) -> None:
        paths = [path] if isinstance(path, str | Path) else list(path)
        if not paths:
            raise UserError("the list of channels is empty; give at least one volume")
        files = [standard.of(open_volume(name, series), order=1) for name in paths]
        first = files[0]
        for file in files[1:]:
            if not same_volume_grid(file.grid, first.grid):
                raise UserError(
                    f"{file.path}: not on the grid of {first.path}: {describe_volume_grid(file.grid)}, and "
                    f"{describe_volume_grid(first.grid)}; resample one onto the other"
                )
        self.path = first.path
        self.paths = tuple(file.path for file in files)
        self.name = volume_name(first.path)
        self.grid: VolumeGrid = first.grid
        self.shape: tuple[int, ...] = first.grid.shape
        self.channels = sum(file.channels for file in files)
        self._held = Held(partial(_values, tuple(files)))

    @property
    def affine(self) -> NDArray[np.float64]:
        """Voxel index to millimetres in RAS+."""
        return self.grid.affine

    @property
    def spacing(self) -> tuple[float, ...]:
        """Millimetres per voxel along each axis; nan where not known."""
        return self.grid.spacing

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        values = np.zeros((self.channels, *window.size), dtype=np.float32)
        observed = np.zeros(window.size, dtype=bool)
        inside = window.clip(self.shape)
        if all(inside.size):
            box: tuple[Any, ...] = (slice(None), *inside.slices)
            with np.errstate(over="ignore"):
                raw = np.concatenate([array[box].astype(np.float32) for array in self._held.get()])
            valid = np.isfinite(raw).all(axis=0)
            target = inside.within(window)
            values[(slice(None), *target)] = np.where(valid, raw, 0)
            observed[target] = valid
        return values, observed


def _values(files: tuple[VolumeFile, ...]) -> tuple[NDArray[Any], ...]:
    return tuple(file.values() for file in files)

"""Label volumes: class indices on the grid of their image."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from segnoise.data.raster import check_labels
from segnoise.data.sample import IGNORE_INDEX
from segnoise.data.source import cut
from segnoise.data.volume.grid import (
    VolumeGrid,
    describe_turn,
    describe_volume_grid,
    drift,
    same_volume_grid,
    turn_onto,
)
from segnoise.data.volume.held import Held
from segnoise.data.volume.reading import open_volume
from segnoise.data.volume.standard import AS_STORED, Standard
from segnoise.data.volume.volume import VolumeFile
from segnoise.errors import UserError
from segnoise.windows import Window


class _Placed(Protocol):
    @property
    def path(self) -> Path | None: ...
    @property
    def grid(self) -> VolumeGrid: ...


class VolumeLabels:
    """Class indices in a one-channel volume of any format that ``read_volume`` knows; whole numbers in floats count.

    255, NaN and ``ignore`` (where the files use another index for unknown) are unknown.

    Args:
        path: file, folder or ``FOLDER#SERIES_UID``.
        num_classes: indices run from 0 to one less; None allows up to 254.
        like: the image (``VolumeSource``, ``Volume``) on whose grid the labels must lie, to a thousandth of a voxel.
        ignore: an index that stands for unknown.
        standard: orientation and spacing that labels and image are brought to when they are read.

    Raises UserError for several channels and for another grid than ``like`` (naming both, and the flip or order of
    axes that would make them fit); when reading, for a fraction or an index outside the classes (naming the first and
    its voxel).

    >>> import tempfile
    >>> from segnoise.data.volume.nifti import write_volume
    >>> path = Path(tempfile.mkdtemp()) / "seg.nii.gz"
    >>> labels = VolumeLabels(write_volume(path, np.array([[[0, 1, 255]]]), np.eye(4)), num_classes=2)
    >>> labels.read(Window((0, 0, 1), (1, 1, 3))).tolist()
    [[[1, 255, 255]]]
    """

    def __init__(
        self,
        path: str | Path,
        num_classes: int | None = None,
        like: _Placed | None = None,
        ignore: int | None = None,
        standard: Standard = AS_STORED,
    ) -> None:
        file = standard.of(open_volume(path), order=0)
        self.path = file.path
        self.num_classes = num_classes
        self.grid = file.grid
        self.shape: tuple[int, ...] = file.grid.shape
        if file.channels != 1:
            raise UserError(f"{path}: has {file.channels} channels; labels are class indices in one channel")
        if like is not None and not same_volume_grid(file.grid, like.grid):
            raise UserError(
                f"{path}: not on the grid of its image {like.path}; labels: {describe_volume_grid(file.grid)}; image: "
                f"{describe_volume_grid(like.grid)}; {_how_to_fit(file.grid, like.grid)}"
            )
        self._held = Held(partial(_class_indices, file, num_classes, ignore))

    def read(self, window: Window) -> NDArray[np.int64]:
        return cut(self._held.get()[0], window, IGNORE_INDEX).astype(np.int64)

    def check(self) -> None:
        """Reads the whole file once, so that a wrong value is found before hours of training."""
        check_labels(self)


def _class_indices(file: VolumeFile, num_classes: int | None, ignore: int | None) -> tuple[NDArray[np.uint8]]:
    values = file.values()[0]
    known = np.isfinite(values) if values.dtype.kind == "f" else np.ones(values.shape, dtype=bool)
    for unknown in (IGNORE_INDEX, ignore):
        if unknown is not None:
            known &= values != unknown
    last = (num_classes if num_classes is not None else IGNORE_INDEX) - 1
    wrong = known & ((values < 0) | (values > last))
    if values.dtype.kind == "f":
        wrong |= known & (values != np.rint(values))
    if wrong.any():
        at = tuple(int(i) for i in np.unravel_index(np.argmax(wrong), values.shape))
        raise UserError(f"{file.path}: {_what_is_wrong(values[at], last, num_classes)} (voxel {at})")
    return (np.where(known, values, IGNORE_INDEX).astype(np.uint8),)


def _what_is_wrong(value: Any, last: int, num_classes: int | None) -> str:
    if value != np.rint(value):
        return f"label value {value:g} is not a whole number; give class indices"
    listed = f"the list of {num_classes} classes" if num_classes is not None else "the range of class indices"
    return (
        f"class value {value:g} is outside {listed} (0 to {last}, or {IGNORE_INDEX} for unknown); change the class "
        "list or the labels"
    )


def _how_to_fit(labels: VolumeGrid, image: VolumeGrid) -> str:
    turn = turn_onto(labels, image)
    if turn is not None:
        return (
            f"the labels fit the image {describe_turn(turn)}; bring both to one orientation "
            "(segnoise.data.volume.reorient)"
        )
    if labels.shape == image.shape:
        return f"the shapes agree but the corners are {drift(image, labels):.3g} voxels apart; was a header lost?"
    if sorted(labels.shape) == sorted(image.shape):
        return "the shapes agree in another order of axes; was an array of SimpleITK (z, y, x) saved untransposed?"
    return "resample the labels onto the image, by nearest neighbour (segnoise.data.volume.like)"

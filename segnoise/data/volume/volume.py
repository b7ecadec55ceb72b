"""The volume: values with the place of their voxels, and the way to and from MONAI's MetaTensor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from nibabel.orientations import io_orientation
from numpy.typing import NDArray

from segnoise.data.volume.grid import VolumeGrid, lps_to_ras
from segnoise.errors import UserError

if TYPE_CHECKING:
    from monai.data import MetaTensor


@dataclass(frozen=True, eq=False)
class Volume:
    """Values ``C X Y Z`` in the file's own data type, axes in the order of the affine's columns.

    ``affine`` (float64, 4 x 4) takes a voxel index to millimetres in RAS+, as in NIfTI. ``measured`` says for which
    axes the size of a voxel is known; along the others the affine takes 1 mm and ``spacing`` is nan.

    >>> volume = Volume(np.zeros((1, 4, 5, 6), dtype=np.uint16), np.diag([2.0, 2.0, 3.0, 1.0]))
    >>> volume.shape, volume.channels, volume.spacing
    ((4, 5, 6), 1, (2.0, 2.0, 3.0))
    """

    values: NDArray[Any]
    affine: NDArray[np.float64]
    path: Path | None = None
    measured: tuple[bool, bool, bool] = (True, True, True)

    def __post_init__(self) -> None:
        if self.values.ndim != 4 or self.affine.shape != (4, 4):
            raise ValueError(
                f"a volume is C X Y Z with a 4 x 4 affine, not {self.values.shape} and {self.affine.shape}"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        _, x, y, z = self.values.shape
        return (x, y, z)

    @property
    def channels(self) -> int:
        return int(self.values.shape[0])

    @property
    def grid(self) -> VolumeGrid:
        return VolumeGrid(self.shape, self.affine, self.measured)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres per voxel along each axis; nan where not known."""
        return self.grid.spacing

    def to_metatensor(self) -> MetaTensor:
        """MONAI's tensor, channel first, with the same values, data type, affine and path; ``volume_of`` undoes it."""
        import torch
        from monai.data import MetaTensor

        meta: dict[str, Any] = {"original_channel_dim": 0, "space": "RAS", "original_affine": self.affine.copy()}
        meta["measured"] = self.measured
        if self.path is not None:
            meta["filename_or_obj"] = str(self.path)
        values = np.array(self.values, order="C")
        return MetaTensor(torch.from_numpy(values), affine=torch.from_numpy(self.affine.copy()), meta=meta)


def volume_of(tensor: MetaTensor) -> Volume:
    """The volume in a MetaTensor ``C X Y Z`` or ``X Y Z``: values and affine unchanged.

    Raises UserError for a tensor without affine, or with any other number of axes.

    >>> volume = Volume(np.ones((1, 2, 3, 4), dtype=np.int16), np.diag([2.0, 2.0, 3.0, 1.0]), Path("a.nii"))
    >>> back = volume_of(volume.to_metatensor())
    >>> np.array_equal(back.values, volume.values), back.values.dtype, back.spacing, back.path.name
    (True, dtype('int16'), (2.0, 2.0, 3.0), 'a.nii')
    """
    meta = getattr(tensor, "meta", None)
    if meta is None:
        raise UserError(f"a {type(tensor).__name__} has no affine; give a monai.data.MetaTensor or a Volume")
    values = tensor.detach().cpu().as_tensor().numpy()
    affine = np.array(tensor.affine.detach().cpu(), dtype=np.float64)
    if values.ndim == 3:
        values = values[None]
    if values.ndim != 4 or affine.shape != (4, 4):
        raise UserError(
            f"a MetaTensor of shape {tuple(tensor.shape)} with an affine of shape {affine.shape} is no volume; give "
            "C X Y Z (EnsureChannelFirst) with a 4 x 4 affine"
        )
    if str(getattr(meta.get("space"), "value", meta.get("space"))) == "LPS":
        affine = lps_to_ras(affine)
    name = meta.get("filename_or_obj")
    path = Path(str(name)) if isinstance(name, str | Path) else None
    return Volume(values, affine, path, _measured(meta, affine))


def _measured(meta: dict[str, Any], affine: NDArray[np.float64]) -> tuple[bool, bool, bool]:
    """Which axes are measured, after what MONAI's transforms did to their order."""
    known = [bool(axis) for axis in meta.get("measured", (True, True, True))]
    if not all(known):
        turn = io_orientation(np.linalg.solve(affine, np.asarray(meta["original_affine"], dtype=np.float64)))
        known = [known[axis] for axis in np.argsort(turn[:, 0])]
    return (known[0], known[1], known[2])


@dataclass(frozen=True, eq=False)
class VolumeFile:
    """A volume of which the grid is known and the values ``C X Y Z`` are still on disk.

    Raises UserError when an axis is empty or the affine gives voxels of no size.
    """

    path: Path
    grid: VolumeGrid
    channels: int
    load: Callable[[], NDArray[Any]]

    def __post_init__(self) -> None:
        if 0 in self.grid.shape or self.channels == 0:
            raise UserError(f"{self.path}: is empty, its shape is {self.grid.shape}; copy it again")
        affine = self.grid.affine
        sizes = np.linalg.norm(affine[:3, :3], axis=0)
        if not np.isfinite(affine).all() or not sizes.all() or abs(np.linalg.det(affine[:3, :3] / sizes)) < 1e-6:
            listed = ", ".join(f"{size:g}" for size in sizes)
            raise UserError(
                f"{self.path}: its affine gives voxels of no volume (spacing {listed} mm); repair the header"
            )

    def values(self) -> NDArray[Any]:
        """Reads the values; UserError when the file is damaged or no longer what it was."""
        values = self.load()
        if values.shape != (self.channels, *self.grid.shape):
            raise UserError(
                f"{self.path}: is now {values.shape}, was {(self.channels, *self.grid.shape)} when it was opened; "
                "leave files alone while they are in use"
            )
        if values.dtype.kind == "f" and values.dtype.itemsize not in (4, 8):
            # Neither scipy nor torch computes with 16 or 128 bits everywhere.
            values = values.astype(np.float32 if values.dtype.itemsize == 2 else np.float64)
        return values

    def read(self) -> Volume:
        return Volume(self.values(), self.grid.affine, self.path, self.grid.measured)


def volume_name(path: Path) -> str:
    """What a volume is called: its file name without ``.nii.gz`` or other ending, its folder, the series in it.

    >>> [volume_name(Path(p)) for p in ("a/case.1.nii.gz", "b.mha", "c/ct.axial#1.2.3")]
    ['case.1', 'b', 'ct.axial_1.2.3']
    """
    folder, mark, series = path.name.rpartition("#")
    if mark:
        return f"{folder}_{series}"
    if path.is_dir():
        return path.name
    return path.name[: -len(".nii.gz")] if path.name.lower().endswith(".nii.gz") else path.stem

"""RETOUCH: MetaImage volumes of three vendors with intra- and subretinal fluid and detachments, read by part."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segnoise.data.classvalues import class_indices
from segnoise.data.item import Item
from segnoise.data.pairing import natural_key
from segnoise.data.sample import IGNORE_INDEX
from segnoise.errors import UserError
from segnoise.windows import Window

CLASSES = ("background", "IRF", "SRF", "PED")

_VENDOR_BY_DEPTH = {496: "Spectralis", 1024: "Cirrus", 885: "Topcon", 650: "Topcon"}


@dataclass(frozen=True)
class _Grid:
    """A MetaImage volume, or its B-scan ``number``; only what a window needs is read from the file.

    The volume's axes are the file's: width, depth, B-scan. Those of a B-scan are rows (depth), columns (width).
    """

    path: Path
    size: tuple[int, ...]
    step: tuple[float, ...]
    number: int | None = None

    @classmethod
    def open(cls, path: Path) -> _Grid:
        reader = _reader(path)
        try:
            reader.ReadImageInformation()
        except RuntimeError as error:
            raise UserError(f"{path}: not a MetaImage header that can be read; copy it again") from error
        if reader.GetDimension() != 3 or reader.GetNumberOfComponents() != 1:
            raise UserError(f"{path}: {reader.GetDimension()} axes; expected a grey volume of three")
        return cls(path, tuple(reader.GetSize()), tuple(reader.GetSpacing()))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.size if self.number is None else (self.size[1], self.size[0])

    @property
    def spacing(self) -> tuple[float, ...]:
        return self.step if self.number is None else (self.step[1], self.step[0])

    def cut(self, inside: Window) -> NDArray[Any]:
        """The values in a window that lies inside, in the file's own type."""
        start, size = inside.start, inside.size
        if self.number is not None:
            start, size = (start[1], start[0], self.number), (size[1], size[0], 1)
        reader = _reader(self.path)
        reader.SetExtractIndex([int(a) for a in start])
        reader.SetExtractSize([int(n) for n in size])
        try:
            image = reader.Execute()
        except RuntimeError as error:
            raise UserError(f"{self.path}: its .raw file is missing or cut short; copy both again") from error
        block = importlib.import_module("SimpleITK").GetArrayFromImage(image).transpose(2, 1, 0)
        return block if self.number is None else block[:, :, 0].T


class MetaImageSource:
    """A RETOUCH volume or B-scan: one channel of the file's own values (uint16 is not reduced to 8 bits)."""

    channels = 1

    def __init__(self, grid: _Grid, name: str) -> None:
        self.grid, self.name, self.path = grid, name, grid.path
        self.shape, self.spacing = grid.shape, grid.spacing

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        values = np.zeros((1, *window.size), dtype=np.float32)
        observed = np.zeros(window.size, dtype=bool)
        inside = window.clip(self.shape)
        if all(inside.size):
            target = inside.within(window)
            values[0][target] = self.grid.cut(inside)
            observed[target] = True
        return values, observed


class MetaImageLabels:
    """The reference of a RETOUCH volume or B-scan: 0 background, 1 IRF, 2 SRF, 3 PED; others are a UserError."""

    def __init__(self, grid: _Grid) -> None:
        self.grid, self.path, self.shape = grid, grid.path, grid.shape

    def read(self, window: Window) -> NDArray[np.int64]:
        labels = np.full(window.size, IGNORE_INDEX, dtype=np.int64)
        inside = window.clip(self.shape)
        if all(inside.size):
            values = self.grid.cut(inside)
            known = np.ones(values.shape, dtype=bool)
            labels[inside.within(window)] = class_indices(values, known, len(CLASSES), self.path)
        return labels


def read_retouch(folder: str | Path, slices: bool = True) -> tuple[list[str], list[Item]]:
    """The cases below a folder (``.../TRAINxxx/{oct,reference}.mhd``): their B-scans, or whole volumes.

    Items are called ``<vendor>/<case>`` (then ``/<B-scan>``); the vendor is that of a folder's name, else by the number
    of rows. The group is the case. A B-scan is ``rows columns`` with (depth, width) in mm; a volume ``width depth
    B-scan``, the order of the file's axes. A case without a reference (the test set) has no labels.

    Data: Bogunović et al., "RETOUCH: The Retinal OCT Fluid Detection and Segmentation Benchmark and Challenge", IEEE
    TMI 38 (2019). Needs SimpleITK.

    Raises UserError where there is no case, a header cannot be read or a reference is of another size; and when
    reading, for a missing or short ``.raw`` and for values that are no class.
    """
    paths = sorted(Path(folder).rglob("oct.mhd"), key=natural_key)
    if not paths:
        raise UserError(f"{folder}: no oct.mhd below; give the folder that holds TRAIN001, TRAIN002, ...")
    items: list[Item] = []
    for path in paths:
        items += _case(path, path.parent.relative_to(folder).parts or (path.parent.resolve().name,), slices)
    names = [item.name for item in items]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{folder}: two cases are called {twice}; give one copy of the set")
    return list(CLASSES), items


def _case(path: Path, folders: tuple[str, ...], slices: bool) -> list[Item]:
    volume = _Grid.open(path)
    reference = path.with_name("reference.mhd")
    labels = _Grid.open(reference) if reference.exists() else None
    if labels is not None and labels.size != volume.size:
        raise UserError(f"{reference}: of size {labels.size}, but its image is {volume.size}; copy the case again")
    case = folders[-1]
    name = f"{_vendor(folders, volume.size[1])}/{case}"
    split = next((s for s in ("train", "test") if case.lower().startswith(s)), None)
    if not slices:
        return [_item(volume, labels, name, case, split)]
    digits = len(str(volume.size[2] - 1))
    return [
        _item(
            replace(volume, number=k),
            replace(labels, number=k) if labels is not None else None,
            f"{name}/{k:0{digits}d}",
            case,
            split,
        )
        for k in range(volume.size[2])
    ]


def _item(grid: _Grid, labels: _Grid | None, name: str, case: str, split: str | None) -> Item:
    given = MetaImageLabels(labels) if labels is not None else None
    return Item(name, MetaImageSource(grid, name), given, group=case, split=split)


def _vendor(folders: tuple[str, ...], rows: int) -> str:
    path = "/".join(folders).lower()
    named = (vendor for vendor in dict.fromkeys(_VENDOR_BY_DEPTH.values()) if vendor.lower() in path)
    return next(named, _VENDOR_BY_DEPTH.get(rows, "unknown"))


def _reader(path: Path) -> Any:
    try:
        sitk = importlib.import_module("SimpleITK")
    except ImportError as error:
        raise UserError(f"{path}: MetaImage needs SimpleITK; pip install segnoise[medical]") from error
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    return reader

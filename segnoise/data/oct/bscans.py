"""B-scans in folders of images with masks, and one B-scan file that is opened when first read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segnoise.data.image import ImageLabels, ImageSource
from segnoise.data.item import Item
from segnoise.data.pairing import RASTER_SUFFIXES, natural_key
from segnoise.errors import UserError
from segnoise.windows import Window


class BScanFile:
    """A B-scan in an image file: one channel (the mean of a colour file's three), ``rows columns``.

    ``spacing`` is the depth and the width of a pixel in mm, nan where not known. The file is opened at the first use
    of ``shape`` or ``read``; both raise UserError as ``ImageSource`` does.
    """

    channels = 1

    def __init__(self, path: str | Path, spacing: Sequence[float] | None = None) -> None:
        self.path = Path(path)
        self.name = self.path.stem
        self.spacing = tuple(spacing) if spacing is not None else (float("nan"),) * 2

    @cached_property
    def image(self) -> ImageSource:
        """The file, opened."""
        return ImageSource(self.path)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.image.shape

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        values, observed = self.image.read(window)
        return values.mean(axis=0, keepdims=True, dtype=np.float32), observed


def slice_number(stem: str) -> int:
    """The number a slice's file name ends in; -1 where it holds none.

    >>> slice_number("TREX_000010"), slice_number("9"), slice_number("p3 scan 12a"), slice_number("fovea")
    (10, 9, 12, -1)
    """
    runs = re.findall(r"\d+", stem)
    return int(runs[-1]) if runs else -1


def read_bscans(
    folder: str | Path,
    classes: Sequence[str],
    images: str = "images",
    masks: str = "masks",
    spacing: Sequence[float] | None = None,
) -> tuple[list[str], list[Item]]:
    """B-scans in folders called ``images`` at any depth, masks of class indices under the same names in ``masks``.

    ``images/<volume>/<slice>.png`` with ``masks/<volume>/<slice>.png``, ``<volume>/images/<slice>.png`` with
    ``<volume>/masks/<slice>.png``, and one flat folder, which is one volume, are all read. Slices come in the order of
    the number their names end in. The group is the volume: the folders above the slice. A B-scan without a mask has
    no labels, as most of a volume does where every tenth slice is labelled. ``spacing`` is the depth and the width of
    a pixel in mm.

    Raises UserError where there is no image or no mask at all, for a mask without an image, two files of one name, a
    mask of another size and, when reading, for a class outside the list.
    """
    root = Path(folder)
    found = _by_name(root, images)
    if not found:
        raise UserError(f"{folder}: no image under a folder called {images!r}; say what the folder is called")
    given = _by_name(root, masks)
    if not given:
        raise UserError(f"{folder}: no mask under a folder called {masks!r}; say what the folder is called")
    for name, path in given.items():
        if name not in found:
            raise UserError(f"{path}: no image of this name under {images!r}; masks carry their images' names")
    items = []
    for name in sorted(found, key=_order):
        source = BScanFile(found[name], spacing)
        labels = ImageLabels(given[name], len(classes), like=source.image) if name in given else None
        group = "/".join(name[:-1]) or root.resolve().name
        items.append(Item(f"{group}/{name[-1]}", source, labels, group=group))
    return list(classes), items


_Name = tuple[str, ...]


def _by_name(root: Path, kind: str) -> dict[_Name, Path]:
    """Files below folders of one kind, by their path without that folder and without the suffix."""
    found: dict[_Name, Path] = {}
    for path in root.rglob("*"):
        folders = path.relative_to(root).parts[:-1]
        if kind not in folders or path.suffix.lower() not in RASTER_SUFFIXES or path.is_dir():
            continue
        at = folders.index(kind)
        name = (*folders[:at], *folders[at + 1 :], path.stem)
        if name in found:
            raise UserError(f"{path}: has the name of {found[name]}; keep one of the two")
        found[name] = path
    return found


def _order(name: _Name) -> tuple[object, ...]:
    return natural_key("/".join(name[:-1])), slice_number(name[-1]), natural_key(name[-1])

"""The round field of view of fundus photographs: found in the image or given as a mask; nothing counts outside it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from segnoise.data.image import ImageLabels, ImageSource
from segnoise.data.rasterfile import RasterFile
from segnoise.data.sample import IGNORE_INDEX
from segnoise.data.source import cut
from segnoise.errors import UserError
from segnoise.windows import Window

# What black and white masks hold: a one-bit PNG is read as 0 and 1.
BLACK_AND_WHITE = {0: 0, 1: 1, 255: 1}

_DARK = 0.08
"""The black around the disc is below this share of the image's bright end, the retina's darkest rim above it."""


def field_of_view(image: NDArray[Any]) -> NDArray[np.bool_]:
    """The disc ``H W`` of a fundus photograph ``C H W`` on black: the largest bright piece, its holes filled.

    Bright is above 8 % of the 99th percentile of the brightest channel.

    >>> image = np.zeros((3, 5, 5))
    >>> image[0, 1:4, 1:4] = [[90, 80, 90], [80, 0, 80], [90, 80, 90]]
    >>> field_of_view(image).sum()
    np.int64(9)
    """
    from scipy import ndimage

    brightness = np.asarray(image).max(axis=0)
    pieces, count = ndimage.label(brightness > _DARK * np.percentile(brightness, 99))
    if count == 0:
        return np.zeros(brightness.shape, dtype=bool)
    largest = np.bincount(pieces.ravel())[1:].argmax() + 1
    return ndimage.binary_fill_holes(pieces == largest)


class MaskFile:
    """A mask whose grey values stand for classes by a table, never by a threshold.

    The values are those an image viewer shows (a palette is applied). Raises UserError for a mask of another size than
    ``like``, of 16 bits or in colours and, when reading, for a value outside the table.
    """

    def __init__(self, path: Path, table: Mapping[int, int], like: ImageSource) -> None:
        self._file = RasterFile(path)
        info = self._file.info
        self.path, self.shape = path, info.shape
        self._table = dict(table)
        self._grey = np.arange(256)
        if info.palette is not None:
            for index, colour in info.palette.items():
                self._grey[index] = colour[0] if len(set(colour[:3])) == 1 else -1
        if set(info.dtypes) != {"uint8"} or len(info.bands) not in (1, 3):
            raise UserError(f"{path}: {len(info.bands)} bands of {info.dtypes[0]}; a mask is one 8-bit grey image")
        if self.shape != like.shape:
            sizes = [f"{shape[0]} x {shape[1]} px" for shape in (self.shape, like.shape)]
            raise UserError(f"{path}: the mask is {sizes[0]} but its image {like.path} is {sizes[1]}")

    def read(self, window: Window) -> NDArray[np.int64]:
        labels = np.full(window.size, IGNORE_INDEX, dtype=np.int64)
        inside = window.clip(self.shape)
        if all(inside.size):
            bands, _ = self._file.read(self._file.info.bands, inside)
            grey = np.where((bands == bands[0]).all(axis=0), self._grey[bands[0]], -1)
            labels[inside.within(window)] = self._classes(grey)
        return labels

    def _classes(self, grey: NDArray[Any]) -> NDArray[np.int64]:
        lookup = np.full(257, -1)  # the last entry is for -1, a colour
        for value, label in self._table.items():
            lookup[value] = label
        labels = lookup[grey]
        if (labels < 0).any():
            value = grey[labels < 0][0]
            what = f"value {value}" if value >= 0 else "a colour"
            known = ", ".join(f"{v} (class {k})" for v, k in self._table.items())
            raise UserError(f"{self.path}: {what} is none of {known}; correct the mask, no threshold is applied")
        return labels


class FieldOfView(Protocol):
    """Where a photograph shows the eye: true ``*size``, false outside the image."""

    def read(self, window: Window) -> NDArray[np.bool_]: ...


class GivenFieldOfView:
    """The field of view as a black and white mask file."""

    def __init__(self, path: Path, like: ImageSource) -> None:
        self._mask = MaskFile(path, BLACK_AND_WHITE, like)

    def read(self, window: Window) -> NDArray[np.bool_]:
        return self._mask.read(window) == 1


class FoundFieldOfView:
    """The field of view as ``field_of_view`` finds it in the whole image, when first needed."""

    def __init__(self, image: ImageSource) -> None:
        self._path = image.path

    def read(self, window: Window) -> NDArray[np.bool_]:
        return cut(_found(self._path), window, False)


@lru_cache(maxsize=64)
def _found(path: Path) -> NDArray[np.bool_]:
    image = ImageSource(path)
    return field_of_view(image.read(Window((0, 0), image.shape))[0])


class SeenImage:
    """An image of which only the field of view is observed."""

    def __init__(self, image: ImageSource, view: FieldOfView) -> None:
        self._image, self._view = image, view
        self.path, self.name, self.shape = image.path, image.name, image.shape
        self.channels, self.spacing = image.channels, image.spacing

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        values, observed = self._image.read(window)
        observed &= self._view.read(window)
        return np.where(observed, values, np.float32(0)), observed


class SeenLabels:
    """Labels that are unknown outside the field of view."""

    def __init__(self, labels: MaskFile | ImageLabels, view: FieldOfView) -> None:
        self._labels, self._view = labels, view
        self.path, self.shape = labels.path, labels.shape

    def read(self, window: Window) -> NDArray[np.int64]:
        return np.where(self._view.read(window), self._labels.read(window), np.int64(IGNORE_INDEX))

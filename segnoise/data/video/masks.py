"""How the mask of a frame says its classes: indices, grey values or colours by a table, JPEG, a file an instrument."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segnoise.data.fieldofview import MaskFile
from segnoise.data.image import ImageLabels
from segnoise.data.raster import RasterLabels, RasterSource
from segnoise.data.rasterfile import RasterFile
from segnoise.data.sample import IGNORE_INDEX
from segnoise.data.source import Labels, Source
from segnoise.data.video.sequence import called
from segnoise.errors import UserError, nearest
from segnoise.windows import Window

Colour = tuple[int, int, int]
Code = Literal["indices", "values", "colours", "threshold"]
Decoder = Callable[[Path, Source], Labels]
"""From a mask file and the frame that it belongs to, to labels."""

_THRESHOLD = 127
_NOT_CLASSES = "unknown"


def mask_decoder(
    code: Code,
    classes: Sequence[str],
    values: Mapping[int, int] | None = None,
    colours: Mapping[str, Colour | Sequence[Colour]] | None = None,
) -> Decoder:
    """The reader of masks of one kind; nothing is guessed from what a mask holds.

    - ``indices``: class indices in one band, 255 unknown; a palette gives its indices, not its colours. Masks of
      georeferenced frames must lie on their grid.
    - ``values``: grey values by a table, such as ``{0: 0, 255: 1}``; 255 on the right is unknown.
    - ``colours``: RGB, or RGBA whose alpha is left aside, by a table from names of classes (and ``unknown``) to one
      colour or several.
    - ``threshold``: two classes; grey above 127 is the second, as in masks that were kept as JPEG.

    Raises UserError for a table that is missing or names other classes; the reader for a mask of another size than its
    frame, and when reading for a value or colour that is not in the table, naming it and the file.
    """
    count = len(classes)
    if code == "indices":
        return lambda path, frame: _indices(path, count, frame)
    if code == "threshold":
        if count != 2:
            raise UserError(f"data.masks: threshold tells 2 classes apart, not {count}; use values or colours")
        return ThresholdMask
    if code == "values":
        known = {*range(count), IGNORE_INDEX}
        if not values or not all(0 <= v <= 255 and k in known for v, k in values.items()):
            raise UserError(f"data.values: give grey values (0 to 255) with classes 0 to {count - 1}, not {values}")
        return lambda path, frame: MaskFile(path, values, frame)  # type: ignore[arg-type]
    table = colour_table(classes, colours or {})
    return lambda path, frame: ColourMask(path, table, classes, frame)


def colour_table(classes: Sequence[str], colours: Mapping[str, Colour | Sequence[Colour]]) -> dict[Colour, int]:
    """Which colour is which class.

    >>> colour_table(["tissue", "tool"], {"tissue": (0, 0, 0), "tool": [(0, 255, 0), (9, 9, 9)]})
    {(0, 0, 0): 0, (0, 255, 0): 1, (9, 9, 9): 1}

    Raises UserError for no colour, an unknown class and a colour given twice.
    """
    if not colours:
        raise UserError("data.colours: give the colours of the classes, such as {tool: [0, 255, 0]}")
    table: dict[Colour, int] = {}
    for name, given in colours.items():
        if name not in classes and name != _NOT_CLASSES:
            raise UserError(f"data.colours: there is no class {name!r}; {nearest(name, [*classes, _NOT_CLASSES])}")
        for colour in _each(given):
            if colour in table:
                raise UserError(f"data.colours: {colour} stands for two classes; give each colour once")
            table[colour] = classes.index(name) if name in classes else IGNORE_INDEX
    return table


def _each(given: Colour | Sequence[Colour]) -> list[Colour]:
    several: Sequence[Any] = [given] if isinstance(given[0], int) else given
    return [(int(r), int(g), int(b)) for r, g, b in several]


def _indices(path: Path, count: int, frame: Source) -> Labels:
    if isinstance(frame, RasterSource) and frame.geobox is not None:
        return RasterLabels(path, count, like=frame)
    return ImageLabels(path, count, like=frame)  # type: ignore[arg-type]


class _MaskOfFrame(ABC):
    """A mask file of the size of its frame."""

    def __init__(self, path: Path, frame: Source) -> None:
        self._file = RasterFile(path)
        self.path, self.shape = path, self._file.info.shape
        if tuple(self.shape) != tuple(frame.shape):
            sizes = [f"{shape[0]} x {shape[1]} px" for shape in (self.shape, frame.shape)]
            raise UserError(
                f"{path}: the mask is {sizes[0]} but its frame {called(frame)} is {sizes[1]}; give a mask of the same "
                "size"
            )
        if set(self._file.info.dtypes) != {"uint8"}:
            raise UserError(f"{path}: holds {self._file.info.dtypes[0]}; give a mask of 8 bits")

    def read(self, window: Window) -> NDArray[np.int64]:
        labels = np.full(window.size, IGNORE_INDEX, dtype=np.int64)
        inside = window.clip(self.shape)
        if all(inside.size):
            raw, _ = self._file.read(self._file.info.bands, inside)
            labels[inside.within(window)] = self._classes(self._shown(raw))
        return labels

    def _shown(self, raw: NDArray[Any]) -> NDArray[Any]:
        """The bands that an image viewer shows."""
        palette = self._file.info.palette
        if palette is None:
            return raw
        colours = np.zeros((256, 3), dtype=np.uint8)
        for index, colour in palette.items():
            colours[index] = colour[:3]
        return np.moveaxis(colours[raw[0]], -1, 0)

    @abstractmethod
    def _classes(self, bands: NDArray[Any]) -> NDArray[Any]:
        """Class indices of the bands that a viewer shows, 255 where there is none."""


class ThresholdMask(_MaskOfFrame):
    """Grey (the mean of the bands) above 127 is class 1, else class 0."""

    def _classes(self, bands: NDArray[Any]) -> NDArray[Any]:
        return (bands.astype(np.float32).mean(axis=0) > _THRESHOLD).astype(np.int64)


class ColourMask(_MaskOfFrame):
    """Colours by a table; three channels are compared, whatever alpha says."""

    def __init__(self, path: Path, table: Mapping[Colour, int], classes: Sequence[str], frame: Source) -> None:
        super().__init__(path, frame)
        if self._file.info.palette is None and len(self._file.info.bands) != 3:
            raise UserError(f"{path}: has {len(self._file.info.bands)} bands; colours need red, green and blue")
        ordered = sorted((_number(*colour), label, colour) for colour, label in table.items())
        self._numbers = np.array([number for number, *_ in ordered])
        self._labels = np.array([label for _, label, _ in ordered])
        self._known = [f"{colour} {_of(classes, label)}" for _, label, colour in ordered]

    def _classes(self, bands: NDArray[Any]) -> NDArray[Any]:
        seen = _number(*bands[:3].astype(np.int64))
        at = np.searchsorted(self._numbers, seen).clip(0, len(self._numbers) - 1)
        strange = self._numbers[at] != seen
        if strange.any():
            number = int(seen[strange][0])
            colour = (number >> 16, number >> 8 & 255, number & 255)
            raise UserError(
                f"{self.path}: the colour {colour} stands for no class; known: {', '.join(self._known)}; correct the "
                "mask or the table"
            )
        return self._labels[at]


def _number(red: Any, green: Any, blue: Any) -> Any:
    return red << 16 | green << 8 | blue


def _of(classes: Sequence[str], label: int) -> str:
    return classes[label] if label < len(classes) else _NOT_CLASSES

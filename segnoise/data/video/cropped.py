"""A box of a frame and of its labels, where a set keeps a border that shows nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segnoise.data.sample import IGNORE_INDEX
from segnoise.data.source import Labels, Source, cut
from segnoise.windows import Window


class CroppedSource:
    """The part of a 2-D source in a box, as a source of its own.

    >>> from segnoise.data.source import ArraySource
    >>> part = CroppedSource(ArraySource(np.arange(6.0).reshape(1, 2, 3)), Window((0, 1), (2, 2)))
    >>> part.read(Window((0, 0), (1, 2)))[0].tolist()
    [[[1.0, 2.0]]]
    """

    def __init__(self, whole: Source, box: Window) -> None:
        self.whole, self.box = whole, box
        self.name, self.channels, self.spacing, self.shape = whole.name, whole.channels, whole.spacing, box.size
        self.path = getattr(whole, "path", None)
        self.dtype = getattr(whole, "dtype", "float32")

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        values, observed = self.whole.read(self.box)
        return cut(values, window, 0), cut(observed, window, False)


class CroppedLabels:
    """The part of 2-D labels in a box."""

    def __init__(self, whole: Labels, box: Window) -> None:
        self._whole, self._box, self.shape = whole, box, box.size
        self.path: Path | None = getattr(whole, "path", None)

    def read(self, window: Window) -> NDArray[np.int64]:
        return cut(self._whole.read(self._box), window, IGNORE_INDEX)

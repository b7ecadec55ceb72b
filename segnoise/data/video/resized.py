"""Frames and their labels at another size: images averaged over what a pixel covers, labels by the nearest one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segnoise.data.sample import IGNORE_INDEX
from segnoise.data.source import Labels, Source, cut
from segnoise.windows import Window

Size = tuple[int, int]
"""Rows and columns."""


class ResizedSource:
    """A 2-D source of another size: bilinear, over the whole of what a pixel covers where it shrinks (antialiased).

    A pixel is observed where more than half of its weight falls on observed pixels, and is the mean of those.

    >>> from segnoise.data.source import ArraySource
    >>> image = ArraySource(np.array([[[0.0, 2.0], [4.0, 6.0]]]), spacing=(1, 1))
    >>> small = ResizedSource(image, (1, 1))
    >>> small.read(Window((0, 0), (1, 1)))[0].tolist(), small.spacing
    ([[[3.0]]], (2.0, 2.0))
    """

    def __init__(self, whole: Source, size: Size) -> None:
        self.whole, self.shape = whole, tuple(size)
        self.name, self.channels = whole.name, whole.channels
        self.path = getattr(whole, "path", None)
        self.spacing = tuple(s * n / m for s, n, m in zip(whole.spacing, whole.shape, self.shape, strict=True))

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        values, seen = self.whole.read(Window((0, 0), tuple(self.whole.shape)))
        small = np.stack([_averaged(band, self.shape) for band in values])
        observed = np.ones(self.shape, dtype=bool)
        if not seen.all():
            share = _averaged(seen.astype(np.float32), self.shape)
            observed = share > 0.5
            small = np.where(observed, small / np.maximum(share, np.float32(0.5)), np.float32(0))
        return cut(small, window, 0), cut(observed, window, False)


class ResizedLabels:
    """2-D labels of another size: each pixel takes the label at its centre, so that no class is invented.

    >>> from segnoise.data.source import ArrayLabels
    >>> labels = ResizedLabels(ArrayLabels(np.array([[0, 3], [0, 3]], np.uint8)), (1, 4))
    >>> labels.read(Window((0, 0), (1, 4))).tolist()
    [[0, 0, 3, 3]]
    """

    def __init__(self, whole: Labels, size: Size) -> None:
        self._whole, self.shape = whole, tuple(size)
        self.path: Path | None = getattr(whole, "path", None)

    def read(self, window: Window) -> NDArray[np.int64]:
        labels = self._whole.read(Window((0, 0), tuple(self._whole.shape))).astype(np.uint8)
        rows, columns = (
            ((np.arange(n) + 0.5) * whole / n).astype(int)
            for n, whole in zip(self.shape, self._whole.shape, strict=True)
        )
        return cut(labels[np.ix_(rows, columns)], window, IGNORE_INDEX).astype(np.int64)


def _averaged(band: NDArray[Any], size: tuple[int, ...]) -> NDArray[np.float32]:
    """Computed by Pillow: torch would split the sums over threads, so that a worker differed in the last bit."""
    picture = Image.fromarray(np.ascontiguousarray(band, dtype=np.float32))
    return np.asarray(picture.resize((size[1], size[0]), Image.Resampling.BILINEAR))

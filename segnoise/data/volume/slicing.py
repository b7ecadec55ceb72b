"""Volumes as stacks of 2-D images, with neighbouring slices as further channels where wanted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segnoise.data.source import Labels, Source
from segnoise.windows import Window


class SliceSource:
    """Slice ``index`` of a volume along an axis, ``C' H W`` with the axes left in their order.

    The channels are those of slices ``index - neighbours`` to ``index + neighbours``, one after another; beyond the
    ends the last slice is repeated. A pixel is observed where it is in the slice itself.

    >>> from segnoise.data.source import ArraySource
    >>> volume = ArraySource(np.arange(12.0).reshape(1, 2, 2, 3), spacing=(1, 1, 5), name="mr")
    >>> cut = SliceSource(volume, axis=2, index=0, neighbours=1)
    >>> values, _ = cut.read(Window((0, 0), (1, 2)))
    >>> cut.name, cut.channels, cut.spacing, values[:, 0].tolist()
    ('mr/000', 3, (1, 1), [[0.0, 3.0], [0.0, 3.0], [1.0, 4.0]])
    """

    def __init__(self, volume: Source, axis: int, index: int, neighbours: int = 0) -> None:
        self.volume, self.axis, self.index, self._neighbours = volume, axis, index, neighbours
        self.path = getattr(volume, "path", None)
        self.name = slice_name(volume.name, index)
        self.shape = _without(volume.shape, axis)
        self.channels = volume.channels * (2 * neighbours + 1)
        self.spacing = _without(volume.spacing, axis)

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        last = self.volume.shape[self.axis] - 1
        wanted = [min(max(self.index + k, 0), last) for k in range(-self._neighbours, self._neighbours + 1)]
        first, count = min(wanted), max(wanted) - min(wanted) + 1
        values, observed = self.volume.read(_into(window, self.axis, first, count))
        cut = [np.take(values, k - first, axis=1 + self.axis) for k in wanted]
        return np.concatenate(cut), np.take(observed, self.index - first, axis=self.axis)


class SliceLabels:
    """The labels of one slice of a volume."""

    def __init__(self, volume: Labels, axis: int, index: int) -> None:
        self._volume, self._axis, self._index = volume, axis, index
        self.shape = _without(volume.shape, axis)

    def read(self, window: Window) -> NDArray[np.int64]:
        return np.take(self._volume.read(_into(window, self._axis, self._index, 1)), 0, axis=self._axis)


def slice_name(volume: str, index: int) -> str:
    """The name of a slice: that of its volume, a slash, its number."""
    return f"{volume}/{index:03d}"


def _without(values: tuple, axis: int) -> tuple:  # type: ignore[type-arg]
    return values[:axis] + values[axis + 1 :]


def _into(window: Window, axis: int, first: int, count: int) -> Window:
    start, size = list(window.start), list(window.size)
    start.insert(axis, first)
    size.insert(axis, count)
    return Window(tuple(start), tuple(size))

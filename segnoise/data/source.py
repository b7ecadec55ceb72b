"""What every reader looks like to the rest of the house, and the readers of arrays already in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from segnoise.data.sample import IGNORE_INDEX
from segnoise.windows import Window


class Source(Protocol):
    """An image of any size that is read by window: a scene, a photograph, a volume, a sequence."""

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def channels(self) -> int: ...
    @property
    def spacing(self) -> tuple[float, ...]:
        """Metres or millimetres per pixel along each axis; nan where unknown."""

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Raw values ``C *size`` (0 where not observed, always finite) and ``observed`` ``*size``."""


class Labels(Protocol):
    """A label raster that is read by window."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def read(self, window: Window) -> NDArray[np.int64]:
        """Class indices ``*size``, 255 where unknown or outside."""


def cut(array: NDArray[Any], window: Window, fill: float) -> NDArray[Any]:
    """The window of an array whose last axes are the grid, with ``fill`` outside.

    >>> cut(np.arange(6).reshape(2, 3), Window((1, 2), (2, 2)), -1)
    array([[ 5, -1],
           [-1, -1]])
    """
    n = len(window.size)
    inside = window.clip(array.shape[-n:])
    whole = np.full((*array.shape[:-n], *window.size), fill, dtype=array.dtype)
    target: tuple[Any, ...] = (..., *inside.within(window))
    source: tuple[Any, ...] = (..., *inside.slices)
    whole[target] = array[source]
    return whole


@dataclass(frozen=True)
class SourceView:
    """Another source seen otherwise; what is not said anew is that of the whole."""

    whole: Source

    @property
    def name(self) -> str:
        return self.whole.name

    @property
    def shape(self) -> tuple[int, ...]:
        return self.whole.shape

    @property
    def channels(self) -> int:
        return self.whole.channels

    @property
    def spacing(self) -> tuple[float, ...]:
        return self.whole.spacing

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        return self.whole.read(window)


class ArraySource:
    """A source over an array ``C *S``; non-finite values are not observed."""

    def __init__(
        self,
        array: NDArray[Any],
        spacing: Sequence[float] | None = None,
        name: str = "array",
        observed: NDArray[np.bool_] | None = None,
    ) -> None:
        finite = np.isfinite(array).all(axis=0)
        self._observed = finite if observed is None else finite & observed
        self._array = np.where(self._observed, array, 0).astype(np.float32)
        self.name = name
        self.shape = tuple(array.shape[1:])
        self.channels = int(array.shape[0])
        self.spacing = tuple(spacing) if spacing is not None else (float("nan"),) * len(self.shape)

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        return cut(self._array, window, 0), cut(self._observed, window, False)


class ArrayLabels:
    """Labels over an integer array ``*S``."""

    def __init__(self, array: NDArray[Any]) -> None:
        if not np.issubdtype(array.dtype, np.integer):
            raise ValueError(f"labels must be integers, not {array.dtype}")
        self._array = array if array.dtype != np.int8 else array.astype(np.int16)
        self.shape = tuple(self._array.shape)

    def read(self, window: Window) -> NDArray[np.int64]:
        return cut(self._array, window, IGNORE_INDEX).astype(np.int64)

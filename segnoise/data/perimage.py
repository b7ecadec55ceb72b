"""Images scaled each by its own values, where those of different images have no common unit."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from segnoise.data.scaling import Kind, Scaling, fit_scaling
from segnoise.data.source import Source
from segnoise.data.splits import Region
from segnoise.windows import Window


class PerImage:
    """A source whose values are scaled as :func:`segnoise.data.fit_scaling` measures over all of it.

    Measured when it is first read. An image without an observed pixel raises UserError then.

    >>> from segnoise.data import ArraySource
    >>> values, seen = PerImage(ArraySource(np.array([[[1.0, 3.0, np.nan]]]))).read(Window((0, 0), (1, 3)))
    >>> values.tolist(), seen.tolist()
    ([[[-1.0, 1.0, 0.0]]], [[True, True, False]])
    """

    def __init__(self, whole: Source, kind: Kind = "standardise", divide: float | None = None) -> None:
        self.whole, self._kind, self._divide = whole, kind, divide
        self.path, self.geobox = getattr(whole, "path", None), getattr(whole, "geobox", None)
        self.tile = getattr(whole, "tile", None)
        self.name, self.shape, self.channels, self.spacing = whole.name, whole.shape, whole.channels, whole.spacing

    @cached_property
    def _scaling(self) -> Scaling:
        everything = Region(0, Window((0,) * len(self.shape), self.shape))
        return fit_scaling([self.whole], [everything], self._kind, self._divide)

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        values, observed = self.whole.read(window)
        return self._scaling.apply(values, observed), observed

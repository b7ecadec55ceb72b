"""From raw values to what a network likes: one offset and one scale a band, measured over valid pixels."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segnoise.data.source import Source
from segnoise.data.splits import Region
from segnoise.data.tiles import tiles
from segnoise.draws import generator
from segnoise.errors import UserError

logger = logging.getLogger(__name__)

Kind = Literal["standardise", "percentile", "divide"]

_TILE = 1024
# Pixels kept for percentiles, at most: their ranks at the 1st and 99th are then true to about 0.02 %.
_SAMPLE = 1_000_000


@dataclass(frozen=True)
class Scaling:
    """``(x - offset) / scale`` a band; in float32, so that every place that scales gives the same bits.

    >>> scaling = Scaling((10.0,), (2.0,))
    >>> scaling.apply(np.array([[14.0, 0.0]]), np.array([True, False])).tolist()
    [[2.0, 0.0]]
    >>> Scaling.from_dict(scaling.to_dict()) == scaling
    True
    """

    offset: tuple[float, ...]
    scale: tuple[float, ...]

    def apply(self, image: NDArray[Any], observed: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Scaled values ``C *S``, 0 where not observed (``*S``)."""
        bands = (-1,) + (1,) * observed.ndim
        offset = np.asarray(self.offset, dtype=np.float32).reshape(bands)
        scale = np.asarray(self.scale, dtype=np.float32).reshape(bands)
        scaled = (np.asarray(image, dtype=np.float32) - offset) / scale
        return np.where(observed, scaled, np.float32(0))

    def to_dict(self) -> dict[str, list[float]]:
        return {name: list(values) for name, values in asdict(self).items()}

    @classmethod
    def from_dict(cls, record: Mapping[str, Sequence[float]]) -> Scaling:
        return cls(tuple(record["offset"]), tuple(record["scale"]))


def fit_scaling(
    sources: Sequence[Source],
    windows: Sequence[Region],
    kind: Kind = "standardise",
    divide: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Scaling:
    """Measures the scaling over the valid pixels of ``windows``, each read once, a tile at a time.

    ``standardise``: offset = mean, scale = standard deviation, both in float64 (Chan et al. 1979). ``percentile``:
    offset = 1st percentile, scale = 99th - 1st, from at most a million pixels drawn evenly. ``divide``: offset 0,
    scale = ``divide``. A constant band has scale 1. ``progress`` is told (tiles done, tiles in all).

    Raises UserError when no pixel is valid.
    """
    if kind == "divide" and not (divide is not None and math.isfinite(divide) and divide > 0):
        raise UserError(f"data.scaling: cannot divide by {divide}; give a number such as 255 or 10000")
    work = [
        (region.index, tile)
        for region in windows
        for tile in tiles(region.window, getattr(sources[region.index], "tile", None) or _TILE)
    ]
    channels = sources[0].channels
    moments, sample = _Moments(channels), _Sample(channels)
    seen = dict.fromkeys((index for index, _ in work), 0)
    for done, (index, tile) in enumerate(work, 1):
        image, observed = sources[index].read(tile)
        pixels = image[:, observed]
        seen[index] += pixels.shape[1]
        if kind == "standardise":
            moments.add(pixels.astype(np.float64))
        elif kind == "percentile":
            sample.add(pixels, generator(0, "percentile", done))
        elif pixels.size:
            return Scaling((0.0,) * channels, (float(divide or 1),) * channels)
        if progress is not None:
            progress(done, len(work))
    names = [getattr(sources[index], "path", sources[index].name) for index, count in seen.items() if not count]
    if names and len(names) == len(seen):
        others = f" and {len(names) - 1} more" if len(names) > 1 else ""
        raise UserError(f"no valid pixel in {names[0]}{others}; all is nodata, check the file's nodata value and mask")
    for name in names:
        logger.warning("%s: no valid pixel in the parts used for training", name)
    if kind == "standardise":
        offset, scale = moments.mean, np.sqrt(moments.squares / moments.count)
    else:
        offset, high = np.percentile(sample.pixels(), [1, 99], axis=1)
        scale = high - offset
    constant = scale <= np.finfo(np.float32).eps * np.abs(offset)
    return Scaling(tuple(offset.tolist()), tuple(np.where(constant, 1.0, scale).tolist()))


class _Moments:
    """Count, mean and sum of squared deviations a band, merged part by part without cancellation."""

    def __init__(self, channels: int) -> None:
        self.count = 0
        self.mean = np.zeros(channels)
        self.squares = np.zeros(channels)

    def add(self, pixels: NDArray[np.float64]) -> None:
        count = pixels.shape[1]
        if not count:
            return
        mean = pixels.mean(axis=1)
        squares = np.square(pixels - mean[:, None]).sum(axis=1)
        step, whole = mean - self.mean, self.count + count
        self.squares += squares + np.square(step) * self.count * count / whole
        self.mean += step * count / whole
        self.count = whole


class _Sample:
    """An even draw of at most ``_SAMPLE`` pixels: each has a random key, and the bar for keys sinks with more."""

    def __init__(self, channels: int) -> None:
        self._parts = [np.zeros((channels, 0), dtype=np.float32)]
        self._keys = [np.zeros(0)]
        self._bar = 1.0

    def add(self, pixels: NDArray[np.float32], rng: np.random.Generator) -> None:
        self._append(pixels, rng.random((pixels.shape[1],)))
        while sum(len(keys) for keys in self._keys) > _SAMPLE:
            self._bar /= 2
            parts, keys = np.concatenate(self._parts, axis=1), np.concatenate(self._keys)
            self._parts, self._keys = [], []
            self._append(parts, keys)

    def _append(self, pixels: NDArray[np.float32], keys: NDArray[np.float64]) -> None:
        kept = keys < self._bar
        self._parts.append(pixels[:, kept])
        self._keys.append(keys[kept])

    def pixels(self) -> NDArray[np.float64]:
        return np.concatenate(self._parts, axis=1).astype(np.float64)

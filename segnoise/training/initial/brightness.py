"""What values images hold: the statistics that a scaling is chosen by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segnoise.data import Source
from segnoise.windows import Window

_IMAGES = 8
# Of the middle that is looked at, in images and in volumes.
_SIDE = {2: 512, 3: 96}


@dataclass(frozen=True)
class Brightness:
    """Range over a few images, mean and deviation of each band over them, and the mean of each image."""

    low: float
    high: float
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    means: tuple[float, ...]
    unobserved: float

    def __str__(self) -> str:
        mean, deviation = (", ".join(f"{value:.3g}" for value in values) for values in (self.mean, self.deviation))
        each = " a band" if len(self.mean) > 1 else ""
        lost = f", {100 * self.unobserved:.0f} % not observed" if self.unobserved > 0.005 else ""
        return f"values {self.low:.4g} to {self.high:.4g}, mean {mean}, deviation {deviation}{each}{lost}"


def look_at(sources: Sequence[Source]) -> Brightness | None:
    """Statistics of at most eight images, evenly chosen, in their middle; None where nothing is observed.

    >>> from segnoise.data import ArraySource
    >>> print(look_at([ArraySource(np.array([[[1.0, 3.0]]])), ArraySource(np.array([[[5.0, 7.0]]]))]))
    values 1 to 7, mean 4, deviation 2.24
    """
    chosen = [sources[k] for k in sorted(set(np.linspace(0, len(sources) - 1, _IMAGES).round().astype(int).tolist()))]
    channels = min(source.channels for source in chosen)
    pixels, means, seen, total = [], [], 0, 0
    for source in chosen:
        most = _SIDE[len(source.shape)]
        start = tuple(max(0, (n - most) // 2) for n in source.shape)
        values, observed = source.read(Window(start, tuple(min(n, most) for n in source.shape)))
        inside = values[:channels, observed].astype(np.float64)
        seen, total = seen + inside.shape[1], total + observed.size
        if inside.size:
            pixels.append(inside)
            means.append(float(inside.mean()))
    if not pixels:
        return None
    every = np.concatenate(pixels, axis=1)
    return Brightness(
        float(every.min()),
        float(every.max()),
        tuple(every.mean(axis=1).tolist()),
        tuple(every.std(axis=1).tolist()),
        tuple(means),
        1 - seen / total,
    )

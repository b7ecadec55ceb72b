"""The plan of windows over a grid: a pure function from (shape, window, overlap) to boxes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Window:
    """A box of pixels: where it starts and how large it is, per axis in the order of the source's axes.

    A window may reach beyond its source; readers pad there (image 0, ``observed`` false, label 255).

    >>> Window((2, 3), (4, 5)).slices
    (slice(2, 6, None), slice(3, 8, None))
    """

    start: tuple[int, ...]
    size: tuple[int, ...]

    @property
    def stop(self) -> tuple[int, ...]:
        return tuple(a + n for a, n in zip(self.start, self.size, strict=True))

    @property
    def slices(self) -> tuple[slice, ...]:
        return tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))

    def clip(self, shape: Sequence[int]) -> Window:
        """The part inside a grid of this shape (possibly empty: a size of 0)."""
        start = tuple(min(max(a, 0), n) for a, n in zip(self.start, shape, strict=True))
        stop = tuple(min(max(b, a), n) for a, b, n in zip(start, self.stop, shape, strict=True))
        return Window(start, tuple(b - a for a, b in zip(start, stop, strict=True)))

    def within(self, other: Window) -> tuple[slice, ...]:
        """The slices of this window inside an array that holds ``other``."""
        return tuple(slice(a - o, a - o + n) for a, o, n in zip(self.start, other.start, self.size, strict=True))

    def shift(self, offset: Sequence[int]) -> Window:
        return Window(tuple(a + o for a, o in zip(self.start, offset, strict=True)), self.size)


def sides(window: int | Sequence[int], axes: int) -> tuple[int, ...]:
    """The sides of a window: one number for all axes, or one for each.

    >>> sides(64, 2), sides([48, 48, 16], 3)
    ((64, 64), (48, 48, 16))

    Raises ValueError for a number of sides that is neither 1 nor that of the axes.
    """
    if isinstance(window, int):
        return (window,) * axes
    if len(window) != axes:
        raise ValueError(f"{len(window)} sides {tuple(window)} for {axes} axes")
    return tuple(window)


def starts(length: int, window: int, overlap: int) -> list[int]:
    """Where windows start along one axis: regular stride, the last one moved inward to end at the edge.

    >>> starts(100, 40, 10)
    [0, 30, 60]
    >>> starts(90, 40, 0), starts(30, 40, 0)
    ([0, 40, 50], [0])
    """
    if not 0 <= overlap < window:
        raise ValueError(f"overlap {overlap} must lie in [0, window) with window {window}")
    if length <= window:
        return [0]
    stride = window - overlap
    regular = list(range(0, length - window, stride))
    return [*regular, length - window]


def plan(shape: Sequence[int], window: Sequence[int], overlap: Sequence[int] | int = 0) -> list[Window]:
    """Windows of one size that cover a grid, in raster order.

    An axis shorter than the window gets one window that starts at 0 and reaches beyond the edge.

    >>> [w.start for w in plan((64, 96), (64, 64), 32)]
    [(0, 0), (0, 32)]
    """
    overlaps = [overlap] * len(shape) if isinstance(overlap, int) else list(overlap)
    axes = [starts(n, w, o) for n, w, o in zip(shape, window, overlaps, strict=True)]
    return [Window(tuple(start), tuple(window)) for start in itertools.product(*axes)]

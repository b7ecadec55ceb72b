"""A box cut into tiles that touch and never overlap: for passes that must visit every pixel once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from segnoise.windows import Window


def tiles(box: Window, size: Sequence[int] | int) -> Iterator[Window]:
    """Tiles of ``size`` in raster order; the last along an axis is cut at the edge of the box.

    >>> [t.start + t.size for t in tiles(Window((0, 2), (3, 5)), 3)]
    [(0, 2, 3, 3), (0, 5, 3, 2)]
    """
    sizes = [size] * len(box.size) if isinstance(size, int) else list(size)
    axes = [range(a, b, s) for a, b, s in zip(box.start, box.stop, sizes, strict=True)]
    for start in itertools.product(*axes):
        yield Window(start, tuple(min(s, b - a) for a, b, s in zip(start, box.stop, sizes, strict=True)))

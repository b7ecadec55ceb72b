"""Small data sets kept in memory for training: opening a file for every crop costs as much as a small network."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from segnoise.data.source import ArrayLabels, ArraySource, Labels, Source
from segnoise.windows import Window, plan

LIMIT = 2**28
"""Bytes that a data set may take in memory; a larger one is read from its files, window by window."""

_TILE = 1024


def keep_in_memory(
    sources: Sequence[Source], labels: Sequence[Labels], limit: int = LIMIT
) -> tuple[list[Source], list[Labels]]:
    """The same sources and labels, read once and held as arrays if all of them together fit; else as they are.

    >>> source, mask = ArraySource(np.ones((1, 4, 4))), ArrayLabels(np.zeros((4, 4), dtype=np.uint8))
    >>> held, given = keep_in_memory([source], [mask])
    >>> held[0].read(Window((2, 2), (4, 4)))[0].sum(), given[0].read(Window((2, 2), (2, 4))).tolist()
    (np.float32(4.0), [[0, 0, 255, 255], [0, 0, 255, 255]])
    >>> keep_in_memory([source], [mask], limit=10)[0][0] is source
    True
    """
    size = sum((4 * s.channels + 1) * math.prod(s.shape) for s in sources) + sum(math.prod(m.shape) for m in labels)
    if size > limit:
        return list(sources), list(labels)
    return [_source(s) for s in sources], [_labels(m) for m in labels]


def _source(source: Source) -> Source:
    values = np.empty((source.channels, *source.shape), dtype=np.float32)
    observed = np.empty(source.shape, dtype=bool)
    for window in _tiles(source.shape):
        values[(slice(None), *window.slices)], observed[window.slices] = source.read(window)
    return ArraySource(values, source.spacing, source.name, observed)


def _labels(labels: Labels) -> Labels:
    values = np.empty(labels.shape, dtype=np.uint8)
    for window in _tiles(labels.shape):
        values[window.slices] = labels.read(window)
    return ArrayLabels(values)


def _tiles(shape: tuple[int, ...]) -> list[Window]:
    return [window.clip(shape) for window in plan(shape, (_TILE,) * len(shape), (0,) * len(shape))]

"""Decoded frames that were used lately, so that clips that overlap do not decode them again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from numpy.typing import NDArray

LIMIT = 2**28
"""Bytes of decoded frames and masks that a thread keeps."""

Arrays = tuple[NDArray[Any] | None, ...]


class Recent(threading.local):
    """Arrays by key, until ``limit`` bytes of more recently used ones push them out; each thread has its own.

    >>> import numpy as np
    >>> recent, loaded = Recent(limit=16), []
    >>> def load(k):
    ...     loaded.append(k)
    ...     return (np.full(8, k, np.uint8),)
    >>> for k in (1, 2, 1, 3, 1, 2):
    ...     arrays = recent.get(k, lambda: load(k))
    >>> loaded
    [1, 2, 3, 2]
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._size = 0
        self._held: OrderedDict[Hashable, Arrays] = OrderedDict()

    def get(self, key: Hashable, load: Callable[[], Arrays]) -> Arrays:
        """What ``load`` gives, or gave lately under this key."""
        arrays = self._held.pop(key, None)
        if arrays is None:
            arrays = load()
            self._size += _bytes(arrays)
        self._held[key] = arrays
        while self._size > self._limit and len(self._held) > 1:
            self._size -= _bytes(self._held.popitem(last=False)[1])
        return arrays


def _bytes(arrays: Arrays) -> int:
    return sum(array.nbytes for array in arrays if array is not None)


recent = Recent()

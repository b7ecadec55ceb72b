"""Arrays that are loaded when first asked for and let go when others need the room."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

LIMIT = 2**30
"""Bytes of decoded volumes that a process keeps; those of the source in use stay whatever their size."""

_recent: weakref.WeakKeyDictionary[Held, None] = weakref.WeakKeyDictionary()

Arrays = tuple[NDArray[Any], ...]


class Held:
    """What ``load`` gives, kept until ``LIMIT`` bytes of more recently used arrays push it out.

    What is pickled is ``load``, never the arrays.

    >>> import numpy as np
    >>> held = Held(lambda: (np.arange(3),))
    >>> held.get() is held.get()
    True
    """

    def __init__(self, load: Callable[[], Arrays]) -> None:
        self._load = load
        self._arrays: Arrays | None = None

    def get(self) -> Arrays:
        arrays = self._arrays
        if arrays is None:
            arrays = self._arrays = self._load()
        _recent.pop(self, None)
        _recent[self] = None
        self._make_room()
        return arrays

    def __reduce__(self) -> tuple[type[Held], tuple[Callable[[], Arrays]]]:
        return Held, (self._load,)

    def _make_room(self) -> None:
        # keyrefs copies in one step, so that other threads may load meanwhile.
        kept = [held for ref in _recent.keyrefs() if (held := ref()) is not None]
        sizes = [sum(array.nbytes for array in held._arrays or ()) for held in kept]
        excess = sum(sizes) - LIMIT
        for held, size in zip(kept, sizes, strict=True):
            if excess <= 0 or held is self:
                break
            held._arrays = None
            _recent.pop(held, None)
            excess -= size

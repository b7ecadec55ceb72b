"""A label map that takes on more objects: where one fits, and the map with it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

TRIES = 1000
"""A copy that fits at none of so many random places is given up."""

_FIRST, _PROBES = 50, 24


class Board:
    """Labels, and the places where one more object may lie.

    It covers no unknown pixel and no object added before, and it neither covers nor touches (faces, edges and
    corners) the pixels of its kind: those of its class, or of any object.

    >>> board = Board(np.array([[1, 1, 0, 0, 0]]), np.ones((1, 5), bool))
    >>> corner = board.place(np.ones((1, 2), bool), 1, np.random.default_rng(0))
    >>> corner, board.place(np.ones((1, 3), bool), 1, np.random.default_rng(0))
    ((0, 3), None)
    >>> board.paste(np.ones((1, 2), bool), corner, 1)
    >>> board.labels
    array([[1, 1, 0, 1, 1]])
    """

    def __init__(self, labels: NDArray[Any], known: NDArray[np.bool_]) -> None:
        # A rim of background, so that an object at the edge needs no case of its own.
        self._values = np.pad(labels, 1)
        self._closed = np.pad(~known, 1, constant_values=True)
        self._inside = (slice(1, -1),) * labels.ndim

    @property
    def labels(self) -> NDArray[Any]:
        """The labels with all that was pasted."""
        return self._values[self._inside].copy()

    def place(
        self, mask: NDArray[np.bool_], kind: int | None, rng: np.random.Generator, apart: bool = True
    ) -> tuple[int, ...] | None:
        """The first corner of :data:`TRIES` random ones where ``mask`` fits, each as likely; None if there is none.

        Args:
            mask: the object in its box.
            kind: the class it must keep clear of; None: every label above 0.
            rng: draws the places.
            apart: whether it must not touch its kind either.
        """
        room = np.array(self._values.shape) - 2 - mask.shape
        if (room < 0).any():
            return None
        body = np.zeros([n + 2 for n in mask.shape], dtype=bool)
        body[self._inside] = mask
        guard = _touched(body) if apart else body
        steps = np.array(self._values.strides) // self._values.itemsize
        guarded, covered = _probes(guard, steps), _probes(body, steps)
        every = rng.integers(0, room + 1, size=(TRIES, mask.ndim))
        values, closed = self._values.reshape(-1), self._closed.reshape(-1)
        middle = len(guarded) // 2
        for corners in (every[:_FIRST], every[_FIRST:]):
            # One pixel rules out most places, a few nearly all of the rest; what is left is looked at whole.
            for some in (guarded[middle : middle + 1], guarded):
                taken = self._taken(values[(corners @ steps)[:, None] + some], kind)
                corners = corners[~taken.any(axis=1)]
            corners = corners[~closed[(corners @ steps)[:, None] + covered].any(axis=1)]
            for corner in corners:
                box = tuple(slice(c, c + s) for c, s in zip(corner, guard.shape, strict=True))
                if not (self._taken(self._values[box], kind) & guard).any() and not (self._closed[box] & body).any():
                    return tuple(int(c) for c in corner)
        return None

    def paste(self, mask: NDArray[np.bool_], corner: tuple[int, ...], value: int) -> None:
        """Puts an object there."""
        box = tuple(slice(c + 1, c + 1 + s) for c, s in zip(corner, mask.shape, strict=True))
        self._values[box][mask] = value
        self._closed[box] |= mask

    @staticmethod
    def _taken(values: NDArray[Any], kind: int | None) -> NDArray[np.bool_]:
        return values > 0 if kind is None else values == kind


def _touched(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask and all that shares a face, an edge or a corner with it."""
    grown = mask
    for axis in range(mask.ndim):
        there = grown.swapaxes(0, axis)
        grown = grown.copy()
        here = grown.swapaxes(0, axis)
        here[1:] |= there[:-1]
        here[:-1] |= there[1:]
    return grown


def _probes(mask: NDArray[np.bool_], steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """The flat indices of a few pixels of the mask, spread over it, from its first corner."""
    pixels = np.flatnonzero(mask)
    some = pixels[:: max(1, len(pixels) // _PROBES)]
    return sum(place * step for place, step in zip(np.unravel_index(some, mask.shape), steps, strict=True))

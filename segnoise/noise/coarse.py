"""Labels drawn on a coarser grid: blocks of pixels that share one label."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from segnoise.errors import UserError, nearest
from segnoise.length import Length, length_of
from segnoise.noise.base import Corruption, Params
from segnoise.noise.geometry import known_labels
from segnoise.noise.vanishing import with_vanished

MODES = ("majority", "any")


@dataclass(frozen=True, init=False)
class Coarse(Corruption):
    """All known pixels of a block take one label: the most frequent in it, or with ``any`` the most frequent above 0.

    Of equally frequent labels the smallest wins. Pixel i along an axis lies in block
    ``floor((i + 1/2) pixel / block)``; the last block ends with the image.

    Args:
        block: side of a block, such as ``8px`` or ``30m``; it need not be a whole number of pixels.
        mode: ``majority``, or ``any``: a block that holds anything is not background.

    Raises:
        UserError: a block that is negative or has no unit, an unknown mode, or a metric block on a grid of unknown
            spacing.

    >>> labels = np.array([[0, 0, 0, 0, 3], [0, 2, 0, 1, 3]])
    >>> Coarse("2px").corrupt(labels, seed=0)[0].tolist()
    [[0, 0, 0, 0, 3], [0, 0, 0, 0, 3]]
    >>> Coarse("2px", mode="any").corrupt(labels, seed=0)[0].tolist()
    [[2, 2, 1, 1, 3], [2, 2, 1, 1, 3]]
    """

    block: Length
    mode: str
    name: ClassVar[str] = "coarse"

    def __init__(self, block: Length | str | float, mode: str = "majority") -> None:
        object.__setattr__(self, "block", length_of(self.name, "block", block))
        if mode not in MODES:
            raise UserError(f"coarse: there is no mode {mode!r}; {nearest(str(mode), MODES)}")
        object.__setattr__(self, "mode", mode)

    def __str__(self) -> str:
        return f"coarse({self.block}" + (")" if self.mode == "majority" else f", mode={self.mode})")

    def draw(self, shape: Sequence[int], generator: np.random.Generator) -> Params:
        return {"name": self.name, "block": str(self.block), "mode": self.mode}

    def apply(
        self,
        labels: NDArray[Any],
        params: Params,
        instances: bool = False,
        spacing: Sequence[float] | None = None,
    ) -> NDArray[Any]:
        pixel = self.block.pixel(spacing, labels.ndim)
        if self.block.value == 0 or not labels.size:
            return labels.copy()
        known = known_labels(labels, instances)
        blocks = [_blocks(n, side, self.block.value) for n, side in zip(labels.shape, pixel, strict=True)]
        vote = _votes(labels, known, blocks, self.mode).astype(labels.dtype)
        for axis, block in enumerate(blocks):
            vote = vote.take(block, axis=axis)
        return np.where(known, vote, labels)

    def fit_apply(
        self,
        images: Sequence[NDArray[Any]],
        params: Sequence[Params],
        instances: bool = False,
        spacing: Sequence[float] | None = None,
        num_classes: int | None = None,
    ) -> list[tuple[NDArray[Any], Params]]:
        noisy = [self.apply(x, p, instances, spacing) for x, p in zip(images, params, strict=True)]
        common = with_vanished({"met": self.block.value}, images, noisy, instances)
        return [(x, {**p, **common}) for x, p in zip(noisy, params, strict=True)]


def _blocks(size: int, side: float, block: float) -> NDArray[np.int64]:
    """The number of the block of each pixel along an axis."""
    # Where a pixel's centre is the edge of a block, rounding must not decide.
    edge = np.floor((np.arange(size) + 0.5) * side / block * (1 + 1e-12))
    return np.cumsum(np.diff(edge, prepend=edge[0]) > 0)


def _votes(
    labels: NDArray[Any], known: NDArray[np.bool_], blocks: Sequence[NDArray[np.int64]], mode: str
) -> NDArray[np.int64]:
    """The label of each block, by the votes of its known pixels; 0 where nobody votes."""
    counts = [int(b[-1]) + 1 for b in blocks]
    # Along each axis the pixels of every block, all blocks as long as the longest; -1 stands for no pixel.
    members = []
    for block, count in zip(blocks, counts, strict=True):
        start = np.searchsorted(block, np.arange(count))
        size = np.diff(start, append=len(block))
        step = np.arange(size.max())
        members.append(np.where(step < size[:, None], start[:, None] + step, -1))
    lengths = [m.shape[1] for m in members]
    kind = np.int32 if int(labels.max(initial=0)) < 2**31 else np.int64
    winner = np.zeros(counts, dtype=np.int64)
    together = max(1, _CHUNK * counts[0] // labels.size)
    for first in range(0, counts[0], together):
        rows = members[0][first : first + together].reshape(-1)
        votes = np.where(known[rows], labels[rows], kind(-1)).astype(kind, copy=False)
        votes[rows < 0] = -1
        for axis in range(1, labels.ndim):
            line = members[axis].reshape(-1)
            if len(line) > labels.shape[axis] or (np.diff(line) != 1).any():
                votes = votes.take(line, axis=axis)
                votes[(slice(None),) * axis + (line < 0,)] = -1
        votes = votes.reshape([n for pair in zip([-1, *counts[1:]], lengths, strict=True) for n in pair])
        axes = range(labels.ndim)
        votes = votes.transpose([*(2 * a for a in axes), *(2 * a + 1 for a in axes)])
        shape = votes.shape[: labels.ndim]
        winner[first : first + together] = _most_frequent(votes.reshape(-1, math.prod(lengths)), mode).reshape(shape)
    return winner


def _most_frequent(votes: NDArray[Any], mode: str = "majority") -> NDArray[np.int64]:
    """In each row the label that occurs most often, the smallest of equals; negative ones have no vote.

    >>> _most_frequent(np.array([[5, 1, 5, 0], [4, 3, -1, -1], [-1, -1, -1, -1]]))
    array([5, 3, 0])
    """
    votes = np.sort(votes, axis=1)
    new = np.ones(votes.shape, dtype=bool)
    np.not_equal(votes[:, 1:], votes[:, :-1], out=new[:, 1:])
    start = np.flatnonzero(new)
    label = votes.reshape(-1)[start]
    count = np.diff(start, append=votes.size)
    count[label < (1 if mode == "any" else 0)] = 0
    row = start // votes.shape[1]
    most = np.maximum.reduceat(count, np.flatnonzero(np.diff(row, prepend=-1)))
    best = np.flatnonzero((count == most[row]) & (count > 0))[::-1]
    winner = np.zeros(len(votes), dtype=np.int64)
    winner[row[best]] = label[best]  # of repeated rows numpy keeps the last, here the smallest label
    return winner


_CHUNK = 2**17
"""Pixels looked at together, few enough to stay in the processor's cache."""

"""Labels drawn on a coarser grid: blocks of pixels that share one label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from segnoise.errors import UserError, nearest
from segnoise.noise.base import Corruption, Params
from segnoise.noise.geometry import compact, known_labels
from segnoise.noise.length import Length, length_of
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

    def fit(
        self,
        images: Sequence[NDArray[Any]],
        params: Sequence[Params],
        instances: bool = False,
        spacing: Sequence[float] | None = None,
        num_classes: int | None = None,
    ) -> list[Params]:
        return [fitted for _, fitted in self.fit_apply(images, params, instances, spacing, num_classes)]

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
        vote = _votes(labels, known, blocks, self.mode)
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
) -> NDArray[Any]:
    """The label of each block, by the votes of its known pixels; 0 where nobody votes."""
    voters = known & (labels > 0) if mode == "any" else known
    counts = [int(b[-1]) + 1 for b in blocks]
    winner = np.zeros(counts, dtype=labels.dtype)
    starts = np.searchsorted(blocks[0], np.arange(counts[0] + 1))
    together = max(1, _CHUNK * counts[0] // labels.size)
    for first in range(0, counts[0], together):
        stop = min(first + together, counts[0])
        part = slice(starts[first], starts[stop])
        place = blocks[0][part] - first
        for block, count in zip(blocks[1:], counts[1:], strict=True):
            place = place[..., None] * count + block
        votes = voters[part]
        out = winner[first:stop]
        out[...] = _most_frequent(place[votes], labels[part][votes], out.size).reshape(out.shape)
    return winner


def _most_frequent(place: NDArray[np.int64], label: NDArray[Any], places: int) -> NDArray[np.int64]:
    """At each place the label that occurs there most often, the smallest of equals, 0 where there is none.

    >>> _most_frequent(np.array([0, 0, 0, 2, 2]), np.array([5, 1, 5, 4, 3]), 3)
    array([5, 0, 3])
    """
    values, position = compact(label)
    if not len(values):
        return np.zeros(places, dtype=np.int64)
    ballot = place * len(values) + position
    if places * len(values) <= 4 * len(label):
        table = np.bincount(ballot, minlength=places * len(values)).reshape(places, -1)
        return np.where(table.any(axis=1), values[table.argmax(axis=1)], 0)
    # Labels lie in patches, so ballots come in runs, which a merge sort uses.
    ballot.sort(kind="stable")
    start = np.flatnonzero(np.diff(ballot, prepend=-1))
    count = np.diff(start, append=len(ballot))
    run_place, run_value = np.divmod(ballot[start], len(values))
    order = np.lexsort((-run_value, count))
    winner = np.zeros(places, dtype=np.int64)
    winner[run_place[order]] = values[run_value[order]]  # of repeated places numpy keeps the last
    return winner


_CHUNK = 2**17
"""Pixels looked at together, few enough to stay in the processor's cache."""

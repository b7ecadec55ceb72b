"""From recordings as they lie on disk to sources and labels: thinned, cut where time jumps, brought to one size."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from segnoise.data.grid import describe_grid, same_grid
from segnoise.data.item import Item
from segnoise.data.raster import RasterSource
from segnoise.data.source import Labels, Source
from segnoise.data.video.numbering import stretches
from segnoise.data.video.resized import ResizedLabels, ResizedSource, Size
from segnoise.data.video.sequence import FrameLabels, FrameSequence, called
from segnoise.errors import UserError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Frame:
    """A frame by its number in the recording, and how it is opened: the image and, where it has one, its mask."""

    number: int
    name: str
    open: Callable[[], tuple[Source, Labels | None]]


@dataclass(frozen=True)
class Recording:
    """A sequence of frames in rising order of their numbers.

    ``group`` is what no split may cut, the recording itself where it is not said; ``split`` is train, val or test
    where the data set says so.
    """

    name: str
    path: Path
    frames: Sequence[Frame]
    group: str | None = None
    split: str | None = None


def items_of(
    recordings: Sequence[Recording], stride: int = 1, size: Size | None = None, shortest: int = 2
) -> list[Item]:
    """Every stretch of frames without a gap, as a :class:`FrameSequence` with :class:`FrameLabels`.

    A recording that is cut gives several, ``NAME/FIRST-LAST`` by the numbers of their frames, all of one group.
    ``stride`` is how far apart in number neighbours may be (see ``stretches``), ``size`` the rows and columns that
    frames are brought to. Stretches of fewer than ``shortest`` frames and those without any mask are left out, and
    frames without a mask among others are unknown; a warning counts them.

    Raises UserError for a recording without frames, two of one name, frames that do not fit together, and where
    nothing is left.
    """
    items: list[Item] = []
    lone: list[str] = []
    unknown: list[str] = []
    names: set[str] = set()
    frames = 0
    for recording in recordings:
        if recording.name in names:
            raise UserError(f"{recording.path}: there are two sequences called {recording.name}; rename one")
        names.add(recording.name)
        numbers = [frame.number for frame in recording.frames]
        runs = stretches(numbers, stride)
        opened: list[Source] = []
        for run in runs:
            chosen = [recording.frames[k] for k in run]
            if len(chosen) < shortest:
                lone += [frame.name for frame in chosen]
                continue
            pairs = [frame.open() for frame in chosen]
            opened += [source for source, _ in pairs]
            frames += len(chosen)
            unknown += [frame.name for frame, (_, labels) in zip(chosen, pairs, strict=True) if labels is None]
            if any(labels is not None for _, labels in pairs):
                items.append(_item(recording, chosen, pairs, size, whole=len(runs) == 1))
        check_one_grid(opened)
    if not items:
        raise _nothing(recordings, stride, shortest, unknown)
    if lone:
        logger.warning(
            "%d frames have no neighbour in time at data.stride %d and are left out, the first is %s",
            len(lone), stride, lone[0],
        )  # fmt: skip
    if unknown:
        logger.warning(
            "%d of %d frames have no mask and are unknown, the first is %s", len(unknown), frames, unknown[0]
        )
    return items


def check_one_grid(frames: Sequence[Source]) -> None:
    """UserError that names two frames, where frames lie on the Earth but not on one grid."""
    first = frames[0] if frames else None
    if not isinstance(first, RasterSource):
        return
    for frame in frames[1:]:
        if isinstance(frame, RasterSource) and not same_grid(frame.grid, first.grid):
            raise UserError(
                f"{frame.path}: not on the grid of {first.path}: {describe_grid(frame.grid)}, and "
                f"{describe_grid(first.grid)}; warp one to the other"
            )


def _item(
    recording: Recording,
    frames: Sequence[Frame],
    pairs: Sequence[tuple[Source, Labels | None]],
    size: Size | None,
    whole: bool,
) -> Item:
    for source, labels in pairs:
        if labels is not None and tuple(labels.shape) != tuple(source.shape):
            raise UserError(
                f"{called(source)}: is {source.shape[0]} x {source.shape[1]} px but its mask is {labels.shape[0]} x "
                f"{labels.shape[1]} px; give a mask of the same size"
            )
    sources: list[Source] = [source for source, _ in pairs]
    masks = [labels for _, labels in pairs]
    if size is not None:
        sources = [ResizedSource(source, size) for source in sources]
        masks = [None if labels is None else ResizedLabels(labels, size) for labels in masks]
    first, last = frames[0].number, frames[-1].number
    name = recording.name if whole else f"{recording.name}/{first:05d}-{last:05d}"
    sequence = FrameSequence(sources, name, [frame.number for frame in frames], recording.path)
    kept = FrameLabels(masks, sequence.shape[1:], recording.path)
    return Item(name, sequence, kept, group=recording.group or recording.name, split=recording.split)


def _nothing(recordings: Sequence[Recording], stride: int, shortest: int, unknown: Sequence[str]) -> UserError:
    longest = max(recordings, key=lambda recording: len(recording.frames), default=None)
    if longest is None or not longest.frames:
        return UserError("data: no sequence of frames; give folders of frames, or videos")
    numbers = [frame.number for frame in longest.frames]
    if len(numbers) < shortest:
        return UserError(f"{longest.frames[0].name}: is the only frame of its sequence; give sequences of frames")
    if unknown:
        return UserError(f"{unknown[0]}: has no mask, and no other frame has one; check the folder of the masks")
    apart = min(b - a for a, b in pairwise(numbers))
    return UserError(
        f"{longest.path}: no {shortest} frames follow each other at data.stride {stride}, their numbers are {apart} "
        f"apart; set data.stride: {apart}"
    )

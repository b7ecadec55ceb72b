"""Sequences of a run with their labels: public sets of videos, and plain folders of frames, videos or volumes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from segnoise.config import VideoData
from segnoise.data.video import (
    PUBLISHED,
    FrameLabels,
    FrameSequence,
    Recording,
    items_of,
    mask_decoder,
    plain_folder,
    read_folders,
)
from segnoise.errors import UserError

Opened = tuple[FrameSequence, FrameLabels, str | None, str | None]
"""A sequence without gaps, its labels, its group and the split that the set states."""


def open_videos(data: VideoData) -> Iterator[Opened]:
    """Every stretch of frames of a run; the masks of all frames are read once.

    Raises:
        UserError: paths that are not there, classes other than those of the set, frames and masks that do not fit
            together, and mask values that stand for no class, with one line that names the frame.
    """
    shortest = min(2, data.frames)
    for item in items_of(_recordings(data), data.stride, data.size, shortest):
        assert isinstance(item.source, FrameSequence)
        assert isinstance(item.labels, FrameLabels)
        item.labels.check()
        yield item.source, item.labels, item.group, item.split


def _recordings(data: VideoData) -> list[Recording]:
    if (published := PUBLISHED.get(data.layout)) is not None:
        _same_classes(data, published.classes(data.target))
        return published.read(Path(data.folder or ""), data.target)
    decode = mask_decoder(data.masks, data.classes, data.values, data.colours)
    images, labels = _places(data)
    return read_folders(images, labels, decode, data.numbers, data.axis, len(data.classes))


def _places(data: VideoData) -> tuple[list[str], str | list[str]]:
    """Where the images and their masks lie."""
    if data.images is not None and data.labels is not None:
        return data.images, data.labels
    root = Path(data.folder or "")
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; check the path")
    found = plain_folder(root)
    if found is None:
        raise UserError(f"{root}: holds no images/ with labels/ or masks/; give images and labels, or another layout")
    return [str(found[0])], str(found[1])


def _same_classes(data: VideoData, names: Sequence[str]) -> None:
    if list(names) != list(data.classes):
        raise UserError(
            f"data.classes: {', '.join(data.classes)}, but {data.folder} has {', '.join(names)}; write those"
        )

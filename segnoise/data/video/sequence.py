"""Images one after another in time: a source ``T H W`` whose frames are 2-D sources, and its labels."""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segnoise.data.sample import IGNORE_INDEX
from segnoise.data.source import Labels, Source, cut
from segnoise.data.video.recent import recent
from segnoise.errors import UserError
from segnoise.windows import Window

_WHOLE = 2**26
"""Bytes up to which a frame is decoded as a whole and kept for a while; larger ones are read by window."""


class FrameSequence:
    """Frames as one source of shape ``(T, H, W)``: a video, a folder of frames, a time series of rasters, neighbouring
    slices of a volume.

    A window reads only the frames that it touches. ``spacing`` is that of the frames, and nan along time. ``numbers``
    are the numbers of the frames in their recording, ``path`` where that lies.

    Raises UserError for no frame at all, for numbers that do not rise, and for frames that differ in size or bands,
    naming two of them.

    >>> from segnoise.data.source import ArraySource
    >>> frames = [ArraySource(np.full((1, 2, 2), k), name=f"f{k}") for k in (3, 4, 5)]
    >>> values, seen = FrameSequence(frames, "s", [3, 4, 5]).read(Window((1, 0, 0), (3, 1, 2)))
    >>> values.tolist(), seen[:, 0, 0].tolist()
    ([[[[4.0, 4.0]], [[5.0, 5.0]], [[0.0, 0.0]]]], [True, True, False])
    """

    tile = (16, 1024, 1024)
    """How much of it a pass over all pixels reads at a time."""

    def __init__(self, frames: Sequence[Source], name: str, numbers: Sequence[int], path: str | Path = "") -> None:
        if not frames:
            raise UserError(f"{name}: holds no frame; give at least one")
        self.frames = list(frames)
        self.name, self.path = name, Path(path or name)
        self.numbers = rising(name, numbers, len(frames))
        first = self.frames[0]
        for frame in self.frames[1:]:
            if tuple(frame.shape) != tuple(first.shape):
                raise UserError(
                    f"{called(frame)}: is {_pixels(frame)}, but {called(first)} of the same sequence is "
                    f"{_pixels(first)}; give frames of one size, or set data.size: [rows, columns]"
                )
            if frame.channels != first.channels:
                raise UserError(
                    f"{called(frame)}: has {frame.channels} bands, but {called(first)} of the same sequence has "
                    f"{first.channels}; give frames of one kind"
                )
        self.shape: tuple[int, ...] = (len(self.frames), *first.shape)
        self.channels = first.channels
        self.spacing: tuple[float, ...] = (math.nan, *first.spacing)
        self._key = uuid.uuid4()

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        values = np.zeros((self.channels, *window.size), dtype=np.float32)
        observed = np.zeros(window.size, dtype=bool)
        inside = window.clip(self.shape)
        flat = Window(window.start[1:], window.size[1:])
        if all(inside.size):
            for k in range(inside.start[0], inside.stop[0]):
                at = k - window.start[0]
                values[:, at], observed[at] = self._read(k, flat)
        return values, observed

    def _read(self, k: int, flat: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        frame = self.frames[k]
        if 4 * self.channels * math.prod(self.shape[1:]) > _WHOLE:
            return frame.read(flat)
        values, observed = recent.get((self._key, k), partial(_decoded, frame))
        assert values is not None
        known = np.broadcast_to(np.True_, self.shape[1:]) if observed is None else observed
        return cut(values, flat, 0), cut(known, flat, False)


class FrameLabels:
    """The labels of a sequence, ``(T, H, W)``: those of each frame, 255 throughout where a frame has none.

    >>> from segnoise.data.source import ArrayLabels
    >>> labels = FrameLabels([ArrayLabels(np.ones((1, 2), np.uint8)), None], (1, 2))
    >>> labels.read(Window((0, 0, 0), (2, 1, 2))).tolist()
    [[[1, 1]], [[255, 255]]]
    """

    def __init__(self, frames: Sequence[Labels | None], shape: Sequence[int], path: str | Path = "") -> None:
        self.frames = list(frames)
        self.path = Path(path)
        self.shape: tuple[int, ...] = (len(self.frames), *shape)
        self._key = uuid.uuid4()

    def read(self, window: Window) -> NDArray[np.int64]:
        labels = np.full(window.size, IGNORE_INDEX, dtype=np.int64)
        inside = window.clip(self.shape)
        flat = Window(window.start[1:], window.size[1:])
        if all(inside.size):
            for k in range(inside.start[0], inside.stop[0]):
                frame = self.frames[k]
                if frame is not None:
                    labels[k - window.start[0]] = self._read(k, frame, flat)
        return labels

    def _read(self, k: int, frame: Labels, flat: Window) -> NDArray[Any]:
        if math.prod(self.shape[1:]) > _WHOLE:
            return frame.read(flat)
        (whole,) = recent.get((self._key, k), partial(_decoded_labels, frame))
        assert whole is not None
        return cut(whole, flat, IGNORE_INDEX)

    def check(self) -> None:
        """Reads the labels of every frame once, so that a wrong value is found before hours of training."""
        for k, frame in enumerate(self.frames):
            if frame is not None:
                self._read(k, frame, Window((0, 0), self.shape[1:]))


Numbering = Literal["name", "order"]
"""Where the number of a frame comes from: the last whole number in its file's name, or its place in natural order."""


def rising(name: str, numbers: Sequence[int], count: int) -> tuple[int, ...]:
    """The numbers of the frames of a sequence: as many as frames, each larger than the one before."""
    if len(numbers) != count:
        raise ValueError(f"{name}: {len(numbers)} numbers for {count} frames")
    for one, following in pairwise(numbers):
        if following <= one:
            raise UserError(f"{name}: frame {following} comes after frame {one}; number the frames in their order")
    return tuple(int(number) for number in numbers)


def called(frame: Source) -> str:
    """What a frame is called in a message: where it lies, else its name."""
    return str(getattr(frame, "path", None) or frame.name)


def _pixels(frame: Source) -> str:
    return f"{frame.shape[0]} x {frame.shape[1]} px"


def _decoded(frame: Source) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """A whole frame as small as it can be kept: in its own type, and without ``observed`` where all of it is."""
    values, observed = frame.read(Window((0, 0), tuple(frame.shape)))
    own = str(getattr(frame, "dtype", ""))
    stored: NDArray[Any] = values.astype(own) if own in ("uint8", "uint16") else values
    return stored, None if observed.all() else observed


def _decoded_labels(frame: Labels) -> tuple[NDArray[Any]]:
    return (frame.read(Window((0, 0), tuple(frame.shape))).astype(np.uint8),)

"""Video files: any frame by its index, found by seeking to the nearest key frame before it."""

from __future__ import annotations

import math
import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segnoise.data.source import cut
from segnoise.errors import UserError
from segnoise.windows import Window

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv")

_OPEN = 8
"""Decoders that stay open in a thread."""

_LASTS = 0.95
"""Share of the time that a file without sound states for which there must be frames."""


class VideoFile:
    """The frames of a video in the order in which they are shown, from 0; three channels, red, green and blue.

    Opening it reads the places of all frames and decodes none. A frame costs the decoding of all since the key frame
    before it, unless they were just decoded: clips drawn at random are read fast from a video with many key frames
    (``ffmpeg -g 12``) or from frames that were written out. What is pickled is the path and those places.

    Raises UserError where PyAV is not installed, for a file that is no video, one whose codec is not known, and one
    that ends before its frames do.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise UserError(f"{path}: no such file; check the path")
        av = _pyav(self.path)
        try:
            with av.open(str(self.path)) as container:
                if not container.streams.video:
                    raise UserError(f"{path}: holds no moving pictures; give a video, or copy it again if it is one")
                stream = container.streams.video[0]
                stated = int(stream.frames)
                alone = len(container.streams) == 1 and container.duration is not None
                lasts = container.duration / 1e6 if alone else None
                self.shape: tuple[int, int] = (int(stream.height), int(stream.width))
                stamps, keys = [], []
                for packet in container.demux(stream):
                    if packet.size and not packet.is_discard:
                        stamps.append(packet.pts)
                        keys += [packet.pts] if packet.is_keyframe else []
        except (av.FFmpegError, OSError) as error:
            raise UserError(f"{path}: is no video that can be read, or a damaged one; copy it again") from error
        convert = f"convert it, such as with ffmpeg -i {self.path.name} new.mp4"
        if stream.codec_context is None or not all(self.shape):
            raise UserError(f"{path}: its codec is not known; {convert}")
        if None in stamps:
            raise UserError(f"{path}: its frames have no times; {convert}")
        if len(stamps) < max(stated, 1):
            raise UserError(
                f"{path}: ends before frame {len(stamps)} of the {stated} that it states (counted from 0); copy it "
                "again"
            )
        if lasts is not None and (ends := _seconds(stamps, stream)) < _LASTS * lasts:
            raise UserError(
                f"{path}: ends after frame {len(stamps) - 1} at {ends:.1f} s of the {lasts:.1f} s that it states; copy "
                "it again"
            )
        self._stamps = sorted(stamps)
        self._keys = sorted(keys)

    def __len__(self) -> int:
        return len(self._stamps)

    def frame(self, index: int) -> NDArray[np.uint8]:
        """Frame ``index``, ``3 H W``.

        Raises UserError for a frame that cannot be decoded, naming it.
        """
        av = _pyav(self.path)
        wanted = self._stamps[index]
        try:
            decoder = _decoders.get(self.path)
            found = decoder.find(wanted, self._keys)
        except (av.FFmpegError, OSError) as error:
            _decoders.drop(self.path)
            raise self._damaged(index) from error
        if found is None or found.is_corrupt:
            _decoders.drop(self.path)
            raise self._damaged(index)
        picture = found.to_ndarray(format="rgb24")
        if picture.shape[:2] != self.shape:
            raise UserError(
                f"{self.path}, frame {index}: is {picture.shape[0]} x {picture.shape[1]} px, the video "
                f"{self.shape[0]} x {self.shape[1]}; cut the video where its size changes"
            )
        return np.ascontiguousarray(np.moveaxis(picture, -1, 0))

    def _damaged(self, index: int) -> UserError:
        return UserError(
            f"{self.path}, frame {index}: cannot be decoded, or is not at its time; the video is truncated, damaged or "
            "of a kind that cannot be searched: copy it again or convert it, such as with ffmpeg -i "
            f"{self.path.name} new.mp4"
        )


def _seconds(stamps: list[int], stream: Any) -> float:
    """Until when frames are shown."""
    step = (max(stamps) - min(stamps)) / max(len(stamps) - 1, 1)
    return float((max(stamps) + step) * stream.time_base)


@dataclass(frozen=True)
class VideoFrame:
    """One frame of a video as a 2-D source."""

    video: VideoFile
    index: int
    channels = 3
    dtype = "uint8"
    spacing = (math.nan, math.nan)

    @property
    def name(self) -> str:
        return f"{self.video.path.stem}/{self.index:05d}"

    @property
    def path(self) -> Path:
        """For messages."""
        return Path(f"{self.video.path}, frame {self.index}")

    @property
    def shape(self) -> tuple[int, ...]:
        return self.video.shape

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        values = cut(self.video.frame(self.index), window, 0).astype(np.float32)
        return values, cut(np.ones(self.shape, dtype=bool), window, False)


class _Decoder:
    """An open video and how far it is decoded."""

    def __init__(self, path: Path) -> None:
        self._container = _pyav(path).open(str(path))
        self._stream = self._container.streams.video[0]
        self._frames: Iterator[Any] = iter(())
        self._at: int | None = None

    def find(self, wanted: int, keys: list[int]) -> Any | None:
        """The frame with a time stamp; decoding goes on where it stands if no key frame lies between."""
        before = bisect_right(keys, wanted) - 1
        key = keys[max(before, 0)] if keys else wanted
        if self._at is None or not key <= self._at < wanted:
            self._seek(key)
        found = self._forward(wanted)
        if found is None:
            # Some containers seek by another clock than that of their frames.
            self._seek(0)
            found = self._forward(wanted)
        return found

    def _seek(self, stamp: int) -> None:
        self._container.seek(stamp, stream=self._stream)
        self._frames = self._container.decode(self._stream)

    def _forward(self, wanted: int) -> Any | None:
        for frame in self._frames:
            self._at = frame.pts
            if frame.pts == wanted:
                return frame
            if frame.pts is not None and frame.pts > wanted:
                break
        self._at = None
        return None

    def close(self) -> None:
        self._container.close()


class _Decoders(threading.local):
    """The videos that this thread has open, most recently used last."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._open: OrderedDict[Path, _Decoder] = OrderedDict()
        self._inherited: list[Any] = []

    def get(self, path: Path) -> _Decoder:
        if self._pid != os.getpid():
            # A forked child shares file offsets with its parent, so it opens its own.
            self._inherited.append(self._open)
            self._pid, self._open = os.getpid(), OrderedDict()
        decoder = self._open.pop(path, None) or _Decoder(path)
        self._open[path] = decoder
        while len(self._open) > _OPEN:
            self._open.popitem(last=False)[1].close()
        return decoder

    def drop(self, path: Path) -> None:
        decoder = self._open.pop(path, None)
        if decoder is not None:
            decoder.close()


_decoders = _Decoders()


def _pyav(path: Path) -> Any:
    try:
        import av
    except ImportError as error:
        raise UserError(f"{path}: reading a video needs PyAV; pip install segnoise[video]") from error
    av.logging.set_level(av.logging.PANIC)
    return av

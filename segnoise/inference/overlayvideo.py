"""Overlay videos: frames with their classes tinted and outlined, as MP4."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from segnoise.data import IGNORE_INDEX
from segnoise.errors import UserError
from segnoise.inference.palette import class_colour
from segnoise.windows import atomic_output

_TINT = 0.38
_LINE = 400
"""Pixels of the shorter side for each pixel that an outline is wide."""

_H264, _MPEG4 = "libx264", "mpeg4"
_BITS = 0.3
"""Of MPEG-4, for each pixel of each frame."""


class Shown:
    """Frames as 8-bit colours ``H W 3``: 8-bit ones as they are, others stretched between the 2nd and 98th percentile
    of the first frame.

    One band is grey, three are red, green and blue; of more the third, second and first are (satellites store blue
    first), and of two the first is grey.
    """

    def __init__(self) -> None:
        self._limits: NDArray[np.float64] | None = None

    def __call__(self, values: NDArray[np.float32], observed: NDArray[np.bool_], dtype: str) -> NDArray[np.uint8]:
        count = len(values)
        bands = values[[2, 1, 0]] if count > 3 else values if count == 3 else values[:1]
        if dtype != "uint8":
            if self._limits is None and observed.any():
                self._limits = np.percentile(bands[:, observed], [2, 98], axis=1)
            low, high = (0.0, 1.0) if self._limits is None else self._limits[..., None, None]
            bands = 255 * (bands - low) / np.maximum(high - low, 1e-12)
        colours = np.where(observed, np.clip(bands, 0, 255), 0).round().astype(np.uint8)
        return np.moveaxis(np.broadcast_to(colours, (3, *colours.shape[1:])), 0, -1)


def overlaid(picture: NDArray[np.uint8], classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture ``H W 3`` in which every class but 0 is tinted and outlined in its colour; 255 is left as it is.

    >>> flat = np.full((3, 3, 3), 100, np.uint8)
    >>> drawn = overlaid(flat, np.array([[0, 0, 0], [0, 1, 0], [0, 0, 255]]).astype(np.uint8))
    >>> drawn[1, 1].tolist(), drawn[0, 0].tolist()
    ([91, 154, 111], [100, 100, 100])
    """
    table = np.array([list(bytes.fromhex(class_colour(k)[1:])) for k in range(256)], dtype=np.float32)
    around = 2 * max(1, round(min(classes.shape) / _LINE)) + 1
    edge = ndimage.maximum_filter(classes, around) != ndimage.minimum_filter(classes, around)
    drawn = (classes > 0) & (classes != IGNORE_INDEX)
    share = np.where(edge, 1, _TINT)[drawn, None]
    result = picture.copy()
    result[drawn] = ((1 - share) * picture[drawn] + share * table[classes[drawn]]).round().astype(np.uint8)
    return result


@contextlib.contextmanager
def film(path: Path, rate: float | Fraction, overwrite: bool = False) -> Iterator[Callable[[NDArray[np.uint8]], None]]:
    """A video that frames ``H W 3`` are given to one by one; it is there when all are, and not at all on an error.

    H.264 where the build of FFmpeg has it, else MPEG-4. Its size is that of the first frame, with a last row or column
    repeated where that is odd; later ones of another size are brought to it.

    Raises UserError where PyAV is not installed, for an existing output, and for one that cannot be written.
    """
    av = writer(path)
    with atomic_output(path, overwrite) as temporary:
        try:
            with av.open(str(temporary), "w", format="mp4") as container:
                streams: list[Any] = []

                def add(picture: NDArray[np.uint8]) -> None:
                    if not streams:
                        streams.append(_stream(av, container, rate, picture.shape[:2]))
                    for packet in streams[0].encode(av.VideoFrame.from_ndarray(_sized(picture, streams[0]), "rgb24")):
                        container.mux(packet)

                yield add
                for stream in streams:
                    for packet in stream.encode():
                        container.mux(packet)
        except av.FFmpegError as error:
            raise UserError(f"{path}: could not be written ({error.strerror}); free space or leave it out") from error


def frame_rate(path: Path) -> Fraction | None:
    """Frames a second of a video; None where it does not say."""
    with writer(path).open(str(path)) as container:
        rate = container.streams.video[0].average_rate
    return Fraction(rate) if rate else None


def writer(path: str | Path) -> Any:
    """PyAV, or UserError that says how to install it."""
    try:
        import av
    except ImportError as error:
        raise UserError(f"{path}: an overlay video needs PyAV; pip install segnoise[video]") from error
    av.logging.set_level(av.logging.PANIC)
    return av


def _stream(av: Any, container: Any, rate: float | Fraction, shape: tuple[int, ...]) -> Any:
    try:
        av.codec.Codec(_H264, "w")
        codec = _H264
    except av.codec.codec.UnknownCodecError:
        codec = _MPEG4
    # MPEG-4 counts time in 65535 steps a second at most.
    exact = Fraction(rate).limit_denominator(1001)
    stream = container.add_stream(codec, rate=exact)
    stream.height, stream.width = (side + side % 2 for side in shape)
    stream.pix_fmt = "yuv420p"
    if codec == _H264:
        stream.options = {"crf": "18", "preset": "veryfast"}
    else:
        stream.bit_rate = round(_BITS * stream.height * stream.width * exact)
    return stream


def _sized(picture: NDArray[np.uint8], stream: Any) -> NDArray[np.uint8]:
    """The picture at the size of the video."""
    rows, columns = stream.height, stream.width
    height, width = picture.shape[:2]
    if (height + height % 2, width + width % 2) == (rows, columns):
        return np.pad(picture, ((0, rows - height), (0, columns - width), (0, 0)), mode="edge")
    return np.asarray(Image.fromarray(picture).resize((columns, rows), Image.Resampling.BILINEAR))

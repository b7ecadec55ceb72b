"""Prediction of sequences frame by frame: masks, probabilities, label errors and an overlay video."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from segnoise.config import Config, VideoData
from segnoise.data import ArraySource, Labels, Region, Scaling, Source, fit_scaling
from segnoise.data.video import FrameSequence, Recording, ResizedSource
from segnoise.data.video.cropped import CroppedSource
from segnoise.data.video.sequence import called
from segnoise.data.video.videofile import VIDEO_SUFFIXES
from segnoise.errors import UserError
from segnoise.inference.errormap import WrongLabels, error_map_array
from segnoise.inference.images import decided, write_map, write_mask
from segnoise.inference.overlayvideo import Shown, film, frame_rate, overlaid, writer
from segnoise.inference.raster import Progress, predict_array, tiff_like
from segnoise.inference.sequences import recordings_of, unbroken
from segnoise.inference.smoothing import Believed, smoothed
from segnoise.windows import Window, atomic_output

_TOGETHER = 4
"""Frames that the network looks at together, and that are read while it does."""

_RATE = 10
"""Frames a second of the overlay of a folder of frames."""


@dataclass(frozen=True)
class VideoPrediction:
    """The folder with the masks of a sequence, the names of its frames there, the overlay where one was asked for, and
    what is expected of the given labels where there are any.
    """

    folder: Path
    frames: tuple[str, ...]
    overlay: Path | None
    wrong: WrongLabels | None


@dataclass(frozen=True)
class _Asked:
    """How a model looks at frames, and what is wanted of them."""

    model: nn.Module
    data: VideoData | None
    side: tuple[int, int]
    margin: tuple[int, int]
    smooth: int
    scores: bool
    labelled: bool
    overlay: bool
    rate: float | None
    overwrite: bool
    device: str


@dataclass(frozen=True)
class _Frame:
    """A frame after it was read: its picture for the overlay, and what the network looks at (scaled, resized)."""

    source: Source
    labels: Labels | None
    observed: NDArray[np.bool_]
    picture: NDArray[np.uint8] | None
    looked: NDArray[np.float32]
    seen: NDArray[np.bool_]


def predict_video(
    model: nn.Module,
    inputs: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    labels: str | Path | None = None,
    scores: bool = False,
    overlay: bool = False,
    smooth: int = 0,
    fps: float | None = None,
    window: int | None = None,
    overlap: int | None = None,
    overwrite: bool = False,
    device: str = "cpu",
    progress: Progress | None = None,
) -> list[VideoPrediction]:
    """Masks of the frames of sequences, in the frames' own size; a long video is never held as a whole.

    Each sequence gets a folder ``OUT/<sequence>`` with a mask ``<frame>.png`` for every frame: 8-bit class indices, 255
    where nothing was observed. Frames that lie on the Earth get ``<frame>.tif`` on their grid. Frames are called as
    their files are, those of a video by their number (``00000``). Where the run resizes frames, probabilities are
    brought back to the frame's size, bilinearly, before they are decided.

    Args:
        model: raw pixel values ``B C T H W`` to logits ``B K T H W``: a run of kind ``video`` from ``segnoise.load``,
            or your own, such as a network for images in :class:`segnoise.networks.PerFrame`.
        inputs: a folder of frames or of folders of frames, a video file, or images of one sequence.
        out: the folder to write to; made where it is not there.
        labels: masks that were given for the frames, as in training: a folder, a pattern or a CSV table. Writes
            ``<frame>_wrong.tif`` beside each mask: ``P(given label is wrong)`` (:func:`segnoise.error_map` with rho
            0.5), float32, nan where the label is unknown or nothing was observed.
        scores: also write ``<frame>_scores.tif``: the probabilities of all classes, float32, a band a class, nan where
            nothing was observed.
        overlay: also write ``OUT/<sequence>_overlay.mp4``: the frames with classes tinted and outlined.
        smooth: K, to average probabilities over the 2K + 1 frames around each, with weights ``1 - |d| / (K + 1)`` for a
            frame d away (:func:`segnoise.inference.smoothing.smoothed`), never across a gap, which is where frame
            numbers jump by more than the run's ``data.stride``.
        fps: frames a second of the overlay; by default those of the video, and 10 for images.
        window, overlap: pixels; by default the run's own window (else 256) and a quarter of it.
        overwrite: replace the files of an existing output; others there stay.
        progress: called with (frames done, frames in all).

    Returns:
        Of each sequence, in natural order, what was written and how many of its labels are expected to be wrong.

    Raises:
        UserError: nothing to predict, an unreadable frame (naming it; what was written before stays), frames of
            several sizes where the run does not resize, a band count that the model was not trained on, a run of
            another kind, masks that do not fit, an existing output or one among the frames, an overlay without PyAV.
    """
    out = Path(out)
    paths = [Path(path) for path in ([inputs] if isinstance(inputs, str | Path) else inputs)]
    data = _data_of(model)
    if smooth < 0:
        raise UserError(f"smooth {smooth}: must be at least 0")
    if fps is not None and not 0.001 <= fps <= 1000:
        raise UserError(f"fps {fps:g}: must be 0.001 to 1000")
    if overlay:
        writer(out)
    classes = getattr(model, "classes", None)
    recordings = recordings_of(data, 255 if classes is None else len(classes), paths, labels)
    side, margin = _windows(model, window, overlap)
    asked = _Asked(
        model, data, side, margin, smooth, scores, labels is not None, overlay, fps, overwrite, device
    )  # fmt: skip
    _check_output(out, [*paths, *([] if labels is None else [Path(labels)])], recordings, asked)
    done, total = 0, sum(len(recording.frames) for recording in recordings)

    def tick() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    made = [_predict_one(asked, recording, out, tick) for recording in recordings]
    if labels is not None and not any(one.wrong is not None for one in made):
        raise UserError(f"{labels}: holds no mask of a frame that was predicted; the masks are written")
    return made


def _data_of(model: nn.Module) -> VideoData | None:
    config = getattr(model, "config", None)
    if not isinstance(config, Config):
        return None
    if not isinstance(config.data, VideoData):
        where = getattr(model, "source", "model")
        raise UserError(f"{where}: was trained on data of kind {config.data.kind}, not on sequences")
    return config.data


def _windows(model: nn.Module, window: int | None, overlap: int | None) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows and columns of windows, and by how many they overlap."""
    own = tuple(getattr(model, "sides", (256, 256)))[-2:]
    rows, columns = own if window is None else (window, window)
    if overlap is None:
        return (rows, columns), (rows // 4, columns // 4)
    if not 0 <= overlap < min(rows, columns):
        raise UserError(f"overlap {overlap}: must be at least 0 and below the window {min(rows, columns)}")
    return (rows, columns), (overlap, overlap)


def _overlay_path(out: Path, name: str) -> Path:
    return out / f"{name}_overlay.mp4"


def _check_output(out: Path, read: Sequence[Path], recordings: Sequence[Recording], asked: _Asked) -> None:
    """Before any work: nothing that is there is replaced unasked, and what is read never."""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; sequences are written to a folder, give one")
    for path in read:
        if path.is_dir() and out.resolve().is_relative_to(path.resolve()):
            raise UserError(f"{out}: lies in {path}, which is read; give a folder elsewhere")
    for recording in recordings:
        target = out / recording.name
        home = recording.path if recording.path.is_dir() else recording.path.parent
        if target.resolve() == home.resolve():
            raise UserError(f"{target}: is where the frames are; give another folder than {out}")
        for path in (target, *([_overlay_path(out, recording.name)] if asked.overlay else [])):
            if path.exists() and not asked.overwrite:
                raise UserError(f"{path}: already exists; give another name or --overwrite")


def _predict_one(asked: _Asked, recording: Recording, out: Path, tick: Callable[[], None]) -> VideoPrediction:
    folder = out / recording.name
    target = _overlay_path(out, recording.name) if asked.overlay else None
    told: WrongLabels | None = None
    names: dict[str, None] = {}
    shown = Shown() if asked.overlay else None
    with contextlib.ExitStack() as stack:
        add = None
        for run in unbroken([frame.number for frame in recording.frames], asked.data.stride if asked.data else 1):
            frames = [recording.frames[k].open() for k in run]
            for source, _ in frames:
                if _name_of(source) in names:
                    raise UserError(f"{called(source)}: two frames of {recording.name} have its name; rename one")
                names[_name_of(source)] = None
            _check_channels(frames[0][0], asked.model)
            for frame, said, seen in smoothed(_beliefs(asked, recording, frames, run, shown), asked.smooth):
                if not folder.exists():
                    _make(folder)
                if target is not None and add is None:
                    add = stack.enter_context(film(target, _rate(asked, recording), asked.overwrite))
                own = _brought_back(said, seen, frame.observed.shape)
                own[:, ~frame.observed] = np.nan
                mask = decided(own)
                wrong = _write(asked, folder / _name_of(frame.source), frame, own, mask)
                if wrong is not None:
                    before = told or WrongLabels(0, 0.0)
                    told = WrongLabels(before.labels + wrong.labels, before.expected + wrong.expected)
                if add is not None and frame.picture is not None:
                    add(overlaid(frame.picture, mask))
                tick()
    return VideoPrediction(folder, tuple(names), target, told)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror}); choose another folder") from error


def _rate(asked: _Asked, recording: Recording) -> float | Fraction:
    if asked.rate is not None:
        return asked.rate
    is_video = recording.path.suffix.lower() in VIDEO_SUFFIXES and recording.path.is_file()
    return (frame_rate(recording.path) if is_video else None) or _RATE


def _check_channels(frame: Source, model: nn.Module) -> None:
    channels = getattr(model, "channels", frame.channels)
    if channels != frame.channels:
        raise UserError(f"{called(frame)}: has {frame.channels} bands, but the model was trained on {channels}")


def _name_of(frame: Source) -> str:
    """What a frame's file is called without its ending; frames of videos by number."""
    return frame.name.rpartition("/")[2]


def _beliefs(
    asked: _Asked,
    recording: Recording,
    frames: Sequence[tuple[Source, Labels | None]],
    run: Sequence[int],
    shown: Shown | None,
) -> Iterator[Believed[_Frame]]:
    """Each frame of a stretch with its probabilities, at the size that the network looks at."""
    size = asked.data.size if asked.data else None
    looked: list[Source] = [source if size is None else ResizedSource(source, size) for source, _ in frames]
    sequence = FrameSequence(looked, recording.name, [recording.frames[k].number for k in run], recording.path)
    scaling = None
    if asked.data is not None and asked.data.scaling.per == "image":
        everything = Region(0, Window((0, 0, 0), sequence.shape))
        scaling = fit_scaling([sequence], [everything], asked.data.scaling.kind, asked.data.scaling.divide)

    def read(begin: int) -> list[_Frame]:
        return [_read(source, mask, size, scaling, shown) for source, mask in frames[begin : begin + _TOGETHER]]

    # One thread reads all frames, so that a video is decoded on and not searched again.
    with ThreadPoolExecutor(1) as reader:
        begins = range(0, len(frames), _TOGETHER)
        ahead = reader.submit(read, 0)
        for begin in begins:
            together = ahead.result()
            if begin + _TOGETHER < len(frames):
                ahead = reader.submit(read, begin + _TOGETHER)
            images = np.stack([frame.looked for frame in together], axis=1)
            clip = ArraySource(images, observed=np.stack([frame.seen for frame in together]))
            side, margin = (len(together), *asked.side), (0, *asked.margin)
            said, _ = predict_array(asked.model, clip, side, margin, batch_size=1, device=asked.device)
            for k, frame in enumerate(together):
                yield frame, said[:, k], frame.seen


def _read(
    source: Source,
    labels: Labels | None,
    size: tuple[int, int] | None,
    scaling: Scaling | None,
    shown: Shown | None,
) -> _Frame:
    whole = Window((0, 0), tuple(source.shape))
    values, observed = source.read(whole)
    picture = None
    if shown is not None:
        inner = source.whole if isinstance(source, CroppedSource) else source
        picture = shown(values, observed, str(getattr(inner, "dtype", "float32")))
    looked, seen = values, observed
    if size is not None:
        looked, seen = ResizedSource(ArraySource(values, observed=observed), size).read(Window((0, 0), size))
    if scaling is not None:
        looked = scaling.apply(looked, seen)
    return _Frame(source, labels, observed, picture, looked, seen)


def _brought_back(said: NDArray[np.float32], seen: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Probabilities ``K h w`` at another size, bilinearly from where they are of something; nan where of nothing."""
    if said.shape[1:] == shape:
        return said.copy()

    def resized(band: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(Image.fromarray(band).resize((shape[1], shape[0]), Image.Resampling.BILINEAR))

    share = resized(seen.astype(np.float32))
    values = np.stack([resized(band) for band in np.where(seen, said, np.float32(0))])
    return np.where(share > 0, values / np.where(share > 0, share, 1), np.nan).astype(np.float32)


def _write(
    asked: _Asked, target: Path, frame: _Frame, own: NDArray[np.float32], mask: NDArray[np.uint8]
) -> WrongLabels | None:
    """The files of one frame; what is expected of its labels, where it has any."""
    source = frame.source
    p_wrong = None
    if asked.labelled and frame.labels is not None:
        given = frame.labels.read(Window((0, 0), tuple(source.shape)))
        p_wrong = error_map_array(own, given, rho=0.5)
    if isinstance(source, CroppedSource):
        own, mask = _placed(source, own, np.nan), _placed(source, mask, 255)
        p_wrong = None if p_wrong is None else _placed(source, p_wrong, np.nan)
        source = source.whole

    def beside(ending: str) -> Path:
        return target.with_name(f"{target.name}{ending}")

    with contextlib.ExitStack() as stack:
        if getattr(source, "geobox", None) is None:
            write_mask(stack.enter_context(atomic_output(beside(".png"), asked.overwrite)), mask, "PNG")
        else:
            temporary = stack.enter_context(atomic_output(beside(".tif"), asked.overwrite))
            with tiff_like(temporary, source, "uint8", 1, asked.model) as dst:
                dst.write(mask, 1)
        if asked.scores:
            temporary = stack.enter_context(atomic_output(beside("_scores.tif"), asked.overwrite))
            write_map(temporary, own, source, asked.model)
        if p_wrong is not None:
            temporary = stack.enter_context(atomic_output(beside("_wrong.tif"), asked.overwrite))
            write_map(temporary, p_wrong[None], source, asked.model)
    return None if p_wrong is None else WrongLabels.counted(p_wrong)


def _placed(source: CroppedSource, part: NDArray[Any], outside: float) -> NDArray[Any]:
    """What is of the box that a frame was cut to, on the whole frame."""
    whole = np.full((*part.shape[:-2], *source.whole.shape), outside, dtype=part.dtype)
    rows, columns = source.box.slices
    whole[..., rows, columns] = part
    return whole

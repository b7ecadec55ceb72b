"""Sequences in plain folders: a folder of frames, a video or a volume each, and masks under the same names."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from segnoise.data.image import ImageSource
from segnoise.data.pairing import RASTER_SUFFIXES, Pair, find_images, natural_key, read_table
from segnoise.data.raster import RasterSource
from segnoise.data.source import Labels, Source
from segnoise.data.video.masks import Decoder
from segnoise.data.video.numbering import frame_name, numbered
from segnoise.data.video.recording import Frame, Recording
from segnoise.data.video.sequence import Numbering
from segnoise.data.video.slices import VOLUME_SUFFIXES, slices_of
from segnoise.data.video.unbroken import check_unbroken
from segnoise.data.video.videofile import VIDEO_SUFFIXES, VideoFile, VideoFrame
from segnoise.errors import UserError

FRAME_SUFFIXES = (*RASTER_SUFFIXES, ".gif")

Names = Sequence[str | Path]


def read_folders(
    images: Names,
    labels: str | Path | Names,
    decode: Decoder,
    numbering: Numbering = "name",
    axis: int = 2,
    num_classes: int | None = None,
) -> list[Recording]:
    """The sequences under folders, or those that files and patterns make, with their masks.

    Frames of one folder are a sequence, called by the folder; where they begin differently (``a_01.png``,
    ``b_01.png``) each beginning is one. A video is a sequence whose frames count from 0, a volume one of the slices
    across ``axis``. ``labels`` is a folder that holds, for each sequence, a folder of its name with masks of the same
    frame numbers (for a volume, a volume of its name), a list or pattern of such files, or a CSV table with the columns
    image, label and, if wanted, split. ``numbering`` ``order`` counts frames in natural order of their names, whatever
    numbers these hold, and pairs masks by name.

    Raises UserError for a path that is not there, for names without a number and numbers given twice, and for a mask
    without its frame, naming it.
    """
    root, files = _files(images)
    table = _table(labels)
    masks: dict[str, list[Path]] = {}
    if table is None:
        label_root, label_files = _files([labels] if isinstance(labels, str | Path) else labels)
        masks = _by_folder(label_root, label_files)
    found: list[Recording] = []
    for where, paths in _by_folder(root, files).items():
        frames = [path for path in paths if _ending(path, FRAME_SUFFIXES)]
        by_start: dict[str, list[Path]] = {"": frames} if numbering == "order" and frames else {}
        if numbering == "name":
            for path in frames:
                by_start.setdefault(frame_name(path)[0], []).append(path)
        given = masks.pop(where, []) if frames else []
        for start, ours in by_start.items():
            mine = given if len(by_start) == 1 else [path for path in given if frame_name(path)[0] == start]
            given = [path for path in given if path not in mine]
            name = _name(root, where, start if len(by_start) > 1 else "")
            found.append(_of_frames(name, ours, mine, table, decode, numbering))
        if given:
            raise UserError(f"{given[0]}: no frame in {ours[0].parent} begins like this mask; take it out or rename it")
        for path in paths:
            if _ending(path, VIDEO_SUFFIXES):
                name = _name(root, where, path.stem)
                found.append(_of_video(name, path, masks.pop(name, []), decode))
            elif _ending(path, VOLUME_SUFFIXES):
                found.append(slices_of(_name(root, where, ""), path, masks.get(where, []), table, axis, num_classes))
    for left in masks.values():
        for path in left:
            if _ending(path, FRAME_SUFFIXES):
                raise UserError(f"{path}: there is no sequence of frames for this mask; add it or take the mask out")
    return sorted(found, key=lambda recording: natural_key(recording.name))


def recording_of(
    name: str,
    images: Mapping[int, Path],
    masks: Mapping[int, Path],
    decode: Decoder,
    group: str | None = None,
    split: str | None = None,
) -> Recording:
    """A recording of image files and mask files by frame number.

    Raises UserError for a mask whose frame is not there.
    """
    path = next(iter(images.values())).parent
    for number, mask in masks.items():
        if number not in images:
            raise UserError(f"{mask}: {path} has no frame {number}; add the frame or take the mask out")
    frames = [Frame(n, str(image), opener(image, masks.get(n), decode)) for n, image in images.items()]
    return Recording(name, path, frames, group, split)


def opener(image: Path, mask: Path | None, decode: Decoder) -> Callable[[], tuple[Source, Labels | None]]:
    """Opens a frame and its mask when asked."""

    def open_both() -> tuple[Source, Labels | None]:
        source = open_frame(image)
        return source, None if mask is None else open_mask(mask, source, decode)

    return open_both


def open_mask(path: Path, frame: Source, decode: Decoder) -> Labels:
    """The labels in the mask of a frame."""
    check_unbroken(path)
    return decode(path, frame)


def open_frame(path: Path) -> Source:
    """An image file: a scene where it lies on the Earth, else a picture.

    Raises UserError as ``RasterSource`` does, and for a PNG that ends too early.
    """
    check_unbroken(path)
    if path.suffix.lower() in (".tif", ".tiff", ".vrt", ".jp2", ".img"):
        scene = RasterSource(path)
        if scene.geobox is not None:
            return scene
    return ImageSource(path)


def _of_frames(
    name: str,
    paths: Sequence[Path],
    masks: Sequence[Path],
    table: Mapping[Path, Pair] | None,
    decode: Decoder,
    numbering: Numbering,
) -> Recording:
    images = numbered(paths, numbering)
    if table is not None:
        rows = {number: table[path.resolve()] for number, path in images.items() if path.resolve() in table}
        named = {number: row.label for number, row in rows.items()}
        return recording_of(name, images, named, decode, split=_one_split(rows.values()))
    if numbering == "name":
        return recording_of(name, images, numbered(masks), decode)
    places = {path.stem: number for number, path in images.items()}
    strange = next((mask for mask in masks if mask.stem not in places), None)
    if strange is not None:
        raise UserError(f"{strange}: no frame in {paths[0].parent} has its name; add the frame or take the mask out")
    return recording_of(name, images, {places[mask.stem]: mask for mask in masks}, decode)


def _of_video(name: str, path: Path, masks: Sequence[Path], decode: Decoder) -> Recording:
    video = VideoFile(path)
    given = numbered(masks)
    for number, mask in given.items():
        if number >= len(video):
            raise UserError(f"{mask}: {path} has no frame {number}, only 0 to {len(video) - 1}; take the mask out")

    def open_at(k: int) -> Callable[[], tuple[Source, Labels | None]]:
        frame = VideoFrame(video, k)
        return lambda: (frame, open_mask(given[k], frame, decode) if k in given else None)

    return Recording(name, path, [Frame(k, f"{path}, frame {k}", open_at(k)) for k in range(len(video))])


def _one_split(rows: Iterable[Pair]) -> str | None:
    splits: dict[str | None, Pair] = {}
    for row in rows:
        splits.setdefault(row.split, row)
    if len(splits) > 1:
        (one, a), (other, b) = list(splits.items())[:2]
        raise UserError(
            f"{a.image}: is given to {one or 'no split'}, but {b.image} of the same sequence to {other or 'no split'}; "
            "a sequence is on one side"
        )
    return next(iter(splits), None)


def _files(entries: Names) -> tuple[Path, list[Path]]:
    """The files that folders, names and patterns stand for, and the folder that their names are told from."""
    known = (*FRAME_SUFFIXES, *VIDEO_SUFFIXES, *VOLUME_SUFFIXES)
    found: dict[Path, None] = {}
    tops = []
    for entry in entries:
        path = Path(entry)
        folders = [path] if path.is_dir() else _folders(str(entry))
        if folders:
            inside = [p for folder in folders for p in sorted(folder.rglob("*"), key=natural_key) if _ending(p, known)]
            if not inside:
                raise UserError(f"{path}: holds no frame, video or volume; give the folder of the sequences")
            tops += [path] if path.is_dir() else [folder.parent for folder in folders]
        else:
            inside = find_images([str(entry)], Path.cwd())
            tops += [p.parent for p in inside]
        found.update(dict.fromkeys(inside))
    return Path(os.path.commonpath([top.absolute() for top in tops])), list(found)


def _folders(pattern: str) -> list[Path]:
    """The folders that a pattern matches, in natural order."""
    if not glob.has_magic(pattern):
        return []
    return sorted((Path(p) for p in glob.glob(pattern, recursive=True) if Path(p).is_dir()), key=natural_key)


def _by_folder(root: Path, files: Sequence[Path]) -> dict[str, list[Path]]:
    """Files by the place of their folder under the root; ``.`` is the root itself."""
    found: dict[str, list[Path]] = {}
    for path in files:
        found.setdefault(path.absolute().parent.relative_to(root).as_posix(), []).append(path)
    return found


def _table(labels: str | Path | Names) -> dict[Path, Pair] | None:
    if isinstance(labels, str | Path) and str(labels).lower().endswith(".csv"):
        return {pair.image.resolve(): pair for pair in read_table(labels)}
    return None


def _name(root: Path, where: str, start: str) -> str:
    """The name of a sequence: its folder, and what its files begin with where that tells sequences apart."""
    parts = [part for part in (where, start) if part not in ("", ".")]
    return "/".join(parts) or root.name


def _ending(path: Path, suffixes: Sequence[str]) -> bool:
    return path.name.lower().endswith(tuple(suffixes))

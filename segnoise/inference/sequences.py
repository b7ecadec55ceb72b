"""From paths to sequences of frames: folders, videos, images of one sequence, public sets as training reads them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from segnoise.config import VideoData
from segnoise.data import IGNORE_INDEX, ArrayLabels, Labels, Source
from segnoise.data.video import ENDOVIS18, PUBLISHED, Recording, mask_decoder, read_folders
from segnoise.data.video.masks import Decoder
from segnoise.data.video.sequence import Numbering
from segnoise.data.video.slices import VOLUME_SUFFIXES
from segnoise.errors import UserError


def recordings_of(
    data: VideoData | None, num_classes: int, inputs: Sequence[Path], labels: str | Path | None
) -> list[Recording]:
    """The sequences that folders of frames, videos and images make, with the masks that were given for their frames.

    A folder laid out as the public set that a run was trained on is read as in training, masks and all; any other as
    :func:`segnoise.data.video.read_folders` does. ``data`` is that of the run; without one masks are class indices.

    Raises:
        UserError: a volume, two sequences of one name, masks of a public set given apart from it, and what the readers
            find wrong.
    """
    volume = next((path for path in inputs if path.name.lower().endswith(VOLUME_SUFFIXES)), None)
    if volume is not None:
        raise UserError(f"{volume}: is a volume; give its slices as images, or use a run of kind volume")
    root = _set_at(data, inputs)
    if root is not None and data is not None:
        if labels is not None and Path(labels).resolve() not in (root.resolve(), inputs[0].resolve()):
            raise UserError(f"{labels}: masks of {data.layout} lie beside its frames; give {root} as labels too")
        found = PUBLISHED[data.layout].read(root, data.target)
    elif labels is None:
        # Each frame stands in for its own mask, which is unknown and never read.
        found = read_folders(inputs, list(inputs), _unknown, _numbers(data))
    else:
        masks = _masks_of_one(inputs, labels)
        found = read_folders(inputs, masks, _decoder(data, num_classes), _numbers(data), num_classes=num_classes)
    names: set[str] = set()
    for recording in found:
        if recording.name in names:
            raise UserError(f"{recording.path}: there are two sequences called {recording.name}; predict one at a time")
        names.add(recording.name)
    if not found:
        raise UserError(f"{inputs[0]}: holds no frame of a sequence; give a folder of frames, or a video")
    return found


def unbroken(numbers: Sequence[int], apart: int) -> list[range]:
    """The positions of frames between gaps, which are where numbers jump by more than ``apart``.

    >>> unbroken([0, 1, 2, 7, 8], apart=1), unbroken([0, 30, 60], apart=30)
    ([range(0, 3), range(3, 5)], [range(0, 3)])
    """
    begins = [0, *(k for k, (a, b) in enumerate(pairwise(numbers), 1) if b - a > apart)]
    return [range(a, b) for a, b in pairwise([*begins, len(numbers)])]


def _set_at(data: VideoData | None, inputs: Sequence[Path]) -> Path | None:
    """Where the public set begins, if the one input is laid out as that of the run."""
    if data is None or data.layout == "frames" or len(inputs) != 1 or not inputs[0].is_dir():
        return None
    place, root = PUBLISHED[data.layout].place, inputs[0]
    if root.absolute().name == place:
        return root.absolute().parent
    return root if any(path.is_dir() for path in root.rglob(place)) else None


def _masks_of_one(inputs: Sequence[Path], labels: str | Path) -> str | Path:
    """Of a folder with the masks of several sequences those of the one that is given, if they lie under its name."""
    homes = {path if path.is_dir() else path.parent for path in inputs}
    inside = Path(labels) / next(iter(homes)).absolute().name
    return inside if len(homes) == 1 and inside.is_dir() else labels


def _decoder(data: VideoData | None, num_classes: int) -> Decoder:
    """How masks of plain frames are read: as those of the run are."""
    if data is None:
        return mask_decoder("indices", [str(k) for k in range(num_classes)])
    if data.layout == "endovis17":
        raise UserError("labels: a run on EndoVis 2017 reads masks of its layout; give a folder with ground_truth")
    if data.layout == "endovis18":
        return mask_decoder("colours", data.classes, colours=ENDOVIS18)
    if data.layout in ("polypgen", "sunseg"):
        return mask_decoder("threshold", data.classes)
    return mask_decoder(data.masks, data.classes, data.values, data.colours)


def _numbers(data: VideoData | None) -> Numbering:
    return "name" if data is None else data.numbers


def _unknown(path: Path, frame: Source) -> Labels:
    return ArrayLabels(np.broadcast_to(np.uint8(IGNORE_INDEX), tuple(frame.shape)))

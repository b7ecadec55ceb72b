"""EndoVis 2017 and 2018: robotic surgery as the challenges lay it out.

Data: Allan et al., 2017 Robotic Instrument Segmentation Challenge (2019); 2018 Robotic Scene Segmentation Challenge
(2020).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from segnoise.data.image import ImageSource
from segnoise.data.pairing import natural_key
from segnoise.data.rasterfile import RasterFile
from segnoise.data.sample import IGNORE_INDEX
from segnoise.data.source import Labels, Source
from segnoise.data.video.cropped import CroppedLabels, CroppedSource
from segnoise.data.video.folders import recording_of
from segnoise.data.video.masks import Colour, ColourMask
from segnoise.data.video.numbering import numbered
from segnoise.data.video.recording import Frame, Recording
from segnoise.data.video.unbroken import check_unbroken
from segnoise.errors import UserError
from segnoise.windows import Window

Target = Literal["binary", "parts", "types"]

ENDOVIS17: dict[Target, tuple[str, ...]] = {
    "binary": ("background", "instrument"),
    "parts": ("background", "shaft", "wrist", "clasper"),
    "types": (
        "background", "bipolar forceps", "prograsp forceps", "needle driver", "vessel sealer", "grasping retractor",
        "curved scissors", "other",
    ),
}  # fmt: skip
"""The classes of each target."""

ENDOVIS18: dict[str, Colour] = {
    "tissue": (0, 0, 0), "shaft": (0, 255, 0), "clasper": (0, 255, 255), "wrist": (125, 255, 12),
    "kidney": (255, 55, 0), "covered kidney": (24, 55, 125), "thread": (187, 155, 25), "clamps": (0, 255, 125),
    "needle": (255, 255, 125), "suction": (123, 15, 175), "intestine": (124, 155, 5),
    "ultrasound probe": (12, 255, 141),
}  # fmt: skip
"""The classes in their order, and the colour of each."""

_PARTS = {10: 1, 20: 2, 30: 3}
_KINDS = {
    "bipolar": 1,
    "prograsp": 2,
    "needle_driver": 3,
    "vessel_sealer": 4,
    "retractor": 5,
    "scissors": 6,
    "other": 7,
}
_OTHER = 7
_NATIVE = (1080, 1920)
_SHOWN = Window((28, 320), (1024, 1280))
"""What of a native frame of 2017 is picture."""


def read_endovis17(folder: str | Path, target: Target = "parts") -> list[Recording]:
    """EndoVis 2017: ``instrument_dataset_K/left_frames/frame###.png`` with a folder an instrument in ``ground_truth``.

    The border of frames of 1920 x 1080 is cut off (rows 28 to 1052, columns 320 to 1600). Grey values 10, 20 and 30 are
    shaft, wrist and clasper; what kind of instrument it is says its folder. An ``Other`` instrument (an ultrasound
    probe) is background but in ``types``. The group is ``instrument_dataset_K``, because the test frames go on where
    the training frames of the same operation end; the split is ``test`` below a folder with test in its name.

    Raises UserError for a folder without such sequences, an unknown instrument, a frame that one instrument has a mask
    of and another has not and, when reading, for another grey value, naming it and the file.
    """
    return [_sequence17(Path(folder), frames, target) for frames in _frame_folders(Path(folder))]


def read_endovis18(folder: str | Path) -> list[Recording]:
    """EndoVis 2018: ``seq_K/left_frames/frame###.png`` with colour-coded masks of the same names in ``labels``.

    Three channels are compared, because some releases hold RGBA. The right frames of the stereo pairs have no labels
    and are left alone. The split is ``test`` below a folder with test in its name.

    Raises UserError for a folder without such sequences, a mask without its frame and, when reading, for a colour that
    is none of :data:`ENDOVIS18`, naming it and the file.
    """
    root, classes = Path(folder), list(ENDOVIS18)
    table = {colour: k for k, colour in enumerate(ENDOVIS18.values())}
    found = []
    for frames in _frame_folders(root):
        images, masks = numbered(frames.glob("*.png")), numbered((frames.parent / "labels").glob("*.png"))
        name = _name(root, frames.parent)
        split = _split(root, frames)
        found.append(
            recording_of(name, images, masks, lambda path, frame: ColourMask(path, table, classes, frame), split=split)
        )
    return found


def _frame_folders(root: Path) -> list[Path]:
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; check the path")
    found = sorted((path for path in root.rglob("left_frames") if any(path.glob("*.png"))), key=natural_key)
    if not found:
        raise UserError(f"{root}: holds no left_frames/*.png; give the folder of the sequences, unpacked")
    return found


def _name(root: Path, folder: Path) -> str:
    where = folder.relative_to(root).as_posix()
    return folder.name if where == "." else where


def _split(root: Path, folder: Path) -> str:
    return "test" if any("test" in part.lower() for part in folder.relative_to(root).parts) else "train"


def _sequence17(root: Path, folder: Path, target: Target) -> Recording:
    images = numbered(folder.glob("*.png"))
    truth = folder.parent / "ground_truth"
    by_instrument: dict[Path, dict[int, Path]] = {}
    if truth.is_dir():
        for instrument in sorted((path for path in truth.iterdir() if path.is_dir()), key=natural_key):
            by_instrument[instrument] = numbered(instrument.glob("*.png"))
    kinds = {instrument: _kind(instrument) for instrument in by_instrument}
    for instrument, masks in by_instrument.items():
        for number, mask in masks.items():
            if number not in images:
                raise UserError(f"{mask}: {folder} has no frame {number}; add the frame or take the mask out")
            lacking = next((other for other, theirs in by_instrument.items() if number not in theirs), None)
            if lacking is not None:
                raise UserError(
                    f"{lacking}: no mask of the frame {images[number].name} that {instrument.name} has; add it"
                )

    def open_at(number: int) -> Callable[[], tuple[Source, Labels | None]]:
        def open_both() -> tuple[Source, Labels | None]:
            check_unbroken(images[number])
            image = ImageSource(images[number])
            masks = {theirs[number]: kinds[one] for one, theirs in by_instrument.items() if number in theirs}
            labels = InstrumentMasks(masks, target, image) if masks else None
            if image.shape != _NATIVE:
                return image, labels
            return CroppedSource(image, _SHOWN), None if labels is None else CroppedLabels(labels, _SHOWN)

        return open_both

    frames = [Frame(number, str(path), open_at(number)) for number, path in images.items()]
    return Recording(_name(root, folder.parent), folder, frames, folder.parent.name, _split(root, folder))


def _kind(folder: Path) -> int:
    name = folder.name.lower()
    found = next((kind for word, kind in _KINDS.items() if word in name), None)
    if found is None:
        raise UserError(f"{folder}: an instrument that is not known; known: {', '.join(_KINDS)}")
    return found


class InstrumentMasks:
    """The masks of one frame, a file an instrument, as one; where they meet, the later folder in natural order lies
    above.
    """

    def __init__(self, masks: Mapping[Path, int], target: Target, frame: ImageSource) -> None:
        for path in masks:
            check_unbroken(path)
        self._files = [(RasterFile(path), kind) for path, kind in masks.items()]
        self._target = target
        self.path, self.shape = next(iter(masks)), frame.shape
        for file, _ in self._files:
            if file.info.shape != frame.shape:
                sizes = [f"{shape[0]} x {shape[1]} px" for shape in (file.info.shape, frame.shape)]
                raise UserError(f"{file.path}: the mask is {sizes[0]} but its frame {frame.path} is {sizes[1]}")

    def read(self, window: Window) -> NDArray[np.int64]:
        labels = np.full(window.size, IGNORE_INDEX, dtype=np.int64)
        inside = window.clip(self.shape)
        if all(inside.size):
            together = np.zeros(inside.size, dtype=np.int64)
            for file, kind in self._files:
                grey = file.read((1,), inside)[0][0]
                if kind == _OTHER:
                    if self._target == "types":
                        together[grey > 0] = kind
                    continue
                parts = self._parts(grey, file.path)
                label = {"binary": np.sign(parts), "parts": parts, "types": kind * np.sign(parts)}[self._target]
                together = np.where(label > 0, label, together)
            labels[inside.within(window)] = together
        return labels

    @staticmethod
    def _parts(grey: NDArray[np.integer], path: Path) -> NDArray[np.int64]:
        parts = np.zeros(grey.shape, dtype=np.int64)
        for value, part in _PARTS.items():
            parts[grey == value] = part
        strange = (parts == 0) & (grey != 0)
        if strange.any():
            raise UserError(
                f"{path}: the grey value {int(grey[strange][0])} is none of 0, 10 (shaft), 20 (wrist), 30 (clasper); "
                "correct the mask"
            )
        return parts

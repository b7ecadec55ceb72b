"""Colonoscopy as public sets lay it out: the sequences of PolypGen, and SUN-SEG.

Data: Ali et al., Scientific Data 10 (2023); Ji et al., Machine Intelligence Research 19 (2022).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from segnoise.data.pairing import natural_key
from segnoise.data.source import ArrayLabels, Labels, Source
from segnoise.data.video.folders import FRAME_SUFFIXES, open_frame, recording_of
from segnoise.data.video.masks import ThresholdMask
from segnoise.data.video.numbering import numbered
from segnoise.data.video.recording import Frame, Recording
from segnoise.errors import UserError

POLYP_CLASSES = ("background", "polyp")


def read_polypgen(folder: str | Path) -> list[Recording]:
    """The sequences of PolypGen: ``sequenceData/positive/seqN/{images,masks}_seqN`` and ``sequenceData/negativeOnly``.

    Masks are JPEG, called ``<stem>_mask.jpg`` or ``<stem>.jpg``, and cut at 127. Frames of ``negativeOnly`` show no
    polyp: all of them is background. The stills of the six centres are no sequences and left alone.

    Raises UserError for a folder without such sequences and for a mask without its frame.
    """
    root = Path(folder)
    top = next((path for path in (root / "sequenceData", root) if (path / "positive").is_dir()), None)
    if top is None:
        raise UserError(f"{folder}: holds no sequenceData/positive; give the folder of PolypGen, unpacked")
    found = []
    for images in sorted(top.glob("positive/*/images_*"), key=natural_key):
        frames = _pictures(images)
        masks = {path.stem.removesuffix("_mask"): path for path in _pictures(images.parent / f"masks{images.name[6:]}")}
        by_number = numbered(frames)
        stems = {path.stem: number for number, path in by_number.items()}
        strange = next((mask for stem, mask in masks.items() if stem not in stems), None)
        if strange is not None:
            raise UserError(f"{strange}: {images} has no frame of this name; add the frame or take the mask out")
        given = {stems[stem]: mask for stem, mask in masks.items()}
        found.append(recording_of(f"positive/{images.parent.name}", by_number, given, ThresholdMask))
    by_folder: dict[Path, list[Path]] = {}
    for path in sorted(_pictures(top / "negativeOnly", "**/*"), key=natural_key):
        by_folder.setdefault(path.parent, []).append(path)
    for place, paths in by_folder.items():
        frames_of = [Frame(n, str(path), _negative(path)) for n, path in numbered(paths).items()]
        found.append(Recording(place.relative_to(top).as_posix(), place, frames_of))
    if not found:
        raise UserError(f"{folder}: holds no positive/*/images_*; give the folder of PolypGen, unpacked")
    return found


def read_sunseg(folder: str | Path) -> list[Recording]:
    """SUN-SEG: ``{TrainDataset,TestEasyDataset,TestHardDataset}/{Seen,Unseen}/{Frame,GT}/case_k``, GT by the same stem.

    Masks are cut at 127. The group is the case (the patient), ``case3`` for ``case3_1``: the ``Seen`` tests hold other
    frames of cases that are trained on. The split is ``train`` below ``TrainDataset`` and ``test`` below the others.

    Raises UserError for a folder without such sequences and for a mask without its frame.
    """
    root = Path(folder)
    places = sorted((path for path in root.rglob("Frame") if path.is_dir()), key=natural_key)
    found = []
    for place in places:
        for case in sorted((path for path in place.iterdir() if path.is_dir()), key=natural_key):
            images = numbered(_pictures(case))
            if not images:
                continue
            masks = numbered(_pictures(place.parent / "GT" / case.name))
            where = case.relative_to(root)
            name = "/".join(part for part in where.parts if part != "Frame")
            patient = re.match(r"(?i)(case)_?(\d+)", case.name)
            group = f"case{patient[2]}" if patient else case.name
            split = "train" if any("train" in part.lower() for part in where.parts) else "test"
            found.append(recording_of(name, images, masks, ThresholdMask, group, split))
    if not found:
        raise UserError(f"{folder}: holds no Frame/case_*; give the folder of SUN-SEG, unpacked")
    return found


def _negative(path: Path) -> Callable[[], tuple[Source, Labels | None]]:
    def open_both() -> tuple[Source, Labels | None]:
        image = open_frame(path)
        return image, ArrayLabels(np.broadcast_to(np.uint8(0), image.shape))

    return open_both


def _pictures(folder: Path, pattern: str = "*") -> Iterable[Path]:
    return [path for path in folder.glob(pattern) if path.suffix.lower() in FRAME_SUFFIXES]

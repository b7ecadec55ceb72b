"""A first configuration for sequences of frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from segnoise.data import IGNORE_INDEX, Labels, Source
from segnoise.data.item import Item
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
from segnoise.training.initial.brightness import look_at
from segnoise.training.initial.dealing import deal
from segnoise.training.initial.draft import Choice, Choices, Draft, Files, Progress
from segnoise.training.initial.effort import first_effort, sides, square_window
from segnoise.training.initial.labelcount import count_labels, see_classes

_FRAMES = 4
_LARGE = 640
_MANY = tuple(str(k) for k in range(IGNORE_INDEX))
_JPEG = (".jpg", ".jpeg")


@dataclass(frozen=True)
class _Found:
    """The choices that say where the sequences lie and how masks are read, names of classes, and what is there."""

    choices: dict[str, Choice | Choices]
    classes: tuple[str, ...] | None
    recordings: Sequence[Recording]
    where: Path


def draft_video(files: Files, progress: Progress | None = None) -> Draft:
    """Looks at EndoVis, PolypGen or SUN-SEG, or at folders of frames, videos or volumes with masks."""
    found = _find(files)
    stride = _stride(found.recordings)
    items = items_of(found.recordings, stride)
    masks = [mask for item in items for mask in _masks(item)]
    counts = count_labels(masks, len(masks), progress)
    choices = dict(found.choices)
    if found.classes is None and counts[IGNORE_INDEX] and not counts[1:IGNORE_INDEX].any():
        choices["masks"] = Choice("values", "the masks hold only 0 and 255")
        choices["values"] = Choice({0: 0, IGNORE_INDEX: 1}, "black and white")
        counts[1], counts[IGNORE_INDEX] = counts[IGNORE_INDEX], 0
    seen = see_classes(counts, str(found.where), found.classes, "the set")
    shapes = [item.source.shape for item in items]
    size = _size(shapes)
    learnt = [(shape[0], *size.value) if size else shape for shape in shapes]
    window = square_window([shape[1:] for shape in learnt])
    groups, parts = [item.group for item in items], [item.split for item in items]
    dealt = deal([item.name for item in items], "sequence", blocks=False, given=parts, groups=groups)
    effort = first_effort(learnt, [_FRAMES, window.value, window.value], dealt.train, dealt.val)
    brightness = look_at([_middle(item) for item in items])
    frames = sum(shape[0] for shape in shapes)
    facts = [
        f"{frames} frames of {sides([shape[1:] for shape in shapes])} px in {len(items)} sequences without gaps, of "
        f"{len(set(groups))} recordings or patients; {brightness or 'nothing observed'}",
        seen.fact,
    ]
    data: dict[str, Choice | Choices] = {
        "kind": Choice("video", ""), **choices, "classes": seen.names,
        "frames": Choice(_FRAMES, "short clips: neighbours in time, as many crops as memory takes"), "window": window,
        "split": dealt.split, "scaling": {"per": Choice("set", f"one scaling for all; {brightness}")},
    }  # fmt: skip
    if stride > 1:
        data["stride"] = Choice(stride, "how far apart the numbers of neighbouring frames mostly are")
    if size is not None:
        data["size"] = size
    if effort.samples is not None:
        data["samples_per_epoch"] = effort.samples
    warnings = [*seen.warnings, *dealt.warnings, *([effort.warning] if effort.warning else [])]
    return Draft(data, {"epochs": effort.epochs, "batch_size": effort.batch_size}, facts, warnings)


def _find(files: Files) -> _Found:
    if files.folder is None:
        if not files.images or files.labels is None:
            raise UserError("--folder, or --images with --labels: are missing; give the folder of the sequences")
        choices: dict[str, Choice | Choices] = {
            "images": Choice([files.written(image) for image in files.images], ""),
            "labels": Choice(files.written(files.labels), ""),
        }
        return _plain(choices, list(files.images), files.labels)
    root = Path(files.folder)
    if not root.is_dir():
        raise UserError(f"--folder {files.folder}: no such folder; check the path")
    folder = Choice(files.written(root), "")

    def public(layout: str, why: str) -> _Found:
        known = PUBLISHED[layout]
        choices: dict[str, Choice | Choices] = {"folder": folder, "layout": Choice(layout, f"{why} has them")}
        return _Found(choices, known.classes("parts"), known.read(root, "parts"), root)

    if next(root.rglob("ground_truth"), None) is not None:
        return public("endovis17", "left_frames with ground_truth, as EndoVis 2017")
    if next(root.rglob("left_frames"), None) is not None:
        return public("endovis18", "left_frames with labels, as EndoVis 2018")
    if any((top / "positive").is_dir() for top in (root, root / "sequenceData")):
        return public("polypgen", "positive/seqN, as PolypGen")
    if next(root.rglob("GT"), None) is not None:
        return public("sunseg", "Frame with GT, as SUN-SEG")
    plain = plain_folder(root)
    if plain is None:
        held = ", ".join(sorted(path.name for path in root.iterdir())[:8]) or "nothing"
        raise UserError(f"--folder {root}: holds no images/ with labels/ or masks/, and is no set known; it has {held}")
    return _plain({"folder": folder}, [str(plain[0])], str(plain[1]))


def _plain(choices: dict[str, Choice | Choices], images: list[str], labels: str) -> _Found:
    """Masks that were kept as JPEG are black and white; others hold class indices."""
    where = Path(labels)
    jpeg = where.is_dir() and any(path.suffix.lower() in _JPEG for path in where.rglob("*"))
    classes = _MANY[:2] if jpeg else _MANY
    decode = mask_decoder("threshold" if jpeg else "indices", classes)
    if jpeg:
        choices["masks"] = Choice("threshold", "the masks are JPEG: black and white, cut at 127")
    return _Found(choices, None, read_folders(images, labels, decode, num_classes=len(classes)), where)


def _stride(recordings: Sequence[Recording]) -> int:
    """The most common distance between the numbers of neighbours."""
    apart = Counter(b.number - a.number for one in recordings for a, b in pairwise(one.frames))
    return apart.most_common(1)[0][0] if apart else 1


def _size(shapes: Sequence[tuple[int, ...]]) -> Choice | None:
    """Large frames of one size are halved until they fit a first run."""
    sizes = {shape[1:] for shape in shapes}
    if len(sizes) > 1:
        return None
    rows, columns = next(iter(sizes))
    factor = 1
    while max(rows, columns) > factor * _LARGE:
        factor *= 2
    if factor == 1:
        return None
    return Choice([rows // factor, columns // factor], f"frames are {rows} x {columns} px; null trains on all of them")


def _masks(item: Item) -> list[Labels]:
    assert isinstance(item.labels, FrameLabels)
    return [mask for mask in item.labels.frames if mask is not None]


def _middle(item: Item) -> Source:
    """The frame in the middle, which stands for its sequence."""
    assert isinstance(item.source, FrameSequence)
    return item.source.frames[len(item.source.frames) // 2]

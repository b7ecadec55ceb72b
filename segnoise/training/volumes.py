"""Volumes of a run with their labels: files paired by name, tables, nnU-Net data sets; whole, or cut into slices.

A volume of which ``data.slice_labels`` say something needs no mask: its voxels are unknown then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segnoise.config import VolumeData
from segnoise.data import IGNORE_INDEX, ArrayLabels, Labels, PerImage, Source, read_table
from segnoise.data.volume import (
    CalledAs,
    SliceLabels,
    SliceSource,
    Standard,
    VolumeGrid,
    VolumeLabels,
    VolumeSource,
    find_volumes,
    label_volumes,
    read_nnunet,
    volume_name,
)
from segnoise.errors import UserError
from segnoise.training.told import Told, labels_of_slices, labels_within_volume, read_told


@dataclass(frozen=True)
class VolumeItem:
    """A volume with its labels and the affine of its grid, or a slice; ``group`` is the volume where it is cut.

    ``file`` is the image itself where there is no mask; ``image_labels`` say of each class whether it is in the volume
    or slice: 1, 0, or nan where that is not known; ``slice_labels``, ``C Z``, the same of slices across its last axis.
    """

    image: Path
    file: Path
    source: Source
    labels: Labels
    affine: NDArray[np.float64] | None
    group: str | None
    split: str | None
    image_labels: tuple[float, ...] | None = None
    slice_labels: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class _Case:
    name: str
    images: tuple[Path, ...]
    labels: Path | None
    split: str | None = None
    told: Told | None = None


def standard_of(data: VolumeData) -> Standard:
    """Where axes point and how large voxels are while the networks of a run look."""
    return Standard(data.orientation, data.spacing)


def open_volume_source(data: VolumeData, paths: Sequence[Path]) -> Source:
    """A volume as the networks of a run see it; several files are its channels."""
    return _scaled(data, VolumeSource(list(paths), standard=standard_of(data)))


def _scaled(data: VolumeData, source: VolumeSource) -> Source:
    if data.scaling.per == "set":
        return source
    return PerImage(source, data.scaling.kind, data.scaling.divide)


def open_volumes(data: VolumeData) -> Iterator[VolumeItem]:
    """Every volume, or slice of one, of a run.

    Raises:
        UserError: paths that are not there, labels without their volume, on another grid, or with other values than
            the classes; a table of slice labels with a fault, or of slices that there are not.
    """
    cases, ignore = _cases(data)
    names = Counter(case.name for case in cases)
    standard = standard_of(data)
    for case in cases:
        raw = VolumeSource(list(case.images))
        seen = VolumeSource(list(case.images), standard=standard)
        source, first = _scaled(data, seen), case.images[0]
        labels: Labels = ArrayLabels(np.broadcast_to(np.uint8(IGNORE_INDEX), seen.shape))
        if case.labels is not None:
            VolumeLabels(case.labels, len(data.classes), like=raw, ignore=ignore)
            labels = mask = VolumeLabels(case.labels, len(data.classes), ignore=ignore, standard=standard)
            mask.check()
        whole = VolumeItem(first, case.labels or first, source, labels, seen.affine, None, case.split)
        if data.slices is None:
            yield whole if case.told is None else _with_labels(whole, case.told, raw.grid, seen.grid)
            continue
        axis, around = data.slices.axis, data.slices.neighbours
        count = source.shape[axis]
        told = [None] * count if case.told is None else labels_of_slices(case.told, raw.grid, seen.grid, axis)
        for k in range(count):
            yield replace(
                whole,
                source=SliceSource(source, axis, k, around),
                labels=SliceLabels(labels, axis, k),
                affine=None,
                group=source.name if names[case.name] == 1 else str(first),
                image_labels=told[k],
            )


def _with_labels(item: VolumeItem, told: Told, stored: VolumeGrid, seen: VolumeGrid) -> VolumeItem:
    labels = None if told.whole is None else told.whole.labels
    return replace(item, image_labels=labels, slice_labels=labels_within_volume(told, stored, seen))


def _cases(data: VolumeData) -> tuple[list[_Case], int | None]:
    """The volumes with their masks and what is said of them, and which index stands for unknown in the masks."""
    if len(data.images) == 1 and data.images[0].endswith("dataset.json"):
        cases, ignore = _nnunet(data)
        return _with_told(data, cases), ignore
    images = find_volumes(data.images)
    cases = _with_told(data, [_Case(volume_name(image), (image,), None) for image in images])
    told = {case.images[0] for case in cases if case.told is not None}
    if data.labels is None and not told:
        raise UserError("data.labels: this key is needed; a folder, pattern or list of volumes, or a CSV table")
    masks = _masks(data, images, told)
    return [replace(case, labels=mask, split=split) for case, (mask, split) in zip(cases, masks, strict=True)], None


def _with_told(data: VolumeData, cases: list[_Case]) -> list[_Case]:
    if data.slice_labels is None:
        return cases
    told = read_told(data.slice_labels, data.classes, [(case.name, case.images) for case in cases])
    return [replace(case, told=one) for case, one in zip(cases, told, strict=True)]


def _nnunet(data: VolumeData) -> tuple[list[_Case], int | None]:
    dataset = read_nnunet(Path(data.images[0]).parent)
    if list(dataset.classes) != list(data.classes):
        raise UserError(
            f"data.classes: {', '.join(data.classes)}, but {data.images[0]} has {', '.join(dataset.classes)}; "
            "write those"
        )
    if data.labels is not None:
        raise UserError("data.labels: an nnU-Net data set has its own; leave the key out")
    cases = [_Case(case.name, case.images, case.label) for case in dataset.training if case.label is not None]
    return cases, dataset.ignore


def _masks(data: VolumeData, images: Sequence[Path], told: Collection[Path]) -> list[tuple[Path | None, str | None]]:
    """The mask of each image and the split that a table states; an image of which something else is told needs none."""
    if isinstance(data.labels, str) and data.labels.lower().endswith(".csv"):
        table = {pair.image.resolve(): (pair.label, pair.split) for pair in read_table(data.labels)}
        missing = next((image for image in images if image.resolve() not in table and image not in told), None)
        if missing is not None:
            raise UserError(f"{data.labels}: has no row for the image {missing}; add it or take the image out")
        return [table.get(image.resolve(), (None, None)) for image in images]
    files = [] if data.labels is None else label_volumes(data.labels)
    masks = CalledAs(files, "data.labels")
    if files and not any(volume_name(image) in masks for image in images):
        if len(files) != len(images):
            raise UserError(
                f"data.labels: {len(files)} volumes for {len(images)} images, and no names in common; name them alike "
                "or pair them in a CSV table"
            )
        return [(file, None) for file in files]
    found: list[tuple[Path | None, str | None]] = []
    for image in images:
        name = volume_name(image)
        found.append((None if image in told and name not in masks else masks.find(name, image), None))
    return found

"""Volumes of a run with their labels: files paired by name, tables, nnU-Net data sets; whole, or cut into slices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segnoise.config import VolumeData
from segnoise.data import Labels, PerImage, Source, read_table
from segnoise.data.volume import (
    SliceLabels,
    SliceSource,
    Standard,
    VolumeLabels,
    VolumeSource,
    find_volumes,
    read_nnunet,
    volume_name,
)
from segnoise.errors import UserError


@dataclass(frozen=True)
class VolumeItem:
    """A volume with its labels and the affine of its grid, or a slice; ``group`` is the volume where it is cut."""

    image: Path
    file: Path
    source: Source
    labels: Labels
    affine: NDArray[np.float64] | None
    group: str | None
    split: str | None


@dataclass(frozen=True)
class _Case:
    images: tuple[Path, ...]
    labels: Path
    split: str | None = None


def standard_of(data: VolumeData) -> Standard:
    """Where axes point and how large voxels are while the networks of a run look."""
    return Standard(data.orientation, data.spacing)


def open_volume_source(data: VolumeData, paths: Sequence[Path]) -> Source:
    """A volume as the networks of a run see it; several files are its channels."""
    source = VolumeSource(list(paths), standard=standard_of(data))
    if data.scaling.per == "set":
        return source
    return PerImage(source, data.scaling.kind, data.scaling.divide)


def open_volumes(data: VolumeData) -> Iterator[VolumeItem]:
    """Every volume, or slice of one, of a run.

    Raises:
        UserError: paths that are not there, labels without their volume, on another grid, or with other values than
            the classes.
    """
    ignore = None
    if len(data.images) == 1 and data.images[0].endswith("dataset.json"):
        cases, ignore = _nnunet(data)
    else:
        cases = _paired(data)
    standard = standard_of(data)
    for case in cases:
        raw = VolumeSource(list(case.images))
        VolumeLabels(case.labels, len(data.classes), like=raw, ignore=ignore)
        labels = VolumeLabels(case.labels, len(data.classes), ignore=ignore, standard=standard)
        labels.check()
        source = open_volume_source(data, case.images)
        first = case.images[0]
        if data.slices is None:
            yield VolumeItem(first, case.labels, source, labels, labels.grid.affine, None, case.split)
            continue
        axis, around = data.slices.axis, data.slices.neighbours
        for k in range(source.shape[axis]):
            image = SliceSource(source, axis, k, around)
            yield VolumeItem(first, case.labels, image, SliceLabels(labels, axis, k), None, source.name, case.split)


def _nnunet(data: VolumeData) -> tuple[list[_Case], int | None]:
    dataset = read_nnunet(Path(data.images[0]).parent)
    if list(dataset.classes) != list(data.classes):
        raise UserError(
            f"data.classes: {', '.join(data.classes)}, but {data.images[0]} has {', '.join(dataset.classes)}; "
            "write those"
        )
    if data.labels is not None:
        raise UserError("data.labels: an nnU-Net data set has its own; leave the key out")
    cases = [_Case(case.images, case.label) for case in dataset.training if case.label is not None]
    return cases, dataset.ignore


def _paired(data: VolumeData) -> list[_Case]:
    if data.labels is None:
        raise UserError("data.labels: this key is needed; a folder, pattern or list of volumes, or a CSV table")
    images = find_volumes(data.images)
    if isinstance(data.labels, str) and data.labels.lower().endswith(".csv"):
        table = {pair.image.resolve(): pair for pair in read_table(data.labels)}
        missing = next((image for image in images if image.resolve() not in table), None)
        if missing is not None:
            raise UserError(f"{data.labels}: has no row for the image {missing}; add it or take the image out")
        rows = [table[image.resolve()] for image in images]
        return [_Case((image,), row.label, row.split) for image, row in zip(images, rows, strict=True)]
    patterns = [data.labels] if isinstance(data.labels, str) else list(data.labels)
    if len(patterns) == 1 and Path(patterns[0]).is_dir():
        patterns = [str(path) for path in sorted(Path(patterns[0]).iterdir()) if not path.name.startswith(".")]
    files = find_volumes(patterns)
    named: dict[str, Path] = {}
    for file in files:
        name = volume_name(file)
        if name in named:
            raise UserError(f"data.labels: two volumes are named {name}: {named[name]} and {file}; keep one")
        named[name] = file
    if not any(volume_name(image) in named for image in images):
        if len(files) != len(images):
            raise UserError(
                f"data.labels: {len(files)} volumes for {len(images)} images, and no names in common; name them alike "
                "or pair them in a CSV table"
            )
        return [_Case((image,), file) for image, file in zip(images, files, strict=True)]
    for image in images:
        if volume_name(image) not in named:
            raise UserError(f"data.labels: no labels for {image}; add {volume_name(image)}.* or take the image out")
    return [_Case((image,), named[volume_name(image)]) for image in images]

"""A first configuration for medical volumes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segnoise.data.volume import (
    Standard,
    VolumeGrid,
    VolumeLabels,
    VolumeSource,
    read_nnunet,
)
from segnoise.errors import UserError
from segnoise.training.initial.brightness import Brightness, look_at
from segnoise.training.initial.dealing import deal
from segnoise.training.initial.draft import Choice, Choices, Draft, Files, Progress
from segnoise.training.initial.effort import box_window, sides
from segnoise.training.initial.labelcount import count_labels, see_classes
from segnoise.training.initial.pairs import opened, pairs
from segnoise.training.initial.together import together
from segnoise.training.initial.wording import counted, span

_ORIENTATION = "RAS"
# Air in Hounsfield units; values of other modalities are not negative, or were shifted each by its own mean.
_AIR = -500
# A volume of fewer slices has no third dimension to learn from.
_THIN = 8


@dataclass(frozen=True)
class _Cases:
    images: list[tuple[Path, ...]]
    labels: list[Path]
    given: list[str | None]
    choices: dict[str, Choice]
    warnings: list[str]
    classes: tuple[str, ...] | None = None
    ignore: int | None = None


def draft_volumes(files: Files, progress: Progress | None = None) -> Draft:
    """Looks at volumes and label volumes, or at an nnU-Net data set."""
    cases = _cases(files)
    first = [images[0] for images in cases.images]
    stored = opened(first, lambda k: VolumeSource(list(cases.images[k])))
    labels = opened(cases.labels, lambda k: VolumeLabels(cases.labels[k], like=stored[k], ignore=cases.ignore))
    counts = count_labels(labels, len(labels), progress)
    seen = see_classes(counts, str(cases.labels[0].parent), cases.classes, "dataset.json", "write 1 for the class")
    turned = [VolumeSource(list(images), standard=Standard(_ORIENTATION)) for images in cases.images]
    spacing, mixed = _spacing([source.grid for source in turned])
    wanted = None if spacing is None else (spacing.value[0], spacing.value[1], spacing.value[2])
    seen_as = Standard(_ORIENTATION, wanted)
    shapes = [VolumeSource(list(images), standard=seen_as).shape for images in cases.images]
    brightness = look_at(stored)
    thin = [min(shape[axis] for shape in shapes) for axis in range(3)]
    axis = thin.index(min(thin)) if min(thin) < _THIN else None
    dealt = deal([source.name for source in stored], "volume", blocks=False, given=cases.given, sliced=axis is not None)
    data: dict[str, Choice | Choices] = {
        "kind": Choice("volume", ""), **cases.choices, "classes": seen.names,
        "split": dealt.split, "scaling": {"per": _scaling(brightness)},
        "orientation": Choice(_ORIENTATION, f"stored as {counted([source.grid.codes for source in stored])}"),
    }  # fmt: skip
    if spacing is not None:
        data["spacing"] = spacing
    if axis is None:
        data["window"] = box_window(shapes, 64)
        crops: list[tuple[int, ...]] = list(shapes)
    else:
        data["slices"] = {"axis": Choice(axis, f"only {thin[axis]} voxels along it, too few for three dimensions")}
        flat = [shape[:axis] + shape[axis + 1 :] for shape in shapes]
        data["window"] = box_window(flat, 128)
        crops = [shape for shape, whole in zip(flat, shapes, strict=True) for _ in range(whole[axis])]
    channels = f", {stored[0].channels} channels" if stored[0].channels > 1 else ""
    facts = [
        f"{len(stored)} volumes of {sides([source.shape for source in stored])} voxels{channels}, axes "
        f"{counted([source.grid.codes for source in stored])}, {_millimetres([s.grid for s in stored])}",
        f"{brightness or 'no voxel observed'}" + (_of_each(brightness) if brightness else ""),
        seen.fact,
    ]
    codes = Counter(source.grid.codes for source in stored)
    turned_warning = f"volumes are stored in different orientations: {counted(codes.elements())}; all are turned to RAS"
    warnings = [*cases.warnings, *([turned_warning] if len(codes) > 1 else []), *mixed, *seen.warnings]
    return together(data, crops, dealt, facts, warnings)


def _cases(files: Files) -> _Cases:
    described = Path(files.folder) / "dataset.json" if files.folder is not None else None
    if described is not None and described.is_file():
        if files.images or files.labels:
            raise UserError("--folder: an nnU-Net data set has its own images and labels; leave --images and --labels")
        dataset = read_nnunet(described.parent)
        cases = [(case.images, case.label) for case in dataset.training if case.label is not None]
        why = f"an nnU-Net data set of {len(cases)} cases, channels {', '.join(dataset.channels)}; its labels are known"
        choices = {"images": Choice([files.written(described)], why)}
        return _Cases(
            [images for images, _ in cases], [label for _, label in cases], [], choices, [], dataset.classes,
            dataset.ignore,
        )  # fmt: skip
    paired = pairs(files, volumes=True)
    return _Cases([(image,) for image in paired.images], paired.labels, paired.given, paired.choices, paired.warnings)


def _spacing(grids: Sequence[VolumeGrid]) -> tuple[Choice | None, list[str]]:
    """The median spacing where volumes differ by more than a twentieth; None where they agree or nothing is known."""
    sizes = np.array([grid.spacing for grid in grids])
    if not np.isfinite(sizes).all():
        some = np.isfinite(sizes).any()
        return None, ["voxels of some volumes have no size in millimetres, so all stay as they are"] if some else []
    if (sizes.max(axis=0) <= 1.05 * sizes.min(axis=0)).all():
        return None, []
    median = [float(f"{value:.4g}") for value in np.median(sizes, axis=0)]
    spread = " x ".join(map(span, sizes.T.tolist()))
    warning = f"voxels are of different sizes, {spread} mm; all are resampled to the median while training"
    return Choice(median, f"a guess: the median of {spread} mm"), [warning]


def _scaling(brightness: Brightness | None) -> Choice:
    if brightness is not None and brightness.low < _AIR and math.isfinite(brightness.high):
        return Choice(
            "set", f"a guess: values from {brightness.low:.4g} are Hounsfield units of CT, the same everywhere"
        )
    means = _of_each(brightness) if brightness else ""
    return Choice("image", f"a guess: no common unit, as in MR{means}")


def _of_each(brightness: Brightness) -> str:
    return f"; means of volumes {span(brightness.means)}"


def _millimetres(grids: Sequence[VolumeGrid]) -> str:
    sizes = np.array([grid.spacing for grid in grids])
    if not np.isfinite(sizes).all():
        return "voxels without a size"
    return f"voxels of {' x '.join(map(span, sizes.T.tolist()))} mm"

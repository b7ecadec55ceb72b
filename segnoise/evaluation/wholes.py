"""The volumes of a run put together again: what was read, given and true, and what a model makes of all of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, ornt_transform
from numpy.typing import NDArray

from segnoise.data import IGNORE_INDEX, Region, Source
from segnoise.data.oct.bscans import slice_number
from segnoise.data.volume.grid import VolumeGrid
from segnoise.data.volume.slicing import SliceSource
from segnoise.evaluation.examples import label_error
from segnoise.evaluation.scoring import RegionSource
from segnoise.inference import predict_array
from segnoise.training import Model, Prepared
from segnoise.windows import plan

_VIEWED = "LPI"
"""Where the axes of a volume to be looked at point: to the left, the back and down, as radiologists hang pictures."""

_EQUAL = 1.2
"""Sides of a voxel up to this ratio count as equal."""


@dataclass(frozen=True)
class Whole:
    """The regions of one volume: itself, or the slices it was cut into across ``axis``, by ``numbers``.

    ``grid`` is where its voxels lie; None where nobody knows, as with the B-scans of an OCT scan.
    """

    name: str
    regions: tuple[Region, ...]
    axis: int | None
    numbers: tuple[int, ...]
    grid: VolumeGrid | None

    @property
    def voxels(self) -> int:
        return sum(math.prod(region.window.size) for region in self.regions)


@dataclass(frozen=True)
class Looked:
    """A volume on one grid ``X Y Z``: a channel of the image, labels, and what a model says.

    ``axis`` is the one that slices lie across, ``numbers`` what the slices across each axis are called, ``spacing`` the
    size of a voxel (nan where unknown). Volumes whose place is known have their axes to the left, the back and down,
    and an ``affine`` that gives the place of a voxel in millimetres, RAS+. ``reference`` is the true label, or the
    given one where no other is known; ``wrong`` how likely the given one is wrong, if that was asked for.
    """

    name: str
    image: NDArray[np.float32]
    observed: NDArray[np.bool_]
    given: NDArray[np.uint8]
    reference: NDArray[np.uint8]
    prediction: NDArray[np.uint8]
    wrong: NDArray[np.float32] | None
    calibrated: bool
    axis: int
    numbers: tuple[tuple[int, ...], ...]
    spacing: tuple[float, ...]
    affine: NDArray[np.float64] | None

    @property
    def oriented(self) -> bool:
        return self.affine is not None

    def map(self, change: Callable[[NDArray[Any]], NDArray[Any]], **others: Any) -> Looked:
        """The same with every array changed."""
        arrays: dict[str, Any] = {
            name: change(getattr(self, name)) for name in ("image", "observed", "given", "reference")
        }
        wrong = None if self.wrong is None else change(self.wrong)
        return replace(self, **arrays, prediction=change(self.prediction), wrong=wrong, **others)


def wholes(prepared: Prepared, split: str) -> list[Whole]:
    """The volumes of a split of a run on volumes or OCT, in its order.

    Slices belong together when they were cut from one volume; B-scans when they are of one scan and one size.
    """
    stacks: dict[Any, list[tuple[int, Region]]] = {}
    found: dict[Any, Whole] = {}
    for region in prepared.regions[split]:
        source = prepared.sources[region.index]
        if len(source.shape) == 3:
            key: Any = (region.index, region.window.start)
            found[key] = Whole(source.name, (region,), None, (), _grid(source))
            continue
        if isinstance(source, SliceSource):
            key, number = id(source.volume), source.index
            found.setdefault(key, Whole(source.volume.name, (), source.axis, (), _grid(source.volume)))
        else:
            scan, _, last = source.name.rpartition("/")
            key, number = (scan, prepared.groups[region.index], source.shape), slice_number(last)
            found.setdefault(key, Whole(scan, (), 0, (), None))
        stacks.setdefault(key, []).append((number, region))
    for key, numbered in stacks.items():
        numbered.sort(key=lambda pair: pair[0])
        found[key] = replace(
            found[key], regions=tuple(r for _, r in numbered), numbers=tuple(number for number, _ in numbered)
        )
    return list(found.values())


def look(whole: Whole, model: Model, prepared: Prepared, label_errors: bool) -> Looked:
    """Reads a volume, predicts all of it, and with ``label_errors`` says where the given labels look wrong."""
    parts = [_look_at(region, model, prepared, label_errors) for region in whole.regions]
    if whole.axis is None:
        together = parts[0]
        together = replace(together, axis=_across(together.spacing, whole.grid))
    else:
        axis = whole.axis
        spacing = list(parts[0].spacing)
        spacing.insert(axis, np.nan if whole.grid is None else whole.grid.spacing[axis])
        stacked: dict[str, Any] = {
            name: np.stack([getattr(part, name) for part in parts], axis)
            for name in ("image", "observed", "given", "reference", "prediction")
        }
        wrong = np.stack([part.wrong for part in parts if part.wrong is not None], axis) if label_errors else None
        together = replace(
            parts[0], **stacked, wrong=wrong, axis=axis, spacing=tuple(spacing),
            calibrated=all(part.calibrated for part in parts),
        )  # fmt: skip
    numbers = [tuple(range(count)) for count in together.image.shape]
    if whole.axis is not None:
        numbers[whole.axis] = whole.numbers
    together = replace(together, name=whole.name, numbers=tuple(numbers))
    complete = whole.grid is not None and together.image.shape == whole.grid.shape and all(whole.grid.measured)
    return _turned(together, whole.grid) if complete and whole.grid is not None else together


def _across(spacing: tuple[float, ...], grid: VolumeGrid | None) -> int:
    """The axis that slices are thought to lie across: the coarsest, or of equal ones that from feet to head."""
    known = np.nan_to_num(np.array(spacing), nan=1.0)
    if known.max() > _EQUAL * known.min():
        return int(known.argmax())
    return 2 if grid is None else next(k for k, code in enumerate(grid.codes) if code in "SI")


def _look_at(region: Region, model: Model, prepared: Prepared, label_errors: bool) -> Looked:
    source = prepared.sources[region.index]
    raw, observed = source.read(region.window)

    def known(labels: NDArray[Any]) -> NDArray[np.uint8]:
        return np.where(observed, labels, IGNORE_INDEX).astype(np.uint8)

    given = clean = known(prepared.given[region.index].read(region.window))
    if prepared.clean is not None:
        clean = known(prepared.clean[region.index].read(region.window))
    probabilities, _ = predict_array(model, RegionSource(source, region), model.sides, model.overlap)
    wrong, calibrated = None, True
    if label_errors:
        wrong = np.zeros(observed.shape, dtype=np.float32)
        for w in plan(region.window.size, model.sides):
            inside = w.clip(observed.shape)
            here = w.shift(region.window.start)
            values, seen = source.read(here)
            labels = np.where(seen, prepared.given[region.index].read(here), IGNORE_INDEX)
            p, calibrated = label_error(model, values, seen, labels)
            wrong[inside.slices] = p[inside.within(w)]
        wrong = np.where(given == IGNORE_INDEX, 0, wrong)
    prediction = known(probabilities.argmax(0))
    return Looked(
        source.name, raw[_middle(source)], observed, given, clean, prediction, wrong, calibrated, 0, (),
        tuple(source.spacing), None,
    )  # fmt: skip


def _middle(source: Source) -> int:
    """The first channel of the image, which is that of the slice itself where neighbours are channels too."""
    if not isinstance(source, SliceSource):
        return 0
    own = source.volume.channels
    return (source.channels // own) // 2 * own


def _grid(source: Any) -> VolumeGrid | None:
    """The grid of a volume under whatever scales it."""
    while not isinstance(getattr(source, "grid", None), VolumeGrid):
        if (source := getattr(source, "whole", None)) is None:
            return None
    return source.grid  # type: ignore[no-any-return]


def _turned(looked: Looked, grid: VolumeGrid) -> Looked:
    """With its axes to the left, the back and down; slices keep the numbers that they had."""
    turn = ornt_transform(axcodes2ornt(tuple(grid.codes)), axcodes2ornt(tuple(_VIEWED)))
    numbers = list(looked.numbers)
    for axis, (target, flip) in enumerate(turn.astype(int)):
        numbers[target] = looked.numbers[axis][::flip]
    return looked.map(
        lambda array: apply_orientation(array, turn),
        axis=int(turn[looked.axis, 0]),
        numbers=tuple(numbers),
        spacing=grid.turned(turn).spacing,
        affine=grid.affine @ inv_ornt_aff(turn, grid.shape),
    )

"""Example windows of a run: image, given label, truth where known, predictions, and where the label looks wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from segnoise.config import ImageData, RasterData
from segnoise.data import IGNORE_INDEX, ImageSource, RasterSource, Region, Source, collate
from segnoise.evaluation.pictures import (
    colour_uri,
    label_uri,
    probability_uri,
    shown_bands,
    stretch_limits,
    stretched,
)
from segnoise.training import Model, Prepared
from segnoise.windows import plan

_CANDIDATES = 400
_LONGEST = 320


@dataclass(frozen=True)
class Picture:
    """A thumbnail: heading of its column, what it shows in words, and the data URI."""

    heading: str
    alt: str
    uri: str


@dataclass(frozen=True)
class Example:
    """One window: where it is, what is known of it, its size in pixels, and its pictures in the order of columns.

    ``calibrated`` says whether the label-error map holds probabilities.
    """

    place: str
    note: str
    width: int
    height: int
    pictures: list[Picture]
    calibrated: bool


@dataclass(frozen=True)
class _Seen:
    """A window read: its box, its part to show, and everything on its grid.

    Of a volume one slice is shown, ``depth`` along the last axis, as it is seen from the front or from below: the first
    axis to the right, the second upwards. Of a clip one frame is shown, ``depth`` in time, ``number`` in its recording.
    """

    source: Source
    region: Region
    shown: tuple[slice, ...]
    raw: NDArray[np.float32]
    observed: NDArray[np.bool_]
    given: NDArray[np.int64]
    clean: NDArray[np.int64] | None
    depth: int | None = None
    number: int | None = None

    def view(self, array: NDArray[Any]) -> NDArray[Any]:
        """What is shown of an array on the window's grid, or of its channels."""
        index: tuple[Any, ...] = (..., *self.shown)
        if self.depth is None:
            return array[index]
        if self.number is not None:
            index = (..., self.depth, *self.shown[1:])
            return array[index]
        index = (*index[:-1], self.depth)
        return np.rot90(array[index], axes=(-2, -1))


def examples(
    models: Sequence[tuple[str, Model]], prepared: Prepared, split: str, count: int, label_errors: bool
) -> list[Example]:
    """Windows of a split, the same at every call, with the predictions of each model.

    Where the clean labels are known, windows are ranked by the share of wrong labels, otherwise by the share of
    pixels that are not class 0; the ``count`` windows nearest to evenly spaced quantiles are shown.

    Args:
        models: (name, model) in the order of columns; the last one makes the label-error map.
        prepared: data on which all models can work.
        split: ``train``, ``val`` or ``test``.
        label_errors: add given label and label-error map beside the truth; otherwise the reference alone.
    """
    chosen = _choose(prepared, split, models[-1][1].sides, count, by_error=label_errors)
    windows = [_read(prepared, region) for region in chosen]
    if not windows:
        return []
    images, limits = _images(windows, models[-1][1])
    return [_example(w, image, limits, models, label_errors) for w, image in zip(windows, images, strict=True)]


def _choose(prepared: Prepared, split: str, sides: tuple[int, ...], count: int, by_error: bool) -> list[Region]:
    """Windows near the quantiles of what makes them interesting, in the order of that."""
    boxes = [
        Region(region.index, w.shift(region.window.start))
        for region in prepared.regions[split]
        for w in plan(region.window.size, sides)
    ]
    thinned = [boxes[i] for i in np.unique(np.linspace(0, len(boxes) - 1, min(_CANDIDATES, len(boxes))).astype(int))]
    ranked = []
    for box in thinned:
        given = prepared.given[box.index].read(box.window)
        clean = given if prepared.clean is None else prepared.clean[box.index].read(box.window)
        valid = (given != IGNORE_INDEX) & (clean != IGNORE_INDEX)
        if valid.mean() < 0.25:
            continue
        wrong = by_error and prepared.clean is not None
        ranked.append((float((given != clean)[valid].mean() if wrong else (clean > 0)[valid].mean()), box))
    ranked.sort(key=lambda pair: (pair[0], pair[1]))
    if not ranked:
        return []
    wanted = np.rint((np.arange(count) + 0.5) / count * (len(ranked) - 1)).astype(int)
    return [ranked[i][1] for i in np.unique(wanted)]


def _read(prepared: Prepared, region: Region) -> _Seen:
    source, window = prepared.sources[region.index], region.window
    raw, observed = source.read(window)
    given = np.where(observed, prepared.given[region.index].read(window), IGNORE_INDEX)
    clean = None
    if prepared.clean is not None:
        clean = np.where(observed, prepared.clean[region.index].read(window), IGNORE_INDEX)
    shown = window.clip(source.shape).within(window)
    depth = number = None
    if len(shown) == 3:
        numbers = None if prepared.numbers is None else prepared.numbers[region.index]
        axis = 2 if numbers is None else 0
        labels = given if clean is None else clean
        others = tuple({0, 1, 2} - {axis})
        objects = ((labels > 0) & (labels != IGNORE_INDEX)).sum(others)
        depth = int(objects.argmax()) if objects.any() else (shown[axis].start + shown[axis].stop) // 2
        number = None if numbers is None else numbers[window.start[0] + depth]
    return _Seen(source, region, shown, raw, observed, given, clean, depth, number)


def _images(windows: Sequence[_Seen], model: Model) -> tuple[list[NDArray[np.float32]], dict[int, NDArray[np.float64]]]:
    """The bands to show of each window, and the stretch of each source, common to its windows."""
    data = model.config.data
    channels: dict[int, list[int]] = {}
    for w in windows:
        index = w.region.index
        if index in channels:
            continue
        if isinstance(w.source, RasterSource):
            bands, shown = shown_bands(w.source.path, data.bands if isinstance(data, RasterData) else None)
            channels[index] = [bands.index(b) for b in shown]
        else:
            channels[index] = [0, 1, 2] if w.source.channels >= 3 else [0]
    images = [w.raw[channels[w.region.index]] for w in windows]
    limits = {}
    for index, chosen in channels.items():
        mine = [k for k, w in enumerate(windows) if w.region.index == index]
        source = windows[mine[0]].source
        if isinstance(data, ImageData) and isinstance(source, ImageSource) and source.dtype == "uint8":
            limits[index] = np.tile([0.0, 255.0], (len(chosen), 1))
        else:
            limits[index] = stretch_limits([images[k] for k in mine], [windows[k].observed for k in mine])
    return images, limits


def _example(
    seen: _Seen,
    image: NDArray[np.float32],
    limits: dict[int, NDArray[np.float64]],
    models: Sequence[tuple[str, Model]],
    label_errors: bool,
) -> Example:
    start = seen.region.window.start
    where = f"{seen.source.name}, row {start[0]}, column {start[1]}"
    if seen.number is not None:
        where = f"{seen.source.name}, frame {seen.number}, row {start[1]}, column {start[2]}"
    elif seen.depth is not None:
        where = f"{seen.source.name}, voxel {start[0]}, {start[1]}, slice {start[2] + seen.depth}"
    observed = seen.view(seen.observed)
    colours = stretched(seen.view(image), observed, limits[seen.region.index])
    pictures = [Picture("image", f"image at {where}", colour_uri(colours, _LONGEST))]

    def add(heading: str, labels: NDArray[np.int64], what: str) -> None:
        pictures.append(Picture(heading, f"{what} at {where}", label_uri(seen.view(labels), _LONGEST)))

    note, calibrated = "", True
    if seen.clean is not None:
        add("true label", seen.clean, "true label")
    if label_errors or seen.clean is None:
        add("given label", seen.given, "given label")
    if label_errors and seen.clean is not None:
        valid = (seen.given != IGNORE_INDEX) & (seen.clean != IGNORE_INDEX)
        note = f"{100 * float((seen.given != seen.clean)[valid].mean()):.0f}\u202f% of the given labels are wrong"
    for name, model in models:
        heading = f"{name} prediction" if len(models) > 1 else "prediction"
        add(heading, _predict(model, seen), f"prediction of {name}")
    if label_errors:
        name, model = models[-1]
        p, calibrated = label_error(model, seen.raw, seen.observed, seen.given)
        known = seen.view(seen.given != IGNORE_INDEX)
        uri = probability_uri(seen.view(p), known, _LONGEST)
        pictures.append(Picture("label error", f"label-error map of {name} at {where}", uri))
    return Example(where, note, observed.shape[1], observed.shape[0], pictures, calibrated)


@torch.inference_mode()
def _predict(model: Model, seen: _Seen) -> NDArray[np.int64]:
    fill = np.asarray(model.fill, dtype=np.float32)
    fill = fill.reshape(-1, *(1 for _ in seen.observed.shape))
    image = np.where(seen.observed, seen.raw, fill)
    labels = model(torch.from_numpy(image)[None]).argmax(1)[0].numpy()
    return np.where(seen.observed, labels, IGNORE_INDEX)


def label_error(
    model: Model, raw: NDArray[np.float32], observed: NDArray[np.bool_], given: NDArray[np.int64]
) -> tuple[NDArray[np.float32], bool]:
    """The label-error map of one window ``*S``, and whether its values are probabilities."""
    image = torch.from_numpy(model.scaling.apply(raw, observed))
    batch = collate([{"image": image, "mask": torch.from_numpy(given), "observed": torch.from_numpy(observed)}])
    _, result = model.system.inspect({k: v for k, v in batch.items() if isinstance(v, torch.Tensor)})
    return result.label_error[0].numpy(), result.calibrated

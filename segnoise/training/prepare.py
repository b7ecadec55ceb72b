"""From a configuration to sources, labels, splits and scaling: everything decided before the first step.

What is decided is written to the run's folder (``prepared.json`` and the label rasters), so that a resumed run,
an evaluation and a reader of the folder see the same data.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from segnoise import noise
from segnoise.config import Config, ImageData, RasterData, SceneData, VideoData
from segnoise.data import (
    IGNORE_INDEX,
    Labels,
    RasterLabels,
    Region,
    Scaling,
    Source,
    VectorLabels,
    block_split,
    fit_scaling,
    parse_fold,
    rasterize_instances,
    source_split,
    whole_regions,
    write_label_raster,
)
from segnoise.draws import generator
from segnoise.errors import UserError
from segnoise.training.opening import Opened, open_data
from segnoise.training.run import Run
from segnoise.vector import polygonize
from segnoise.windows import Window, atomic_output

log = logging.getLogger(__name__)

_T = TypeVar("_T")


@dataclass(frozen=True)
class Prepared:
    """The data of a run.

    ``given`` are the labels that training and validation see, ``clean`` those before synthetic noise (None without
    noise); ``regions`` are the boxes of each split, ``records`` the noise records by split, and ``files`` the user's
    label file of each source; ``image_labels``, where any are known, say of each source which classes are in it, and
    ``slice_labels`` in which slices; ``groups`` are what no split cuts, such as patients, and ``numbers`` those of the
    frames of sequences.
    """

    sources: list[Source]
    given: list[Labels]
    clean: list[Labels] | None
    regions: dict[str, list[Region]]
    scaling: Scaling
    records: dict[str, list[dict[str, Any]]]
    files: list[Path] = field(default_factory=list)
    image_labels: list[tuple[float, ...] | None] | None = None
    groups: list[str | None] = field(default_factory=list)
    slice_labels: list[NDArray[np.float32] | None] | None = None
    numbers: list[tuple[int, ...] | None] | None = None

    @property
    def channels(self) -> int:
        return len(self.scaling.offset)

    @property
    def group_numbers(self) -> list[int]:
        """The groups as numbers, in the order in which they come; -1 for a source without one."""
        known = dict.fromkeys(group for group in self.groups if group is not None)
        number: dict[str | None, int] = {group: k for k, group in enumerate(known)}
        return [number.get(group, -1) for group in self.groups]


def prepare(config: Config, run: Run) -> Prepared:
    """Reads, checks, splits and (where asked) corrupts the data of a run; repeats nothing that is already there.

    Raises:
        UserError: for every mistake in paths, grids, classes, splits or noise, with one line.
    """
    opened = open_data(config, run)
    sources = [item.source for item in opened]
    regions = _split(config, opened)
    split = config.data.split
    shared = _shared_groups(opened, regions, split.allow_shared_groups) if split.by == "table" else []
    run.labels.mkdir(parents=True, exist_ok=True)
    given, clean, records = _materialise(config, run, opened, regions)
    if run.prepared.is_file():
        scaling = Scaling.from_dict(json.loads(run.prepared.read_text())["scaling"])
    else:
        _warn_of_large_slices(config.data.sides, opened)
        scaling = fit_scaling(sources, regions["train"], config.data.scaling.kind, config.data.scaling.divide)
        content = {
            "fingerprint": config.fingerprint(),
            "sources": [str(item.image) for item in opened],
            "scaling": scaling.to_dict(),
            "regions": {
                split: [[r.index, *r.window.start, *r.window.size] for r in boxes] for split, boxes in regions.items()
            },
            "noise": records,
            "shared_groups": shared,
        }
        with atomic_output(run.prepared, overwrite=True) as temporary:
            temporary.write_text(json.dumps(content, indent=1))
    return Prepared(
        sources,
        given,
        clean,
        regions,
        scaling,
        records,
        files=[item.file for item in opened],
        image_labels=_if_any([item.image_labels for item in opened]),
        groups=[item.group for item in opened],
        slice_labels=_if_any([item.slice_labels for item in opened]),
        numbers=_if_any([item.numbers for item in opened]),
    )


def _if_any(told: list[_T | None]) -> list[_T | None] | None:
    return told if any(labels is not None for labels in told) else None


def _warn_of_large_slices(sides: Sequence[int], opened: Sequence[Opened]) -> None:
    """A crop that holds no whole slice does not know that it holds what is in the slice."""
    large = [
        item
        for item in opened
        if item.slice_labels is not None
        and (item.slice_labels == 1).any()
        and any(n > side for n, side in zip(item.source.shape[:-1], sides[:-1], strict=True))
    ]
    if large:
        log.warning(
            "data.window: no crop holds a whole slice (%s) of %s%s, so a 1 of data.slice_labels counts as unknown "
            "there; enlarge the window along its first two axes, or cut slices",
            " x ".join(map(str, large[0].source.shape[:-1])),
            large[0].image,
            f" ({len(large) - 1} more like it)" if len(large) > 1 else "",
        )


def _split(config: Config, opened: Sequence[Opened]) -> dict[str, list[Region]]:
    split = config.data.split
    seed = config.seed if split.seed is None else split.seed
    fractions = {"train": 0.0, "val": 0.0, "test": 0.0} | {str(k): v for k, v in split.fractions.items()}
    fold = None if split.fold is None else parse_fold(split.fold)
    shapes = [item.source.shape for item in opened]
    if split.by == "block":
        return block_split(shapes, config.data.sides, fractions, seed, fold)
    given = [item.split for item in opened]
    if split.by == "table" and None in given:
        raise UserError("data.split.by: table needs labels given as a CSV table with the columns image, label, split")
    fixed = given if split.by == "table" else None
    if fixed is not None and "train" not in fixed:
        raise UserError("data.split.by: the table gives nothing to train; give some images the split train")
    if fixed is not None and "val" not in fixed:
        # Public sets often state train and test alone.
        fixed = [None if name == "train" else name for name in fixed]
        both = fractions["train"] + fractions["val"]
        fractions = {name: fractions[name] / both for name in ("train", "val")}
    groups = [item.group for item in opened]
    chosen = source_split([item.source.name for item in opened], fractions, seed, fixed, groups, fold)
    return {name: whole_regions(rows, shapes, config.data.sides) for name, rows in chosen.items()}


def _shared_groups(opened: Sequence[Opened], regions: dict[str, list[Region]], allow: bool) -> list[str]:
    """The groups, such as patients, that a given split has on more than one side: none, unless ``allow``."""
    home: dict[str, tuple[str, Path]] = {}
    shared: dict[str, str] = {}
    for name, boxes in regions.items():
        for index in sorted({box.index for box in boxes}):
            group, image = opened[index].group, opened[index].image
            if group is None:
                continue
            first, other = home.setdefault(group, (name, image))
            if first != name:
                shared.setdefault(group, f"{group} is in {first} ({other}) and in {name} ({image})")
    if not shared:
        return []
    first_told, more = next(iter(shared.values())), len(shared) - 1
    too = f" ({more} more like it)" if more else ""
    if not allow:
        raise UserError(
            f"data.split: {first_told}{too}, so scores would be too good; put its images on one side, or allow it with "
            "data.split.allow_shared_groups: true"
        )
    log.warning("data.split: %s%s; scores are too good", first_told, too)
    return sorted(shared)


def _materialise(
    config: Config, run: Run, opened: Sequence[Opened], regions: dict[str, list[Region]]
) -> tuple[list[Labels], list[Labels] | None, dict[str, list[dict[str, Any]]]]:
    """Label files in the run's folder where the labels are polygons or get noise; the originals otherwise."""
    num_classes = len(config.data.classes)
    clean: list[Labels] = []
    for index, item in enumerate(opened):
        truth = item.labels
        if item.polygons is not None:
            path = run.labels / f"{index:04d}_clean.tif"
            if not path.is_file():
                write_label_raster(truth, item.grid, path)
            truth = RasterLabels(path, num_classes)
        clean.append(truth)
    if config.noise is None:
        return clean, None, {"train": [], "val": []}
    known = json.loads(run.prepared.read_text())["noise"] if run.prepared.is_file() else None
    paths = [run.labels / f"{index:04d}_given{item.suffix}" for index, item in enumerate(opened)]
    if known is None or not all(path.is_file() for path in paths):
        noisy, records = _corrupt(config, opened, clean, regions)
        for array, item, path in zip(noisy, opened, paths, strict=True):
            item.write(array, path)
        known = known or records
    return [item.reread(path, num_classes) for item, path in zip(opened, paths, strict=True)], clean, known


def _corrupt(
    config: Config, opened: Sequence[Opened], clean: Sequence[Labels], regions: dict[str, list[Region]]
) -> tuple[list[NDArray[np.uint8]], dict[str, list[dict[str, Any]]]]:
    """All labels with noise in the training and validation boxes, a different draw in each.

    The level is met over the training labels of all sources together, and over the validation labels, because one
    small image cannot miss 30 % of its three objects.
    """
    assert config.noise is not None
    corruption = noise.parse(config.noise.spec)
    if not isinstance(config.data, ImageData | VideoData):
        corruption.check_unit("m" if isinstance(config.data, RasterData | SceneData) else "mm", "data")
    num_classes = len(config.data.classes)
    given = [labels.read(Window((0,) * len(labels.shape), labels.shape)).astype(np.uint8) for labels in clean]
    records: dict[str, list[dict[str, Any]]] = {}
    for split in ("train", "val"):
        inside = _inside([item.source for item in opened], regions[split])
        done: dict[int, dict[str, Any]] = {}
        for number, members in enumerate(_sets(corruption, opened, sorted(inside))):
            polygons = opened[members[0]].polygons is not None
            if polygons:
                # Polygons are corrupted as objects (touching parcels are two), and the classes derived after.
                labels = [_objects(opened[k], inside[k]) for k in members]
            else:
                labels = [np.where(inside[k], given[k], np.uint8(IGNORE_INDEX)) for k in members]
            seed = int(generator(config.noise.seed, split, number).integers(2**31))
            spacing = _common_spacing([opened[k].source for k in members])
            corrupted = corruption.corrupt_all(labels, seed, polygons, spacing, None if polygons else num_classes)
            for k, (noisy, record) in zip(members, corrupted, strict=True):
                if polygons:
                    noisy = _classes_of(config, opened[k], np.where(inside[k], noisy, 0).astype(np.int32))
                given[k] = np.where(inside[k], noisy, given[k]).astype(np.uint8)
                done[k] = {"source": opened[k].source.name, **record}
        records[split] = [done[k] for k in sorted(done)]
    return given, records


def _inside(sources: Sequence[Source], boxes: Sequence[Region]) -> dict[int, NDArray[np.bool_]]:
    """By source, the pixels in the boxes of a split; sources without any are left out."""
    inside: dict[int, NDArray[np.bool_]] = {}
    for region in boxes:
        mask = inside.setdefault(region.index, np.zeros(sources[region.index].shape, dtype=bool))
        mask[region.window.clip(mask.shape).slices] = True
    return inside


def _sets(corruption: noise.Corruption, opened: Sequence[Opened], members: Sequence[int]) -> list[list[int]]:
    """The sources over which one level is met: all, but for those that no one strength can serve.

    Objects and classes are apart, and lengths in metres need pixels of one size (within the last of three digits).
    """
    metric = any(length.unit != "px" for length in corruption.lengths)
    sets: dict[tuple[Any, ...], list[int]] = {}
    for k in members:
        size = tuple(f"{side:.3g}" for side in opened[k].source.spacing) if metric else ()
        sets.setdefault((opened[k].polygons is not None, size), []).append(k)
    return list(sets.values())


def _common_spacing(sources: Sequence[Source]) -> tuple[float, ...] | None:
    """The mean size of a pixel, or None where the sources' pixels differ by more than 1 %."""
    sizes = np.array([source.spacing for source in sources])
    mean = sizes.mean(0)
    # Written so that unknown sizes, which are nan, are not common either.
    return tuple(map(float, mean)) if (np.abs(sizes / mean - 1) <= 0.01).all() else None


def _objects(item: Opened, inside: NDArray[np.bool_]) -> NDArray[np.int32]:
    assert item.polygons is not None
    return np.where(inside, rasterize_instances(item.polygons, item.grid), -1).astype(np.int32)


def _classes_of(config: Config, item: Opened, ids: NDArray[np.int32]) -> NDArray[np.int64]:
    """Classes of corrupted objects, by the same algebra as the classes of the polygons themselves."""
    num_classes = len(config.data.classes)
    if num_classes == 2:
        return (ids > 0).astype(np.int64)
    assert isinstance(config.data, RasterData | SceneData)
    labels = VectorLabels(polygonize(ids, item.grid), item.grid, num_classes, config.data.edge_px)
    return labels.read(Window((0, 0), tuple(ids.shape)))

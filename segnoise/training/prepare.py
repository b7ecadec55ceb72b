"""From a configuration to sources, labels, splits and scaling: everything decided before the first step.

What is decided is written to the run's folder (``prepared.json`` and the label rasters), so that a resumed run,
an evaluation and a reader of the folder see the same data.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segnoise import noise
from segnoise.config import Config, ImageData, RasterData, SceneData
from segnoise.data import (
    IGNORE_INDEX,
    ArrayLabels,
    ImageLabels,
    ImageSource,
    Labels,
    RasterLabels,
    RasterSource,
    Region,
    Scaling,
    Source,
    VectorLabels,
    block_split,
    check_same_bands,
    find_images,
    fit_scaling,
    pair_labels,
    rasterize_instances,
    read_polygons,
    source_split,
    write_label_raster,
)
from segnoise.data.pairing import VECTOR_SUFFIXES
from segnoise.draws import generator
from segnoise.errors import UserError
from segnoise.training.run import Run
from segnoise.vector import polygonize
from segnoise.windows import Window, atomic_output, plan

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Prepared:
    """The data of a run.

    ``given`` are the labels that training and validation see, ``clean`` those before synthetic noise (None without
    noise); ``regions`` are the boxes of each split, and ``records`` the noise records by split.
    """

    sources: list[Source]
    given: list[Labels]
    clean: list[Labels] | None
    regions: dict[str, list[Region]]
    scaling: Scaling
    records: dict[str, list[dict[str, Any]]]

    @property
    def channels(self) -> int:
        return len(self.scaling.offset)


def prepare(config: Config, run: Run) -> Prepared:
    """Reads, checks, splits and (where asked) corrupts the data of a run; repeats nothing that is already there.

    Raises:
        UserError: for every mistake in paths, grids, classes, splits or noise, with one line.
    """
    images, labels, splits = _pair(config, run)
    sources = _open_sources(config, images)
    originals = [_open_labels(config, path, source) for path, source in zip(labels, sources, strict=True)]
    regions = _split(config, sources, splits)
    window = (config.data.window,) * len(sources[0].shape)
    run.labels.mkdir(parents=True, exist_ok=True)
    given, clean, records = _materialise(config, run, sources, originals, labels, regions)
    if run.prepared.is_file():
        scaling = Scaling.from_dict(json.loads(run.prepared.read_text())["scaling"])
    else:
        windows = [
            (region.index, w.shift(region.window.start))
            for region in regions["train"]
            for w in plan(region.window.size, window)
        ]
        scaling = fit_scaling(sources, windows, config.data.scaling.kind, config.data.scaling.divide)
        content = {
            "fingerprint": config.fingerprint(),
            "sources": [str(path) for path in images],
            "scaling": scaling.to_dict(),
            "regions": {
                split: [[r.index, *r.window.start, *r.window.size] for r in boxes] for split, boxes in regions.items()
            },
            "noise": records,
        }
        with atomic_output(run.prepared, overwrite=True) as temporary:
            temporary.write_text(json.dumps(content, indent=1))
    return Prepared(sources, given, clean, regions, scaling, records)


def _pair(config: Config, run: Run) -> tuple[list[Path], list[Path], list[str | None]]:
    """Image paths, label paths, and the split that a table states for each."""
    data = config.data
    if isinstance(data, SceneData):
        images, labels = _generate(data, run)
        return images, labels, [None] * len(images)
    images = find_images(data.images)
    pairs = pair_labels(images, data.labels)
    return [p.image for p in pairs], [p.labels for p in pairs], [p.split for p in pairs]


def _generate(data: SceneData, run: Run) -> tuple[list[Path], list[Path]]:
    """Procedural scenes in the run's folder."""
    from segnoise.data.scenes import field_scene

    images, labels = [], []
    for k in range(data.count):
        folder = run.folder / "scenes" / f"{data.seed + k:04d}"
        if not (folder / "fields.gpkg").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            field_scene(data.size, data.seed + k).save(folder)
        images.append(folder / "scene.tif")
        labels.append(folder / "fields.gpkg")
    return images, labels


def _open_sources(config: Config, images: Sequence[Path]) -> list[Source]:
    data = config.data
    if isinstance(data, ImageData):
        plain: list[Source] = [ImageSource(path) for path in images]
        check_same_bands(plain)
        return plain
    scenes = [RasterSource(path, data.bands if isinstance(data, RasterData) else None) for path in images]
    for scene in scenes:
        scene.require_crs()
    check_same_bands(scenes)
    return list(scenes)


def _open_labels(config: Config, path: Path, source: Source) -> Labels:
    data = config.data
    num_classes = len(data.classes)
    if isinstance(source, ImageSource):
        return ImageLabels(path, num_classes, like=source)
    assert isinstance(source, RasterSource)
    if path.suffix.lower() not in VECTOR_SUFFIXES:
        return RasterLabels(path, num_classes, like=source)
    if num_classes > 3:
        raise UserError(
            f"data.classes: polygons ({path.name}) give 2 classes (background, field) or 3 (and boundary), "
            f"not {num_classes}"
        )
    assert not isinstance(data, ImageData)
    return VectorLabels(read_polygons(path, source.geobox), source.geobox, num_classes, data.edge_px)


def _split(config: Config, sources: Sequence[Source], given: Sequence[str | None]) -> dict[str, list[Region]]:
    split = config.data.split
    fractions = {name: split.fractions.get(name, 0.0) for name in SPLITS}
    if split.by == "block":
        window = (config.data.window,) * len(sources[0].shape)
        return block_split([s.shape for s in sources], window, fractions, config.seed)
    if split.by == "table" and None in given:
        raise UserError("data.split.by: table needs labels given as a CSV table with the columns image, label, split")
    chosen = source_split(
        [s.name for s in sources], fractions, config.seed, list(given) if split.by == "table" else None
    )
    boxes: dict[str, list[Region]] = {name: [] for name in SPLITS}
    for index, (name, source) in enumerate(zip(chosen, sources, strict=True)):
        boxes[name].append(Region(index, Window((0,) * len(source.shape), tuple(source.shape))))
    return boxes


def _materialise(
    config: Config,
    run: Run,
    sources: Sequence[Source],
    originals: Sequence[Labels],
    paths: Sequence[Path],
    regions: dict[str, list[Region]],
) -> tuple[list[Labels], list[Labels] | None, dict[str, list[dict[str, Any]]]]:
    """Label rasters in the run's folder where the labels are polygons or get noise; the originals otherwise."""
    given: list[Labels] = []
    clean: list[Labels] = []
    records: dict[str, list[dict[str, Any]]] = {"train": [], "val": []}
    known = json.loads(run.prepared.read_text())["noise"] if run.prepared.is_file() else None
    for index, (source, original, path) in enumerate(zip(sources, originals, paths, strict=True)):
        geobox = getattr(source, "geobox", None)
        truth = original
        if isinstance(original, VectorLabels):
            truth = _raster(original, geobox, run.labels / f"{index:04d}_clean.tif", config)
        clean.append(truth)
        if config.noise is None:
            given.append(truth)
            continue
        target = run.labels / f"{index:04d}_given.tif"
        if not target.is_file():
            array, made = _corrupt(config, index, source, original, truth, regions)
            for split, record in made.items():
                records[split].append(record)
            write_label_raster(ArrayLabels(array), geobox, target)
        given.append(RasterLabels(target, len(config.data.classes)))
    if config.noise is None:
        return given, None, records
    return given, clean, known or records


def _raster(labels: Labels, geobox: Any, target: Path, config: Config) -> Labels:
    if not target.is_file():
        write_label_raster(labels, geobox, target)
    return RasterLabels(target, len(config.data.classes))


def _corrupt(
    config: Config, index: int, source: Source, original: Labels, truth: Labels, regions: dict[str, list[Region]]
) -> tuple[NDArray[np.uint8], dict[str, dict[str, Any]]]:
    """One source's labels with noise in the training and validation boxes, a different draw in each."""
    assert config.noise is not None
    corruption = noise.parse(config.noise.spec)
    whole = Window((0,) * len(source.shape), tuple(source.shape))
    given = truth.read(whole).astype(np.uint8)
    records: dict[str, dict[str, Any]] = {}
    for split in ("train", "val"):
        boxes = [r.window.clip(source.shape) for r in regions[split] if r.index == index]
        if not boxes:
            continue
        inside = np.zeros(source.shape, dtype=bool)
        for box in boxes:
            inside[box.slices] = True
        seed = int(generator(config.noise.seed, split, index).integers(2**31))
        if isinstance(original, VectorLabels):
            # Polygons are corrupted as objects (touching parcels are two), and the classes derived after.
            objects = rasterize_instances(original.frame, original.geobox)
            ids, record = corruption.corrupt(
                np.where(inside, objects, -1), seed=seed, instances=True, spacing=source.spacing
            )
            noisy = _classes_of(np.where(inside, ids, 0), original)
        else:
            masked = np.where(inside, given, IGNORE_INDEX)
            noisy, record = corruption.corrupt(
                masked, seed=seed, spacing=source.spacing, num_classes=len(config.data.classes)
            )
        given = np.where(inside, noisy, given).astype(np.uint8)
        records[split] = {"source": source.name, **record}
    return given, records


def _classes_of(ids: NDArray[np.integer[Any]], labels: VectorLabels) -> NDArray[np.int64]:
    """Classes of corrupted objects, by the same algebra as the classes of the polygons themselves."""
    if labels.num_classes == 2:
        return (ids > 0).astype(np.int64)
    frame = polygonize(ids.astype(np.int32), labels.geobox)
    whole = Window((0, 0), tuple(ids.shape))
    return VectorLabels(frame, labels.geobox, labels.num_classes, labels.edge_px).read(whole)


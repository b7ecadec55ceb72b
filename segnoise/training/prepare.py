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

import geopandas as gpd
import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

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
    is_vector,
    pair_labels,
    rasterize_instances,
    read_polygons,
    read_table,
    source_split,
    whole_regions,
    write_label_raster,
)
from segnoise.draws import generator
from segnoise.errors import UserError
from segnoise.training.run import Run
from segnoise.vector import polygonize
from segnoise.windows import Window, atomic_output


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
    run.labels.mkdir(parents=True, exist_ok=True)
    given, clean, records = _materialise(config, run, sources, originals, regions)
    if run.prepared.is_file():
        scaling = Scaling.from_dict(json.loads(run.prepared.read_text())["scaling"])
    else:
        scaling = fit_scaling(sources, regions["train"], config.data.scaling.kind, config.data.scaling.divide)
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
    base = Path.cwd()  # paths in a configuration are absolute already
    images = find_images(data.images, base)
    labels = pair_labels(images, data.labels, base)
    given: dict[Path, str | None] = {}
    if isinstance(data.labels, str) and data.labels.lower().endswith(".csv"):
        given = {pair.image.resolve(): pair.split for pair in read_table(data.labels)}
    return images, labels, [given.get(image.resolve()) for image in images]


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


@dataclass(frozen=True)
class Original:
    """Labels as the user gave them: a raster, or polygons with their classes on the scene's grid."""

    labels: Labels
    polygons: gpd.GeoDataFrame | None = None


def _open_labels(config: Config, path: Path, source: Source) -> Original:
    data = config.data
    num_classes = len(data.classes)
    if isinstance(source, ImageSource):
        masks = ImageLabels(path, num_classes, like=source)
        masks.check()
        return Original(masks)
    assert isinstance(source, RasterSource)
    assert not isinstance(data, ImageData)
    if not is_vector(path):
        raster = RasterLabels(path, num_classes, like=source)
        raster.check()
        return Original(raster)
    if num_classes > 3:
        raise UserError(
            f"data.classes: polygons ({path.name}) give 2 classes (background, field) or 3 (and boundary), "
            f"not {num_classes}"
        )
    geobox = source.require_crs()
    polygons = read_polygons(path, geobox)
    return Original(VectorLabels(polygons, geobox, num_classes, data.edge_px), polygons)


def _split(config: Config, sources: Sequence[Source], given: Sequence[str | None]) -> dict[str, list[Region]]:
    split = config.data.split
    fractions = {"train": 0.0, "val": 0.0, "test": 0.0} | {str(k): v for k, v in split.fractions.items()}
    if split.by == "block":
        window = (config.data.window,) * len(sources[0].shape)
        return block_split([s.shape for s in sources], window, fractions, config.seed)
    if split.by == "table" and None in given:
        raise UserError("data.split.by: table needs labels given as a CSV table with the columns image, label, split")
    chosen = source_split(
        [s.name for s in sources], fractions, config.seed, list(given) if split.by == "table" else None
    )
    window = (config.data.window,) * len(sources[0].shape)
    return {name: whole_regions(rows, [s.shape for s in sources], window) for name, rows in chosen.items()}


def _materialise(
    config: Config,
    run: Run,
    sources: Sequence[Source],
    originals: Sequence[Original],
    regions: dict[str, list[Region]],
) -> tuple[list[Labels], list[Labels] | None, dict[str, list[dict[str, Any]]]]:
    """Label rasters in the run's folder where the labels are polygons or get noise; the originals otherwise."""
    given: list[Labels] = []
    clean: list[Labels] = []
    records: dict[str, list[dict[str, Any]]] = {"train": [], "val": []}
    known = json.loads(run.prepared.read_text())["noise"] if run.prepared.is_file() else None
    num_classes = len(config.data.classes)
    for index, (source, original) in enumerate(zip(sources, originals, strict=True)):
        grid = source.grid if isinstance(source, RasterSource) else GeoBox(source.shape, Affine.identity(), None)
        truth = original.labels
        if original.polygons is not None:
            path = run.labels / f"{index:04d}_clean.tif"
            if not path.is_file():
                write_label_raster(truth, grid, path)
            truth = RasterLabels(path, num_classes)
        clean.append(truth)
        if config.noise is None:
            continue
        path = run.labels / f"{index:04d}_given.tif"
        if known is None or not path.is_file():
            array, made = _corrupt(config, index, source, original, truth, regions)
            for split, record in made.items():
                records[split].append(record)
            write_label_raster(ArrayLabels(array), grid, path, overwrite=True)
        given.append(RasterLabels(path, num_classes))
    if config.noise is None:
        return clean, None, records
    return given, clean, known or records


def _corrupt(
    config: Config, index: int, source: Source, original: Original, truth: Labels, regions: dict[str, list[Region]]
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
        if original.polygons is not None:
            # Polygons are corrupted as objects (touching parcels are two), and the classes derived after.
            assert isinstance(source, RasterSource)
            assert not isinstance(config.data, ImageData)
            geobox = source.require_crs()
            objects = np.where(inside, rasterize_instances(original.polygons, geobox), -1)
            ids, record = corruption.corrupt(objects, seed=seed, instances=True, spacing=source.spacing)
            ids = np.where(inside, ids, 0).astype(np.int32)
            noisy = _classes_of(ids, geobox, len(config.data.classes), config.data.edge_px)
        else:
            masked = np.where(inside, given, np.uint8(IGNORE_INDEX))
            noisy, record = corruption.corrupt(
                masked, seed=seed, spacing=source.spacing, num_classes=len(config.data.classes)
            )
        given = np.where(inside, noisy, given).astype(np.uint8)
        records[split] = {"source": source.name, **record}
    return given, records


def _classes_of(ids: NDArray[np.int32], geobox: GeoBox, num_classes: int, edge_px: int) -> NDArray[np.int64]:
    """Classes of corrupted objects, by the same algebra as the classes of the polygons themselves."""
    if num_classes == 2:
        return (ids > 0).astype(np.int64)
    labels = VectorLabels(polygonize(ids, geobox), geobox, num_classes, edge_px)
    return labels.read(Window((0, 0), tuple(ids.shape)))

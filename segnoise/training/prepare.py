"""From a configuration to sources, labels, splits and scaling: everything decided before the first step.

What is decided is written to the run's folder (``prepared.json`` and the label rasters), so that a resumed run,
an evaluation and a reader of the folder see the same data.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
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
    parse_fold,
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
    noise); ``regions`` are the boxes of each split, ``records`` the noise records by split, and ``files`` the user's
    label file of each source.
    """

    sources: list[Source]
    given: list[Labels]
    clean: list[Labels] | None
    regions: dict[str, list[Region]]
    scaling: Scaling
    records: dict[str, list[dict[str, Any]]]
    files: list[Path] = field(default_factory=list)

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
    return Prepared(sources, given, clean, regions, scaling, records, labels)


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
    seed = config.seed if split.seed is None else split.seed
    fractions = {"train": 0.0, "val": 0.0, "test": 0.0} | {str(k): v for k, v in split.fractions.items()}
    fold = None if split.fold is None else parse_fold(split.fold)
    if split.by == "block":
        window = (config.data.window,) * len(sources[0].shape)
        return block_split([s.shape for s in sources], window, fractions, seed, fold)
    if split.by == "table" and None in given:
        raise UserError("data.split.by: table needs labels given as a CSV table with the columns image, label, split")
    fixed = list(given) if split.by == "table" else None
    chosen = source_split([s.name for s in sources], fractions, seed, fixed, split.group, fold)
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
    num_classes = len(config.data.classes)
    grids = [s.grid if isinstance(s, RasterSource) else GeoBox(s.shape, Affine.identity(), None) for s in sources]
    clean: list[Labels] = []
    for index, (grid, original) in enumerate(zip(grids, originals, strict=True)):
        truth = original.labels
        if original.polygons is not None:
            path = run.labels / f"{index:04d}_clean.tif"
            if not path.is_file():
                write_label_raster(truth, grid, path)
            truth = RasterLabels(path, num_classes)
        clean.append(truth)
    if config.noise is None:
        return clean, None, {"train": [], "val": []}
    known = json.loads(run.prepared.read_text())["noise"] if run.prepared.is_file() else None
    paths = [run.labels / f"{index:04d}_given.tif" for index in range(len(sources))]
    if known is None or not all(path.is_file() for path in paths):
        noisy, records = _corrupt(config, sources, originals, clean, regions)
        for array, grid, path in zip(noisy, grids, paths, strict=True):
            write_label_raster(ArrayLabels(array), grid, path, overwrite=True)
        known = known or records
    return [RasterLabels(path, num_classes) for path in paths], clean, known


def _corrupt(
    config: Config,
    sources: Sequence[Source],
    originals: Sequence[Original],
    clean: Sequence[Labels],
    regions: dict[str, list[Region]],
) -> tuple[list[NDArray[np.uint8]], dict[str, list[dict[str, Any]]]]:
    """All labels with noise in the training and validation boxes, a different draw in each.

    The level is met over the training labels of all sources together, and over the validation labels, because one
    small image cannot miss 30 % of its three objects.
    """
    assert config.noise is not None
    corruption = noise.parse(config.noise.spec)
    if not isinstance(config.data, ImageData):
        corruption.check_unit("m", "data")
    num_classes = len(config.data.classes)
    given = [labels.read(Window((0,) * len(labels.shape), labels.shape)).astype(np.uint8) for labels in clean]
    records: dict[str, list[dict[str, Any]]] = {}
    for split in ("train", "val"):
        inside = _inside(sources, regions[split])
        done: dict[int, dict[str, Any]] = {}
        for number, members in enumerate(_sets(corruption, sources, originals, sorted(inside))):
            polygons = originals[members[0]].polygons is not None
            if polygons:
                # Polygons are corrupted as objects (touching parcels are two), and the classes derived after.
                labels = [_objects(sources[k], originals[k], inside[k]) for k in members]
            else:
                labels = [np.where(inside[k], given[k], np.uint8(IGNORE_INDEX)) for k in members]
            seed = int(generator(config.noise.seed, split, number).integers(2**31))
            spacing = _common_spacing([sources[k] for k in members])
            corrupted = corruption.corrupt_all(labels, seed, polygons, spacing, None if polygons else num_classes)
            for k, (noisy, record) in zip(members, corrupted, strict=True):
                if polygons:
                    noisy = _classes_of(config, sources[k], np.where(inside[k], noisy, 0).astype(np.int32))
                given[k] = np.where(inside[k], noisy, given[k]).astype(np.uint8)
                done[k] = {"source": sources[k].name, **record}
        records[split] = [done[k] for k in sorted(done)]
    return given, records


def _inside(sources: Sequence[Source], boxes: Sequence[Region]) -> dict[int, NDArray[np.bool_]]:
    """By source, the pixels in the boxes of a split; sources without any are left out."""
    inside: dict[int, NDArray[np.bool_]] = {}
    for region in boxes:
        mask = inside.setdefault(region.index, np.zeros(sources[region.index].shape, dtype=bool))
        mask[region.window.clip(mask.shape).slices] = True
    return inside


def _sets(
    corruption: noise.Corruption, sources: Sequence[Source], originals: Sequence[Original], members: Sequence[int]
) -> list[list[int]]:
    """The sources over which one level is met: all, but for those that no one strength can serve.

    Objects and classes are apart, and lengths in metres need pixels of one size (within the last of three digits).
    """
    metric = any(length.unit != "px" for length in corruption.lengths)
    sets: dict[tuple[Any, ...], list[int]] = {}
    for k in members:
        size = tuple(f"{side:.3g}" for side in sources[k].spacing) if metric else ()
        sets.setdefault((originals[k].polygons is not None, size), []).append(k)
    return list(sets.values())


def _common_spacing(sources: Sequence[Source]) -> tuple[float, ...] | None:
    """The mean size of a pixel, or None where the sources' pixels differ by more than 1 %."""
    sizes = np.array([source.spacing for source in sources])
    mean = sizes.mean(0)
    # Written so that unknown sizes, which are nan, are not common either.
    return tuple(map(float, mean)) if (np.abs(sizes / mean - 1) <= 0.01).all() else None


def _objects(source: Source, original: Original, inside: NDArray[np.bool_]) -> NDArray[np.int32]:
    assert isinstance(source, RasterSource)
    assert original.polygons is not None
    return np.where(inside, rasterize_instances(original.polygons, source.require_crs()), -1).astype(np.int32)


def _classes_of(config: Config, source: Source, ids: NDArray[np.int32]) -> NDArray[np.int64]:
    """Classes of corrupted objects, by the same algebra as the classes of the polygons themselves."""
    num_classes = len(config.data.classes)
    if num_classes == 2:
        return (ids > 0).astype(np.int64)
    assert isinstance(source, RasterSource)
    assert not isinstance(config.data, ImageData)
    geobox = source.require_crs()
    labels = VectorLabels(polygonize(ids, geobox), geobox, num_classes, config.data.edge_px)
    return labels.read(Window((0, 0), tuple(ids.shape)))

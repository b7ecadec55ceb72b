"""From the section ``data`` to images and their labels as they were given: one opener for each kind of data."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from segnoise.config import (
    Config,
    DataSection,
    FundusData,
    ImageData,
    OctData,
    RasterData,
    SceneData,
    VideoData,
    VolumeData,
)
from segnoise.data import (
    IGNORE_INDEX,
    ArrayLabels,
    ImageLabels,
    ImageSource,
    Labels,
    PerImage,
    RasterLabels,
    RasterSource,
    Source,
    VectorLabels,
    check_same_bands,
    find_images,
    is_vector,
    pair_labels,
    read_polygons,
    read_table,
    write_label_raster,
)
from segnoise.data.fieldofview import FoundFieldOfView, SeenImage
from segnoise.data.item import Item
from segnoise.data.raster import check_labels
from segnoise.errors import UserError
from segnoise.training.run import Run


@dataclass(frozen=True)
class Opened:
    """An image of a run and its labels, as the user gave them.

    ``image`` and ``file`` are where they lie, ``place`` the grid of a map on the Earth or the affine of a volume;
    ``polygons`` are the labels of a map that were drawn as such; ``group`` is what no split may cut, such as a patient,
    and ``split`` the part that a table states. ``image_labels`` say of each class whether it is in the image: 1, 0, or
    nan where that is not known; ``slice_labels``, ``C Z``, say it of the slices of a volume across its last axis.
    ``numbers`` are those of the frames of a sequence.
    """

    image: Path
    file: Path
    source: Source
    labels: Labels
    place: GeoBox | NDArray[np.float64] | None = None
    polygons: gpd.GeoDataFrame | None = None
    group: str | None = None
    split: str | None = None
    image_labels: tuple[float, ...] | None = None
    slice_labels: NDArray[np.float32] | None = None
    numbers: tuple[int, ...] | None = None

    @property
    def grid(self) -> GeoBox:
        """Where the pixels of a 2-D image lie."""
        return self.place if isinstance(self.place, GeoBox) else GeoBox(self.source.shape, Affine.identity(), None)

    @property
    def suffix(self) -> str:
        """Of files with labels of this image."""
        return ".nii.gz" if len(self.source.shape) == 3 else ".tif"

    def write(self, labels: NDArray[np.uint8], path: Path) -> None:
        """Writes labels of this image as a file that lies where it lies."""
        if labels.ndim == 2:
            write_label_raster(ArrayLabels(labels), self.grid, path, overwrite=True)
            return
        from segnoise.data.volume import write_volume

        assert isinstance(self.place, np.ndarray)
        write_volume(path, labels, self.place, overwrite=True)

    def reread(self, path: Path, num_classes: int) -> Labels:
        """The labels in a file that was written so."""
        if len(self.source.shape) == 2:
            return RasterLabels(path, num_classes)
        from segnoise.data.volume import VolumeLabels

        return VolumeLabels(path, num_classes)


def open_data(config: Config, run: Run) -> list[Opened]:
    """Every image of a run with its labels; label values are checked, so that a mistake is told before training.

    Raises:
        UserError: for every mistake in paths, formats, grids and classes, with one line.
    """
    data = config.data
    opened = _OPENERS[type(data)](data, run)
    check_same_bands([item.source for item in opened])
    # A sequence that is cut is one recording; an expression may join recordings, such as those of a patient.
    by_recording = isinstance(data, VideoData)
    return [_grouped(item, data.split.group, item.group or "" if by_recording else item.source.name) for item in opened]


def open_image(data: DataSection, path: Path) -> Source:
    """One image as the networks of a run see it: its bands and its scaling."""
    if isinstance(data, VolumeData):
        from segnoise.training.volumes import open_volume_source

        return open_volume_source(data, [path])
    if isinstance(data, FundusData) and data.derive_fov:
        image = ImageSource(path)
        return _scaled(data, SeenImage(image, FoundFieldOfView(image)))
    if isinstance(data, ImageData | FundusData | OctData):
        return _scaled(data, ImageSource(path))
    return _scaled(data, RasterSource(path, data.bands if isinstance(data, RasterData) else None))


def _scaled(data: DataSection, source: Any) -> Any:
    """Scaled by its own values where the configuration says so."""
    if data.scaling.per == "set":
        return source
    return PerImage(source, data.scaling.kind, data.scaling.divide)


def _grouped(item: Opened, pattern: str | None, name: str) -> Opened:
    if pattern is None:
        return item
    match = re.search(pattern, name)
    if match is None:
        raise UserError(
            f"data.split.group: {pattern!r} matches nothing in the image name {name!r}; change the expression"
        )
    group = match[1] if match.lastindex and match[1] is not None else match[0]
    return replace(item, group=group)


def _rasters(data: RasterData, run: Run) -> list[Opened]:
    images, labels, splits = _pairs(data)
    return [_map(data, *pair) for pair in zip(images, labels, splits, strict=True)]


def _scenes(data: SceneData, run: Run) -> list[Opened]:
    """Procedural scenes in the run's folder."""
    from segnoise.data.scenes import field_scene

    opened = []
    for k in range(data.count):
        folder = run.folder / "scenes" / f"{data.seed + k:04d}"
        if not (folder / "fields.gpkg").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            field_scene(data.size, data.seed + k).save(folder)
        opened.append(_map(data, folder / "scene.tif", folder / "fields.gpkg", None))
    return opened


def _map(data: RasterData | SceneData, image: Path, file: Path, split: str | None) -> Opened:
    scene = RasterSource(image, data.bands if isinstance(data, RasterData) else None)
    geobox = scene.require_crs()
    classes = len(data.classes)
    if not is_vector(file):
        raster = RasterLabels(file, classes, like=scene)
        raster.check()
        return Opened(image, file, _scaled(data, scene), raster, geobox, split=split)
    if classes > 3:
        raise UserError(
            f"data.classes: polygons ({file.name}) give 2 classes (background, field) or 3 (and boundary), "
            f"not {classes}"
        )
    polygons = read_polygons(file, geobox)
    labels = VectorLabels(polygons, geobox, classes, data.edge_px)
    return Opened(image, file, _scaled(data, scene), labels, geobox, polygons, split=split)


def _images(data: ImageData, run: Run) -> list[Opened]:
    opened = []
    for image, file, split in zip(*_pairs(data), strict=True):
        source = ImageSource(image)
        masks = ImageLabels(file, len(data.classes), like=source)
        masks.check()
        opened.append(Opened(image, file, _scaled(data, source), masks, split=split))
    return opened


def _volumes(data: VolumeData, run: Run) -> list[Opened]:
    from segnoise.training.volumes import open_volumes

    return [
        Opened(
            item.image,
            item.file,
            item.source,
            item.labels,
            item.affine,
            group=item.group,
            split=item.split,
            image_labels=item.image_labels,
            slice_labels=item.slice_labels,
        )
        for item in open_volumes(data)
    ]


def _videos(data: VideoData, run: Run) -> list[Opened]:
    from segnoise.training.videos import open_videos

    return [
        Opened(
            sequence.path,
            labels.path,
            _scaled(data, sequence),
            labels,
            np.eye(4),
            group=group,
            split=split,
            numbers=sequence.numbers,
        )
        for sequence, labels, group, split in open_videos(data)
    ]


def _fundus(data: FundusData, run: Run) -> list[Opened]:
    from segnoise.data.fundus import read_fundus

    plain = data.layout == "plain"
    names, items = read_fundus(
        data.folder,
        data.layout,
        data.observer,
        data.classes if plain else None,
        data.values if plain else None,
        data.derive_fov,
    )
    return _listed(data, names, items)


def _oct(data: OctData, run: Run) -> list[Opened]:
    from segnoise.data import oct as sets

    if data.layout == "duke":
        return _listed(data, *sets.read_duke(data.folder, data.target, data.observer))
    if data.layout == "retouch":
        return _listed(data, *sets.read_retouch(data.folder))
    if data.layout == "olives":
        findings, clinical = (
            _olives_table(Path(data.folder), f"{name}Clinical_Data_Images") for name in ("Biomarker_", "")
        )
        names, items = sets.read_olives(data.folder, findings, clinical, labels=data.classes[1:])
        return _listed(data, [data.classes[0], *names], items)
    return _listed(data, *sets.read_bscans(data.folder, data.classes))


def _olives_table(folder: Path, stem: str) -> Path | None:
    """A table of OLIVES under its published name, if it is in the folder."""
    return next((path for ending in (".csv", ".xlsx") if (path := folder / f"{stem}{ending}").is_file()), None)


def _listed(data: FundusData | OctData, names: Sequence[str], items: Sequence[Item]) -> list[Opened]:
    """The items of a set that have labels of any kind."""
    if list(names) != list(data.classes):
        raise UserError(
            f"data.classes: {', '.join(data.classes)}, but {data.folder} has {', '.join(names)}; write those"
        )
    opened = []
    for item in items:
        told = tuple(item.image_labels.get(name, math.nan) for name in data.classes)
        known = any(not math.isnan(value) for value in told)
        labels = item.labels
        if labels is None:
            if not known:
                continue
            labels = ArrayLabels(np.broadcast_to(np.uint8(IGNORE_INDEX), item.source.shape))
        elif hasattr(labels, "path"):
            check_labels(labels)  # type: ignore[arg-type]
        path = Path(getattr(item.source, "path", item.name))
        opened.append(
            Opened(
                path,
                Path(getattr(labels, "path", path)),
                _scaled(data, item.source),
                labels,
                group=item.group,
                split=item.split,
                image_labels=told if known else None,
            )
        )
    if not opened:
        raise UserError(f"{data.folder}: none of its {len(items)} images has a label; give a folder with labels")
    return opened


def _pairs(data: RasterData | ImageData) -> tuple[list[Path], list[Path], list[str | None]]:
    """Image paths, label paths, and the split that a table states for each."""
    base = Path.cwd()  # paths in a configuration are absolute already
    images = find_images(data.images, base)
    labels = pair_labels(images, data.labels, base)
    return images, labels, splits_of(data.labels, images)


def splits_of(labels: str | Sequence[str] | None, images: Sequence[Path]) -> list[str | None]:
    """The split that a table of labels states for each image; None without a table."""
    given: dict[Path, str | None] = {}
    if isinstance(labels, str) and labels.lower().endswith(".csv"):
        given = {pair.image.resolve(): pair.split for pair in read_table(labels)}
    return [given.get(image.resolve()) for image in images]


_OPENERS: dict[type, Callable[[Any, Run], list[Opened]]] = {
    RasterData: _rasters,
    SceneData: _scenes,
    ImageData: _images,
    VolumeData: _volumes,
    VideoData: _videos,
    FundusData: _fundus,
    OctData: _oct,
}

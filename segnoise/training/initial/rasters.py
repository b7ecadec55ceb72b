"""A first configuration for georeferenced scenes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from odc.geo.geobox import GeoBox

from segnoise.data import (
    Labels,
    RasterLabels,
    RasterSource,
    VectorLabels,
    is_vector,
    read_polygons,
)
from segnoise.data.grid import crs_name
from segnoise.data.rasterfile import RasterFile, RasterInfo
from segnoise.training.initial.brightness import look_at
from segnoise.training.initial.dealing import deal
from segnoise.training.initial.draft import Choice, Choices, Draft, Files, Progress
from segnoise.training.initial.effort import block_window, sides, square_window
from segnoise.training.initial.labelcount import ClassesSeen, count_labels, names_in_raster, see_classes
from segnoise.training.initial.pairs import Pairs, opened, pairs
from segnoise.training.initial.together import together
from segnoise.training.initial.wording import counted, span

_TOUCHING = 0.1


def draft_rasters(files: Files, progress: Progress | None = None) -> Draft:
    """Looks at scenes and their labels, polygons or rasters."""
    paired = pairs(files)
    infos = opened(paired.images, lambda k: RasterFile(paired.images[k]).info)
    bands, band_warnings = _bands(paired.images, infos)
    scenes = opened(paired.images, lambda k: RasterSource(paired.images[k], bands.value))
    grids = opened(paired.images, lambda k: scenes[k].require_crs())
    seen, touching = _labels(paired, scenes, grids, progress)
    names = [scene.name for scene in scenes]
    dealt = deal(names, "scene", blocks=True, given=paired.given)
    shapes = [scene.shape for scene in scenes]
    window = block_window(shapes, "scene") if dealt.by == "block" else square_window(shapes)
    brightness = look_at(scenes)
    spacings = [scene.spacing for scene in scenes]
    facts = [
        f"{len(scenes)} scene{'s' if len(scenes) > 1 else ''} of {sides(shapes)} px, {counted(map(crs_name, grids))}, "
        f"pixels of {span([s[0] for s in spacings])} x {span([s[1] for s in spacings])} m",
        f"bands: {bands.why}; nodata {counted(_nodata(info) for info in infos)}; {brightness or 'nothing observed'}",
        seen.fact + touching,
    ]
    warnings = [*paired.warnings, *band_warnings, *_mixed(grids, spacings, infos), *seen.warnings]
    scaling = Choice("set", f"one scaling for all scenes; {brightness}")
    data: dict[str, Choice | Choices] = {
        "kind": Choice("raster", ""), **paired.choices, "classes": seen.names, "window": window, "split": dealt.split,
        "bands": bands, "scaling": {"per": scaling},
    }  # fmt: skip
    return together(data, shapes, dealt, facts, warnings)


def _bands(images: Sequence[Path], infos: Sequence[RasterInfo]) -> tuple[Choice, list[str]]:
    """The bands that all scenes have, alpha aside."""
    common = [band for band in infos[0].bands if all(band in info.bands for info in infos)]
    with rasterio.open(images[0]) as dataset:
        described = [dataset.descriptions[band - 1] for band in common]
    named = f" ({', '.join(map(str, described))})" if all(described) else ""
    alpha = ", without alpha" if infos[0].alpha is not None else ""
    dtypes = counted(info.dtypes[info.bands[0] - 1] if info.bands else "none" for info in infos)
    counts = Counter(len(info.bands) for info in infos)
    if len(counts) == 1:
        return Choice(common, f"all {len(common)} of {dtypes}{named}{alpha}"), []
    fewest = min(range(len(infos)), key=lambda k: len(infos[k].bands))
    warning = (
        f"scenes have different numbers of bands ({counted(f'{n} bands' for n in counts.elements())}; "
        f"{images[fewest].name} has {len(infos[fewest].bands)}): only those that all have are used"
    )
    return Choice(common, f"those that all scenes have, {dtypes}; check that they mean the same"), [warning]


def _labels(
    paired: Pairs, scenes: Sequence[RasterSource], grids: Sequence[GeoBox], progress: Progress | None
) -> tuple[ClassesSeen, str]:
    """Classes of polygons or of label rasters, and how many polygons touch."""
    total = len(paired.labels)
    vector = [is_vector(path) for path in paired.labels]
    if not any(vector):
        rasters = opened(paired.labels, lambda k: RasterLabels(paired.labels[k], like=scenes[k]))
        counts = count_labels(rasters, total, progress)
        last = int(np.flatnonzero(counts[:255])[-1]) if counts[:255].any() else 0
        names = names_in_raster(paired.labels[0], last + 1)
        grey = "255 means unknown: write 1 where the class is, not 255"
        return see_classes(counts, str(paired.labels[0].parent), names, paired.labels[0].name, grey), ""
    frames = opened(paired.labels, lambda k: read_polygons(paired.labels[k], grids[k]) if vector[k] else None)
    labels: list[Labels] = [
        VectorLabels(frame, grid) if frame is not None else RasterLabels(path, like=scene)
        for frame, grid, path, scene in zip(frames, grids, paired.labels, scenes, strict=True)
    ]
    counts = count_labels(labels, total, progress)
    number, touching = map(sum, zip(*(_touching(frame) for frame in frames if frame is not None), strict=True))
    seen = see_classes(counts, str(paired.labels[0]), ["background", "field"], "what polygons stand for")
    held = f"{number} polygons, {touching} of which touch another"
    if number and touching / number > _TOUCHING:
        why = f"{held}: a boundary class keeps them apart; 'field' is only a name"
        classes = Choice(["background", "field", "boundary"], why)
    else:
        classes = Choice(["background", "field"], f"{held}; 'field' is only a name, put yours")
    return ClassesSeen(classes, seen.fact, seen.warnings), f"; {held}"


def _touching(frame: Any) -> tuple[int, int]:
    """How many polygons there are, and how many touch or overlap another."""
    shapes = frame.geometry.to_numpy()
    one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    return len(shapes), len(set(one[one != other].tolist()))


def _mixed(grids: Sequence[GeoBox], spacings: Sequence[tuple[float, ...]], infos: Sequence[RasterInfo]) -> list[str]:
    warnings = []
    systems = Counter(crs_name(grid) for grid in grids)
    if len(systems) > 1:
        warnings.append(f"scenes are in different CRS: {counted(systems.elements())}")
    sizes = [math.sqrt(s[0] * s[1]) for s in spacings]
    if max(sizes) > 1.1 * min(sizes):
        warnings.append(f"pixels are of different sizes, {span(sizes)} m; the network sees pixels, not metres")
    dtypes = Counter(info.dtypes[0] for info in infos)
    if len(dtypes) > 1:
        warnings.append(f"scenes are of different data types ({counted(dtypes.elements())}); are their units the same?")
    return warnings


def _nodata(info: RasterInfo) -> str:
    return "none" if info.nodata[0] is None else f"{info.nodata[0]:g}"

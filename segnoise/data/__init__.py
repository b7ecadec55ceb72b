"""Where samples come from: readers of imagery and labels by window, scaling, splits, augmentation, and
the sample dictionary every domain shares; ``scenes`` makes procedural landscapes with exact truth.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segnoise.data.augment import (
        PhotometricDraw,
        apply_photometric,
        draw_orientation,
        draw_photometric,
        orient,
        unorient,
    )
    from segnoise.data.dataset import FixedWindows, WindowDataset
    from segnoise.data.grid import describe_grid, pixel_spacing, same_grid
    from segnoise.data.image import ImageLabels, ImageSource
    from segnoise.data.pairing import Pair, find_images, is_vector, pair_labels, read_table
    from segnoise.data.perimage import PerImage
    from segnoise.data.polygons import read_polygons
    from segnoise.data.raster import RasterLabels, RasterSource, check_same_bands
    from segnoise.data.resident import keep_in_memory
    from segnoise.data.sample import IGNORE_INDEX, Meta, Sample, collate
    from segnoise.data.scaling import Scaling, fit_scaling
    from segnoise.data.source import ArrayLabels, ArraySource, Labels, Source
    from segnoise.data.splits import Fold, Region, block_split, parse_fold, source_split, whole_regions
    from segnoise.data.vectorlabels import VectorLabels, rasterize_instances, write_label_raster
    from segnoise.data.writetiff import geotiff

__all__ = [
    "IGNORE_INDEX",
    "ArrayLabels",
    "ArraySource",
    "FixedWindows",
    "Fold",
    "ImageLabels",
    "ImageSource",
    "Labels",
    "Meta",
    "Pair",
    "PerImage",
    "PhotometricDraw",
    "RasterLabels",
    "RasterSource",
    "Region",
    "Sample",
    "Scaling",
    "Source",
    "VectorLabels",
    "WindowDataset",
    "apply_photometric",
    "block_split",
    "check_same_bands",
    "collate",
    "describe_grid",
    "draw_orientation",
    "draw_photometric",
    "find_images",
    "fit_scaling",
    "geotiff",
    "is_vector",
    "keep_in_memory",
    "orient",
    "pair_labels",
    "parse_fold",
    "pixel_spacing",
    "rasterize_instances",
    "read_polygons",
    "read_table",
    "same_grid",
    "source_split",
    "unorient",
    "whole_regions",
    "write_label_raster",
]

_HOME = {
    "ArrayLabels": "source",
    "ArraySource": "source",
    "FixedWindows": "dataset",
    "Fold": "splits",
    "IGNORE_INDEX": "sample",
    "ImageLabels": "image",
    "ImageSource": "image",
    "Labels": "source",
    "Meta": "sample",
    "Pair": "pairing",
    "PerImage": "perimage",
    "PhotometricDraw": "augment",
    "RasterLabels": "raster",
    "RasterSource": "raster",
    "Region": "splits",
    "Sample": "sample",
    "Scaling": "scaling",
    "Source": "source",
    "VectorLabels": "vectorlabels",
    "WindowDataset": "dataset",
    "apply_photometric": "augment",
    "block_split": "splits",
    "check_same_bands": "raster",
    "collate": "sample",
    "describe_grid": "grid",
    "draw_orientation": "augment",
    "draw_photometric": "augment",
    "find_images": "pairing",
    "fit_scaling": "scaling",
    "geotiff": "writetiff",
    "is_vector": "pairing",
    "keep_in_memory": "resident",
    "orient": "augment",
    "pair_labels": "pairing",
    "parse_fold": "splits",
    "pixel_spacing": "grid",
    "rasterize_instances": "vectorlabels",
    "read_polygons": "polygons",
    "read_table": "pairing",
    "same_grid": "grid",
    "source_split": "splits",
    "unorient": "augment",
    "whole_regions": "splits",
    "write_label_raster": "vectorlabels",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'segnoise.data' has no attribute {name!r}")
    return getattr(importlib.import_module(f"segnoise.data.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)

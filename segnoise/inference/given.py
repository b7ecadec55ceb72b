"""Labels that were given for what is predicted: found by name, read as the run reads its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import nn

from segnoise.config import Config, FundusData, RasterData, SceneData
from segnoise.data import (
    IGNORE_INDEX,
    ImageLabels,
    Labels,
    RasterLabels,
    RasterSource,
    Source,
    VectorLabels,
    is_vector,
    pair_labels,
    read_polygons,
)
from segnoise.data.fieldofview import BLACK_AND_WHITE, MaskFile
from segnoise.data.raster import check_labels
from segnoise.errors import UserError
from segnoise.windows import Window

_REFUGE = {255: 0, 128: 1, 0: 2}


def label_files(images: Sequence[Path], labels: str | Path) -> list[Path]:
    """The label file of each image or scene: the file itself for one (polygons: for all); those called as the images
    are, in a folder or by a pattern; or those of a CSV table with the columns image and label.

    Raises:
        UserError: nothing there, or an image without labels or with two, naming it.
    """
    path = Path(labels)
    if not path.is_file() or path.suffix.lower() == ".csv":
        return pair_labels(images, labels, Path())
    if len(images) > 1 and not is_vector(path):
        raise UserError(f"{path}: is one file for {len(images)} images; give a folder, a pattern or a CSV table")
    return [path] * len(images)


def image_labels(model: nn.Module, file: str | Path, image: Source) -> Labels:
    """The labels in a mask of an image, checked.

    Class indices, 255 where unknown. A run on photographs of the retina reads grey values by ``data.values``, and
    takes a mask of 0 and 255 alone (DRIVE, CHASE_DB1) or of 0, 128 and 255 (REFUGE) for what such a set's masks
    mean, unless it was trained on plain folders.

    Raises:
        UserError: no mask, another size than the image, several bands, values that are no class.
    """
    config = getattr(model, "config", None)
    data = config.data if isinstance(config, Config) else None
    classes = getattr(model, "classes", None)
    path = Path(file)
    if isinstance(data, FundusData):
        table = data.values if data.values is not None else _table_of_a_set(data, path)
        if table is not None:
            grey = MaskFile(path, table, image)  # type: ignore[arg-type]
            check_labels(grey)  # type: ignore[arg-type]
            return grey
    labels = ImageLabels(path, None if classes is None else len(classes))
    if labels.shape != image.shape:
        raise UserError(
            f"{path}: the mask is {labels.shape[0]} x {labels.shape[1]} px but its image {image.name} is "
            f"{image.shape[0]} x {image.shape[1]} px; give a mask of the same size"
        )
    labels.check()
    return labels


def scene_labels(model: nn.Module, file: str | Path, scene: str | Path) -> Labels:
    """The labels of a scene on its grid, checked: a raster of class indices, or polygons as the run reads them.

    Raises:
        UserError: an unreadable file, another grid, labels beyond the classes, polygons that do not meet the scene or
            for more classes than they can give.
    """
    config = getattr(model, "config", None)
    data = config.data if isinstance(config, Config) else None
    classes = getattr(model, "classes", None)
    source = RasterSource(scene)
    if not is_vector(file):
        labels = RasterLabels(file, None if classes is None else len(classes), like=source)
        labels.check()
        return labels
    count = 2 if classes is None else len(classes)
    if count > 3:
        raise UserError(
            f"{file}: polygons give 2 classes or 3, but the run has {count}; give a raster of class indices"
        )
    geobox = source.require_crs()
    edge = data.edge_px if isinstance(data, RasterData | SceneData) else 1
    return VectorLabels(read_polygons(file, geobox), geobox, count, edge)


def _table_of_a_set(data: FundusData, path: Path) -> dict[int, int] | None:
    """What the grey values of a mask in black and white or of REFUGE mean; None for class indices."""
    labels = ImageLabels(path)
    held = set(np.unique(labels.read(Window((0, 0), labels.shape))).tolist())
    if held == {0, IGNORE_INDEX} and len(data.classes) == 2:
        if data.layout == "plain" or (data.layout == "auto" and (Path(data.folder) / "images").is_dir()):
            raise UserError(f"{path}: holds only 0 and 255, and 255 means unknown; give class indices, 0 and 1")
        return BLACK_AND_WHITE
    if 128 in held and held <= set(_REFUGE) and len(data.classes) == 3:
        return _REFUGE
    return None

"""The data of a benchmark's sets, found or made once and used by all cells."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from segnoise.config import FundusData, ImageData, OctData, SceneData, VideoData, VolumeData
from segnoise.data import find_images, pair_labels
from segnoise.data.scenes import field_scene
from segnoise.errors import UserError
from segnoise.evaluation.benchmark.description import Reduced, SetEntry, Slices, set_config
from segnoise.evaluation.benchmark.pictures import cut_slices, make_grey, reduce_pictures


def provide(name: str, entry: SetEntry, root: Path, folder: Path) -> dict[str, Any]:
    """The section ``data`` of all runs on a set, with absolute paths.

    Procedural scenes and prepared pictures are made in a folder of ``folder`` that is named after what they are
    made from, and only if it is not there: an interrupted making leaves nothing.

    Raises UserError for images or labels that are not there.
    """
    config = set_config(entry, f"sets.{name}", root)
    data = config.data
    if isinstance(data, SceneData):
        made = _once(folder, name, data.model_dump(include={"count", "size", "seed"}), lambda to: _scenes(data, to))
        places = [made / f"{data.seed + k:04d}" for k in range(data.count)]
        left_out = ("kind", "count", "size", "seed")
        rest = {key: value for key, value in entry.data.items() if key not in left_out}
        window = rest.pop("window", data.window)
        files = {"images": [str(p / "scene.tif") for p in places], "labels": [str(p / "fields.gpkg") for p in places]}
        return {"kind": "raster", "window": window, **rest, **files}
    content: dict[str, Any] = config.model_dump(mode="json", exclude_defaults=True)["data"]
    if isinstance(data, VolumeData | FundusData | OctData | VideoData):
        return content  # each run looks for its files
    try:
        images = find_images(data.images, root)
        labels = pair_labels(images, data.labels, root)
    except UserError as error:
        raise UserError(f"sets.{name}: {error} (the folder of the data is {root}; --data gives another)") from error
    if entry.prepare is None:
        return content
    if not isinstance(data, ImageData):
        raise UserError(f"sets.{name}: prepare makes plain pictures; data.kind must be images, not {data.kind}")
    prepare = entry.prepare
    recipe = {**prepare.model_dump(), "images": data.images, "labels": data.labels}
    if isinstance(prepare, Slices):
        made = _once(folder, name, recipe, lambda to: cut_slices(images, labels, prepare.axis, prepare.every, to))
        return {**content, "images": [str(made / "images" / "*.png")], "labels": str(made / "labels")}
    if isinstance(prepare, Reduced):
        made = _once(folder, name, recipe, lambda to: reduce_pictures(images, labels, prepare.factor, to))
        return {**content, "images": [str(made / "images" / "*.png")], "labels": str(made / "labels")}
    made = _once(folder, name, recipe, lambda to: make_grey(images, to))
    return {**content, "images": [str(made / "images" / "*.png")]}


def _scenes(data: SceneData, folder: Path) -> None:
    for k in range(data.count):
        place = folder / f"{data.seed + k:04d}"
        place.mkdir()
        field_scene(data.size, data.seed + k).save(place)


def _once(folder: Path, name: str, recipe: Mapping[str, Any], make: Callable[[Path], None]) -> Path:
    """The folder made from a recipe: written beside its final name, then renamed."""
    address = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:8]
    final = folder / f"{name}-{address}"
    if not final.is_dir():
        partial = folder / f".{final.name}.{secrets.token_hex(4)}"
        partial.mkdir(parents=True)
        try:
            make(partial)
            os.replace(partial, final)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return final

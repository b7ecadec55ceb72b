"""Repairing labels that lie beside their images: a vector for each scene, or one for all, from out-of-fold beliefs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray

from segnoise.config import Config, ImageData, RasterData, SceneData
from segnoise.data import Source, is_vector, read_polygons
from segnoise.errors import UserError
from segnoise.evaluation.crossfit import cross_fit
from segnoise.inference import Displacement, find_common_displacement, find_displacement, move_labels
from segnoise.noise.labelfile import open_labels
from segnoise.vector import POLYGON_SUFFIXES, write_polygons
from segnoise.windows import atomic_output, refuse_existing

Per = Literal["scene", "all"]


@dataclass(frozen=True)
class Aligned:
    """What was found of the labels of one source, and the vector they were moved by (zeros where it was refused).

    ``vector`` and ``moved`` are pixels along each axis, ``metres`` the first on the ground, nan where unknown.
    """

    source: str
    labels: str
    vector: tuple[float, ...]
    error: tuple[float, ...]
    metres: tuple[float, ...]
    gain: float
    accepted: bool
    reason: str
    moved: tuple[float, ...]


def align_labels(
    config: Config,
    out: Path,
    *,
    per: Per = "scene",
    folds: int = 2,
    radius: int = 10,
    device: str = "cpu",
    overwrite: bool = False,
    quiet: bool = False,
) -> list[Aligned]:
    """Moves the labels of a configuration to where a network that has not seen them believes they belong.

    A network is trained for each fold on the labels as they are, with flips and quarter turns whatever the
    configuration says: they turn the displacement with the image, so that it is no habit that can be learned, and what
    the network says of the part held out lies where the image says. Each scene's vector is then found or refused
    (:func:`segnoise.inference.find_displacement`). Class rasters move by whole pixels and are unknown (255) where
    nothing comes to; polygons move by the vector itself and keep their attributes. The user's files stay.

    Args:
        config: of the training that the labels are for; kind ``raster`` or ``images``.
        out: folder to write: ``labels/`` with a file for each of the user's, ``align.json``, and runs in ``folds/``.
        per: a vector for each ``scene``, or one for ``all``, for many small images that were cut from one sheet.
        folds: how many parts are held out in turn.
        radius: the longest vector looked for, in pixels.
        overwrite: replace ``labels/`` and ``align.json``; runs are kept.

    Raises:
        UserError: drawn scenes, existing outputs, label files of one name, images too small for the radius, and what
            training raises.
    """
    if not isinstance(config.data, RasterData | ImageData):
        why = "the labels of drawn scenes are exact; " if isinstance(config.data, SceneData) else ""
        raise UserError(f"data.kind: {why}labels are moved of raster or images, not of {config.data.kind}")
    if radius < 1 or 2 * radius + 2 > min(config.data.sides):
        raise UserError(f"--radius {radius}: at least 1, and below half of the window ({min(config.data.sides)} px)")
    try:
        (out / "labels").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror}); give another folder with -o") from error
    table = refuse_existing(out / "align.json", overwrite)
    content: dict[str, Any] = config.model_dump(mode="json")
    content["data"]["augment"] = True
    seen = list(
        cross_fit(Config.model_validate(content), out / "folds", folds, reflected=True, device=device, quiet=quiet)
    )
    names: dict[str, Path] = {}
    for view in seen:
        if names.setdefault(view.file.name, view.file) != view.file:
            raise UserError(f"data.labels: {names[view.file.name]} and {view.file} have one name; rename one of them")
    if per == "all":
        common = find_common_displacement([(view.probabilities, view.labels) for view in seen], radius)
        found = [common] * len(seen)
    else:
        found = [_find(view.probabilities, view.labels, radius, view.source.name) for view in seen]
    rows = [_row(view.source, view.file, d) for view, d in zip(seen, found, strict=True)]
    for file in names.values():
        scenes = [(view.source, row.moved) for view, row in zip(seen, rows, strict=True) if view.file == file]
        _write(file, moved_path(file, out), scenes, overwrite)
    with atomic_output(table, overwrite) as temporary:
        temporary.write_text(json.dumps([_plain(asdict(row)) for row in rows], indent=1) + "\n")
    return rows


def moved_path(file: Path, out: Path) -> Path:
    """Where the moved labels of a file are written; formats of polygons that cannot be written become GeoPackages.

    >>> moved_path(Path("a/fields.shp"), Path("out")).as_posix()
    'out/labels/fields.gpkg'
    """
    keeps = not is_vector(file) or file.suffix.lower() in POLYGON_SUFFIXES
    return out / "labels" / (file.name if keeps else f"{file.stem}.gpkg")


def _find(probabilities: NDArray[Any], labels: NDArray[Any], radius: int, name: str) -> Displacement:
    """The vector of one image; one that cannot have any, for nothing is drawn on it, is refused and not an error."""
    try:
        return find_displacement(probabilities, labels, radius)
    except UserError as error:
        nowhere = (float("nan"),) * labels.ndim
        return Displacement(nowhere, nowhere, 0.0, f"{name}: {error}")


def _row(source: Source, file: Path, found: Displacement) -> Aligned:
    metres = tuple(float(v * s) for v, s in zip(found.vector, source.spacing, strict=True))
    moved = found.vector if found.accepted else (0.0,) * len(found.vector)
    return Aligned(
        source.name, file.name, found.vector, found.error, metres, found.gain, found.accepted, found.reason, moved
    )  # fmt: skip


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """With null in the place of nan, which JSON does not have."""

    def known(value: Any) -> Any:
        if isinstance(value, tuple):
            return [known(v) for v in value]
        return None if isinstance(value, float) and not np.isfinite(value) else value

    return {key: known(value) for key, value in row.items()}


def _write(file: Path, target: Path, scenes: Sequence[tuple[Source, tuple[float, ...]]], overwrite: bool) -> None:
    if is_vector(file):
        _write_polygons(file, target, scenes, overwrite)
        return
    ((_, vector),) = scenes
    if not any(vector):
        with atomic_output(target, overwrite) as temporary:
            shutil.copyfile(file, temporary)
        return
    labels = open_labels(file)
    labels.save(move_labels(labels.labels, vector), target, overwrite)


def _write_polygons(
    file: Path, target: Path, scenes: Sequence[tuple[Source, tuple[float, ...]]], overwrite: bool
) -> None:
    """Each polygon by the vector of the scene that has most of it; those outside all scenes stay."""
    frame = read_polygons(file)
    if "id" in frame and not frame["id"].is_unique:  # the parts of a feature are polygons of their own
        frame = frame.rename(columns={"id": "feature"})
    shapes = frame.geometry.to_numpy().copy()
    most = np.zeros(len(frame))
    for source, vector in scenes:
        geobox = source.geobox  # type: ignore[attr-defined]  # kind raster has one
        there = frame.to_crs(geobox.crs.proj)
        share = there.intersection(geobox.extent.geom).area / there.area.clip(lower=1e-300)
        here = (share > most).to_numpy()
        most[here] = share[here]
        down, right = vector
        to = geobox.affine
        moved = there.translate(to.a * right + to.b * down, to.d * right + to.e * down)
        shapes[here] = moved.to_crs(frame.crs).to_numpy()[here]
    write_polygons(frame.set_geometry(gpd.GeoSeries(shapes, frame.index, frame.crs)), target, overwrite)

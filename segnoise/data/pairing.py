"""Which files make a data set: images by name or pattern, and the label file of each."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segnoise.data.csvtable import read_rows
from segnoise.errors import UserError, nearest

VECTOR_SUFFIXES = (".gpkg", ".geojson", ".json", ".geojsonl", ".parquet", ".shp", ".fgb")
RASTER_SUFFIXES = (".tif", ".tiff", ".vrt", ".png", ".jpg", ".jpeg", ".jp2", ".img", ".bmp")
SPLITS = ("train", "val", "test")


def is_vector(path: str | Path) -> bool:
    """Whether a label file holds polygons, by its suffix.

    >>> is_vector("fields.gpkg"), is_vector("labels.tif")
    (True, False)
    """
    return Path(path).suffix.lower() in VECTOR_SUFFIXES


def find_images(patterns: Sequence[str], base: str | Path) -> list[Path]:
    """The files that names and patterns (``*``, ``?``, ``**``) stand for, relative to ``base``.

    Patterns keep their order, the matches of each are in natural order (2 before 10), and a file found twice counts
    once. Raises UserError for a file that does not exist, a folder, and a pattern that matches nothing.

    >>> import tempfile
    >>> base = Path(tempfile.mkdtemp())
    >>> for name in ["a10.tif", "a2.tif"]:
    ...     (base / name).touch()
    >>> [path.name for path in find_images(["*.tif", "a2.tif"], base)]
    ['a2.tif', 'a10.tif']
    """
    if not patterns:
        raise UserError("data.images: the list is empty; give files or patterns such as imagery/*.tif")
    found: dict[Path, None] = {}
    for pattern in patterns:
        for path in _matches(str(pattern), Path(base)):
            found.setdefault(path)
    return list(found)


@dataclass(frozen=True)
class Pair:
    """A row of a table: an image, its label file, and the split it is given to (None: by fractions)."""

    image: Path
    label: Path
    split: str | None


def read_table(path: str | Path) -> list[Pair]:
    """The rows of a CSV file with the columns ``image``, ``label`` and, if wanted, ``split`` (train, val or test).

    Paths are relative to the table's folder. Raises UserError for a missing column and, naming the line, for a file
    that does not exist, an image given twice and an unknown split.
    """
    path = _existing(Path(path))
    columns, rows = read_rows(path)
    for column in ("image", "label"):
        if column not in columns:
            raise UserError(f"{path}: has no column {column!r}, only {', '.join(columns) or 'none'}; add it")
    pairs: dict[Path, Pair] = {}
    for where, cell in rows:
        if not cell.get("image") or not cell.get("label"):
            raise UserError(f"{where}: the image or the label is empty; fill the row or remove it")
        image, label = (_existing(path.parent / cell[column], where) for column in ("image", "label"))
        split = cell.get("split") or None
        if split is not None and split not in SPLITS:
            raise UserError(f"{where}: unknown split {split!r}; {nearest(split, SPLITS)}")
        if image.resolve() in pairs:
            raise UserError(f"{where}: the image {image} is given twice; keep one row")
        pairs[image.resolve()] = Pair(image, label, split)
    if not pairs:
        raise UserError(f"{path}: the table has no rows; add one an image")
    return list(pairs.values())


def pair_labels(images: Sequence[Path], labels: str | Path | Sequence[str], base: str | Path) -> list[Path]:
    """The label file of each image.

    ``labels`` is one vector file for all images; a folder or pattern whose files carry the images' stems; a list of
    files, by stem if they share any with the images and else in the images' order; or a CSV table (``read_table``).
    Raises UserError when an image has no label or two, naming it.

    >>> import tempfile
    >>> base = Path(tempfile.mkdtemp())
    >>> for name in ["a.tif", "b.tif", "fields.gpkg"]:
    ...     (base / name).touch()
    >>> [path.name for path in pair_labels(find_images(["*.tif"], base), "fields.gpkg", base)]
    ['fields.gpkg', 'fields.gpkg']
    """
    base = Path(base)
    if not isinstance(labels, (str, Path)):
        if len(labels) == 1:
            return pair_labels(images, labels[0], base)
        files = [path for name in labels for path in _matches(str(name), base)]
        share = {p.stem for p in images} & {p.stem for p in files}
        return _by_stem(images, files, "data.labels") if share else _by_order(images, files)
    path = base / labels
    if glob.has_magic(str(labels)):
        return _by_stem(images, _matches(str(labels), base), str(labels))
    if path.is_dir():
        known = VECTOR_SUFFIXES + RASTER_SUFFIXES
        files = sorted((p for p in path.iterdir() if p.suffix.lower() in known), key=natural_key)
        return _by_stem(images, files, str(path))
    _existing(path)
    if path.suffix.lower() == ".csv":
        table = {pair.image.resolve(): pair.label for pair in read_table(path)}
        for image in images:
            if image.resolve() not in table:
                raise UserError(f"{path}: has no row for the image {image}; add it or take the image out")
        return [table[image.resolve()] for image in images]
    if is_vector(path):
        return [path] * len(images)
    return _by_order(images, [path])


def natural_key(path: str | Path) -> list[tuple[int, int, str]]:
    """A sort key in which numbers count as numbers."""
    parts = re.split(r"(\d+)", str(path))
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts if part]


def _matches(pattern: str, base: Path) -> list[Path]:
    if not glob.has_magic(pattern):
        path = _existing(base / pattern)
        if path.is_dir():
            raise UserError(f"{path}: is a folder; give a pattern such as {pattern.rstrip('/')}/*.tif")
        return [path]
    full = str(Path(glob.escape(str(base))) / pattern)
    found = [Path(name) for name in glob.glob(full, recursive=True) if not Path(name).is_dir()]
    if not found:
        raise UserError(f"{pattern}: the pattern matches no file under {base}; check the folder and the suffix")
    return sorted(found, key=natural_key)


def _existing(path: Path, where: str = "") -> Path:
    if not path.exists():
        raise UserError(f"{where + ': ' if where else ''}{path}: no such file; check the path")
    return path


def _by_stem(images: Sequence[Path], labels: Sequence[Path], where: str) -> list[Path]:
    candidates: dict[str, list[Path]] = {}
    for label in labels:
        candidates.setdefault(label.stem, []).append(label)
    seen: dict[str, Path] = {}
    chosen = []
    for image in images:
        found = candidates.get(image.stem, [])
        if not found:
            raise UserError(f"{where}: no label for the image {image}; add {image.stem}.* or take the image out")
        if len(found) > 1:
            raise UserError(f"{where}: two labels for the image {image}: {found[0].name} and {found[1].name}; keep one")
        if image.stem in seen:
            raise UserError(f"{where}: {seen[image.stem]} and {image} would share a label; pair them in a CSV table")
        seen[image.stem] = image
        chosen.append(found[0])
    return chosen


def _by_order(images: Sequence[Path], labels: Sequence[Path]) -> list[Path]:
    if len(images) != len(labels):
        extra = f"; {images[len(labels)]} is the first without a label" if len(images) > len(labels) else ""
        raise UserError(f"data.labels: {len(labels)} label files for {len(images)} images{extra}; give one an image")
    return list(labels)

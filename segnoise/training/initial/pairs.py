"""Images and their labels as the user points at them: patterns, folders and tables, with images that have no labels."""

from __future__ import annotations

import glob
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from segnoise.data import find_images, is_vector, pair_labels, read_table
from segnoise.data.pairing import RASTER_SUFFIXES, VECTOR_SUFFIXES, natural_key
from segnoise.data.volume import find_volumes, volume_name
from segnoise.errors import UserError
from segnoise.training.initial.draft import Choice, Files
from segnoise.training.initial.wording import some

Found = TypeVar("Found")


@dataclass(frozen=True)
class Pairs:
    """Images with labels, in order; choices for ``data.images`` and ``data.labels``."""

    images: list[Path]
    labels: list[Path]
    given: list[str | None]
    choices: dict[str, Choice]
    warnings: list[str] = field(default_factory=list)


def pairs(files: Files, volumes: bool = False) -> Pairs:
    """The images that have labels; those without are left out with a warning. ``volumes`` may be folders.

    Raises UserError where nothing is found, where no image has labels, and for labels that cannot be told apart.
    """
    # Relative paths stay relative, so that they can be written so.
    base, name = Path(), volume_name if volumes else _stem
    patterns, labels = _pointed_at(files)
    table = labels is not None and labels.lower().endswith(".csv")
    if labels is None:
        raise UserError("--labels: is missing; give a folder, a pattern, a vector file or a CSV table")
    if not (glob.has_magic(labels) or (base / labels).exists()):
        raise UserError(f"--labels {labels}: no such file or folder; check the path")
    if not patterns and not table:
        raise UserError("--images: is missing; give files or a pattern such as 'imagery/*.tif'")
    rows = {pair.image.resolve(): pair for pair in read_table(base / labels)} if table else {}
    if patterns:
        images = find_volumes(patterns, base) if volumes else find_images(patterns, base)
    else:
        images = [pair.image for pair in rows.values()]
    if table:
        kept = [image for image in images if image.resolve() in rows]
        files_of = [rows[image.resolve()].label for image in kept]
        given = [rows[image.resolve()].split for image in kept]
    else:
        candidates = _candidates(base, labels, volumes)
        kept = images
        if candidates is not None:
            known = {name(path) for path in candidates}
            kept = [image for image in images if name(image) in known]
        if not kept:
            raise UserError(f"--labels {labels}: none of the {len(images)} images has labels of its name there")
        files_of = _by_volume_name(kept, candidates, labels) if volumes else pair_labels(kept, labels, base)
        given = [None] * len(kept)
    if not kept:
        raise UserError(f"--labels {labels}: the table has none of the {len(images)} images")
    warnings = []
    left = [image for image in images if image not in set(kept)]
    if left:
        warnings.append(f"{len(left)} images without labels are left out: {some(left)}")
    written = [files.written(path) for path in patterns]
    why = f"{len(kept)} with labels"
    if left or not patterns or (len(patterns) > 1 and len(patterns) == len(kept)):
        short = _one_pattern(kept)
        written = [files.written(path) for path in ([short] if short else map(_literally, kept))]
        why = f"the {len(kept)} of {len(images)} that have labels" if left else why
    choices = {"images": Choice(written, why), "labels": Choice(files.written(labels), _how(labels, base))}
    return Pairs(kept, files_of, given, choices, warnings)


def opened(paths: Sequence[Path], open_one: Callable[[int], Found]) -> list[Found]:
    """What ``open_one`` gives for each row; UserError with the first fault and the names of all faulty files."""
    found, faults = [], {}
    for row, path in enumerate(paths):
        try:
            found.append(open_one(row))
        except UserError as error:
            faults[path] = error
    if faults:
        first, *more = faults
        others = f" (and {len(more)} more: {some(more)})" if more else ""
        raise UserError(f"{faults[first]}{others}")
    return found


def _pointed_at(files: Files) -> tuple[list[str], str | None]:
    """Patterns of images, and the labels; from a folder with images/ and labels/ or masks/ where that is given."""
    if files.folder is None:
        return list(files.images), files.labels
    root = Path(files.folder)
    if not root.is_dir():
        raise UserError(f"--folder {root}: no such folder; check the path")
    if files.images:
        raise UserError("--folder: goes without --images; give one of them")
    inside = root / "images"
    labels = next((root / name for name in ("labels", "masks") if (root / name).is_dir()), None)
    if not inside.is_dir() or (labels is None and files.labels is None):
        held = ", ".join(sorted(path.name for path in root.iterdir())[:8]) or "nothing"
        raise UserError(
            f"--folder {root}: has no images/ with labels/ or masks/, but {held}; use --images and --labels"
        )
    endings = sorted({_ending(path) for path in inside.iterdir() if not path.name.startswith(".")})
    return [str(inside / f"*{ending}") for ending in endings], files.labels or str(labels)


def _ending(path: Path) -> str:
    if path.is_dir():
        return ""
    return ".nii.gz" if path.name.lower().endswith(".nii.gz") else path.suffix


def _candidates(base: Path, labels: str, volumes: bool) -> list[Path] | None:
    """The label files that are told apart by name; None for one file."""
    if glob.has_magic(labels):
        matched = [Path(path) for path in glob.glob(str(base / labels), recursive=True)]
        if not matched:
            raise UserError(f"--labels {labels}: the pattern matches nothing; check the folder and the suffix")
        return sorted(matched, key=natural_key)
    folder = base / labels
    if not folder.is_dir():
        return None
    known = VECTOR_SUFFIXES + RASTER_SUFFIXES
    inside = sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=natural_key)
    return [path for path in inside if volumes or path.suffix.lower() in known]


def _by_volume_name(images: Sequence[Path], candidates: Sequence[Path] | None, labels: str) -> list[Path]:
    if candidates is None:
        if len(images) > 1:
            raise UserError(f"--labels {labels}: one volume of labels for {len(images)} images; give a folder or table")
        return [Path(labels)]
    named: dict[str, Path] = {}
    for path in candidates:
        if volume_name(path) in named:
            first = named[volume_name(path)]
            raise UserError(f"--labels {labels}: two are named {volume_name(path)}: {first} and {path}; keep one")
        named[volume_name(path)] = path
    return [named[volume_name(image)] for image in images]


def _literally(path: Path) -> str:
    """A file as a pattern that stands for it alone."""
    return glob.escape(str(path)) if glob.has_magic(str(path)) else str(path)


def _stem(path: Path) -> str:
    return path.stem


def _one_pattern(images: Sequence[Path]) -> str | None:
    """A pattern that stands for just these files, if there is one."""
    folders, endings = {image.parent for image in images}, {_ending(image) for image in images}
    if len(images) < 2 or len(folders) != 1 or len(endings) != 1 or endings == {""}:
        return None
    pattern = f"{_literally(folders.pop())}/*{endings.pop()}"
    matched = {path.resolve() for path in find_images([pattern], Path())}
    return pattern if matched == {image.resolve() for image in images} else None


def _how(labels: str, base: Path) -> str:
    if labels.lower().endswith(".csv"):
        return "a table of images and labels"
    if (base / labels).is_dir() or glob.has_magic(labels):
        return "paired with the images by name"
    return "polygons for all images" if is_vector(labels) else "the labels of the one image"

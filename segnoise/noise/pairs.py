"""The noise card of real labels: given files beside reference files on the same grid, one pair or a set by name."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segnoise.data import IGNORE_INDEX, describe_grid, same_grid
from segnoise.data.pairing import RASTER_SUFFIXES, VECTOR_SUFFIXES, is_vector, natural_key
from segnoise.errors import UserError
from segnoise.noise.base import sha256_of
from segnoise.noise.geometry import known_labels
from segnoise.noise.labelfile import LabelFile, open_labels
from segnoise.noise.measure import noise_card_of
from segnoise.windows import atomic_output, refuse_existing

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]

_SUFFIXES = (*RASTER_SUFFIXES, *VECTOR_SUFFIXES, ".nii", ".nii.gz")
_DRIFT = 1e-3
"""Voxels whose places differ by less than this share of their size are the same."""


class FilePair(NamedTuple):
    """A given and a reference file, and the scene whose grid polygons are compared on."""

    given: Path
    reference: Path
    grid: Path | None


def card_of_files(
    given: str | Path,
    reference: str | Path,
    out: str | Path,
    *,
    grid: str | Path | None = None,
    instances: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Writes the noise card of real labels as ``out``, and its page of pictures beside it as .png; returns the former.

    Files are polygons, rasters, masks or NIfTI volumes, two that are on the same grid. Two folders are a set, paired by
    file name without suffix; what has no partner is left out and named in a warning. Counts of a set are summed before
    anything is divided. The page shows the pair with most errors.

    Args:
        given: labels to judge, a file or a folder.
        reference: labels to hold them against, likewise.
        out: the JSON to write: ``card`` (:func:`noise_card_of`), ``given``, ``reference``, ``instances``, ``spacing``,
            ``unit``, ``files`` (each with its errors, pixels and checksums) and ``version``.
        grid: scene that gives the grid for polygons; for folders of polygons one scene, or a folder of them.
        instances: rasters and volumes hold object ids.
        overwrite: replace existing outputs.
        progress: called with (done, total) pairs.

    Raises:
        UserError: missing or unreadable files, nothing to pair, two files that do not lie on the same grid, objects
            against classes, no pixel known in both, or an existing output.
    """
    given, reference, out = Path(given), Path(reference), Path(out)
    refuse_existing(out, overwrite)
    page = refuse_existing(page_beside(out), overwrite)
    paths = pair_files(given, reference, None if grid is None else Path(grid))
    pairs = [_open_pair(pair, instances) for pair in paths]
    kinds = {(g.instances, g.unit, g.labels.ndim) for g, _ in pairs}
    if len(kinds) > 1:
        raise UserError(f"{given}: holds files of different kinds; keep polygons, rasters and volumes apart")
    ((objects, unit, _),) = kinds
    spacing = common_spacing([g.spacing for g, _ in pairs])
    card = noise_card_of(_maps(pairs, progress), spacing, objects)
    files = [_describe(path, *pair) for path, pair in zip(paths, pairs, strict=True)]
    result = {
        "given": given.name,
        "reference": reference.name,
        "instances": objects,
        "spacing": None if spacing is None else list(spacing),
        "unit": None if spacing is None else unit,
        "files": files,
        "card": card,
        "version": version("segnoise"),
    }
    from segnoise.noise.page import write_page

    # Where objects of two maps swap ids nothing is wrong, so the pair is chosen by what is object in one map alone.
    worst = max(range(len(pairs)), key=lambda k: files[k]["errors"])
    title = f"{given.name} against {reference.name}" + (
        f", maps of {paths[worst].given.name}" if len(pairs) > 1 else ""
    )
    shown, truth = (labels.labels for labels in pairs[worst])
    write_page(card, shown, truth, page, instances=objects, title=title, overwrite=overwrite)
    with atomic_output(out, overwrite) as temporary:
        temporary.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")
    return result


def page_beside(out: Path) -> Path:
    """Where the pictures of a card lie.

    >>> page_beside(Path("crowd/card.json")).name
    'card.png'
    """
    return out.with_suffix(".png")


def pair_files(given: Path, reference: Path, grid: Path | None) -> list[FilePair]:
    """The pairs that two files or two folders make, in natural order of names.

    Raises:
        UserError: a path that does not exist, a file against a folder, two files of one name in a folder, folders that
            share no name, or polygons without a scene of their name.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ["old/a.png", "old/b.png", "new/a.tif"]:
    ...     (folder / name).parent.mkdir(exist_ok=True)
    ...     (folder / name).touch()
    >>> [(p.given.name, p.reference.name) for p in pair_files(folder / "old", folder / "new", None)]
    [('a.png', 'a.tif')]
    """
    for path in (given, reference, *([] if grid is None else [grid])):
        if not path.exists():
            raise UserError(f"{path}: no such file or folder; check the path")
    if given.is_dir() != reference.is_dir():
        folder, file = (given, reference) if given.is_dir() else (reference, given)
        raise UserError(f"{folder}: is a folder and {file} a file; give two files or two folders")
    if not given.is_dir():
        if grid is not None and grid.is_dir():
            raise UserError(f"{grid}: is a folder; for two files give the one scene of their polygons")
        return [FilePair(given, reference, grid)]
    old, new = _by_name(given), _by_name(reference)
    names = sorted(old.keys() & new.keys(), key=natural_key)
    if not names:
        raise UserError(
            f"{given}: shares no file name with {reference} ({_count(old)} and {_count(new)}); "
            "files are paired by name without suffix"
        )
    alone = sorted(old.keys() ^ new.keys(), key=natural_key)
    if alone:
        logger.warning("%s: %d files have no partner and are left out, the first is %s", given, len(alone), alone[0])
    scenes = _by_name(grid) if grid is not None and grid.is_dir() else None
    return [FilePair(old[name], new[name], grid if scenes is None else _scene(scenes, name, grid)) for name in names]


def common_spacing(sizes: Sequence[tuple[float, ...]]) -> tuple[float, ...] | None:
    """The mean size of a pixel, None where it is unknown or differs by more than 1 % within the set.

    >>> common_spacing([(10.0, 10.0), (10.0, 10.05)]), common_spacing([(10.0, 10.0), (10.0, 11.0)])
    ((10.0, 10.025), None)
    """
    mean = np.mean(sizes, axis=0)
    # Written so that unknown sizes, which are nan, are not common either.
    return tuple(map(float, mean)) if (np.abs(np.array(sizes) / mean - 1) <= 0.01).all() else None


def _by_name(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        lower = path.name.lower()
        # Records and pages of cards lie beside labels, under their names.
        if not lower.endswith(_SUFFIXES) or lower.endswith((".json", ".card.png")):
            continue
        name = path.name[: -len(".nii.gz")] if lower.endswith(".nii.gz") else path.stem
        if name in found:
            raise UserError(f"{folder}: {found[name].name} and {path.name} have one name; keep one")
        found[name] = path
    return found


def _count(files: dict[str, Path]) -> str:
    return f"{len(files)} label file{'' if len(files) == 1 else 's'}"


def _scene(scenes: dict[str, Path], name: str, folder: Path | None) -> Path:
    if name not in scenes:
        raise UserError(f"{folder}: has no scene called {name}; polygons and scenes are paired by name without suffix")
    return scenes[name]


def _open_pair(pair: FilePair, instances: bool) -> tuple[LabelFile, LabelFile]:
    given, reference = (open_labels(path, instances=instances, grid=pair.grid) for path in pair[:2])
    _check_same_grid(pair, given, reference)
    if given.instances != reference.instances:
        objects, classes = pair[:2] if given.instances else pair[1::-1]
        raise UserError(f"{objects}: holds objects and {classes} classes; if those are object ids, give --instances")
    for path, labels in zip(pair[:2], (given, reference), strict=True):
        # Sets of hundreds of files are held in memory.
        labels.labels = labels.labels.astype(np.int32 if labels.instances else np.int16)
        if not is_vector(path) and not labels.instances:
            _warn_of_255(path, labels.labels)
    known = known_labels(given.labels, given.instances) & known_labels(reference.labels, given.instances)
    if not known.any():
        raise UserError(f"{pair.given}: has no pixel that is known in {pair.reference} too; 255 and nodata are unknown")
    return given, reference


def _check_same_grid(pair: FilePair, given: LabelFile, reference: LabelFile) -> None:
    sizes = [" x ".join(map(str, labels.labels.shape)) for labels in (given, reference)]
    if sizes[0] != sizes[1]:
        raise UserError(
            f"{pair.given}: is {sizes[0]} px and {pair.reference} {sizes[1]} px; give labels on the same grid"
        )
    if given.unit != reference.unit:
        raise UserError(
            f"{pair.given}: is measured in {given.unit} and {pair.reference} in {reference.unit}; give two of a kind"
        )
    if given.grid is not None and reference.grid is not None and not same_grid(given.grid, reference.grid):
        raise UserError(
            f"{pair.given}: lies on another grid ({describe_grid(given.grid)}) than {pair.reference} "
            f"({describe_grid(reference.grid)}); resample one to the other"
        )
    if given.affine is not None and reference.affine is not None:
        corners = np.stack(np.meshgrid(*[(0, n) for n in (*given.labels.shape, 1, 1)[:3]], [1], indexing="ij"), -1)
        drift = np.abs((corners.reshape(-1, 4) @ (given.affine - reference.affine).T)[:, :3]).max()
        if drift > _DRIFT * np.linalg.norm(given.affine[:3, :3], axis=0).min():
            raise UserError(
                f"{pair.given}: lies elsewhere than {pair.reference}, by up to {drift:.3g} as their affines say; "
                "resample one to the other"
            )


def _warn_of_255(path: Path, labels: NDArray[Any]) -> None:
    known = labels[labels != IGNORE_INDEX]
    if known.size and known.size < labels.size and not known.any():
        logger.warning("%s: holds 0 and 255 only, and 255 means unknown; masks have the classes 0 and 1", path)


def _maps(
    pairs: Sequence[tuple[LabelFile, LabelFile]], progress: Progress | None
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    for done, (given, reference) in enumerate(pairs):
        if progress is not None:
            progress(done, len(pairs))
        yield given.labels, reference.labels


def _describe(paths: FilePair, given: LabelFile, reference: LabelFile) -> dict[str, Any]:
    known = known_labels(given.labels, given.instances) & known_labels(reference.labels, given.instances)
    one, other = ((x.labels > 0) if given.instances else x.labels for x in (given, reference))
    return {
        "given": paths.given.name,
        "reference": paths.reference.name,
        "pixels": int(np.count_nonzero(known)),
        "errors": int(np.count_nonzero(known & (one != other))),
        "sha256_given": sha256_of(given.labels),
        "sha256_reference": sha256_of(reference.labels),
    }

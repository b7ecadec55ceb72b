"""Which volumes names and patterns stand for: files, DICOM folders and folders of slices."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from segnoise.data.pairing import natural_key
from segnoise.data.volume.dicomseries import is_dicom
from segnoise.data.volume.reading import folder_kind
from segnoise.errors import UserError


def find_volumes(patterns: Sequence[str], base: str | Path = ".") -> list[Path]:
    """The volumes that names and patterns (``*``, ``?``, ``**``) stand for, relative to ``base``.

    A folder counts where it holds a DICOM series or slices; ``FOLDER#SERIES_UID`` names one series. Patterns keep
    their order, the matches of each are in natural order (2 before 10), and a volume found twice counts once. Raises
    UserError for a name that does not exist, a folder that is no volume, a pattern that matches nothing, and one that
    matches single DICOM files.

    >>> import tempfile
    >>> base = Path(tempfile.mkdtemp())
    >>> for name in ["a10.nii.gz", "a2.nii.gz"]:
    ...     (base / name).touch()
    >>> [path.name for path in find_volumes(["*.nii.gz", "a2.nii.gz"], base)]
    ['a2.nii.gz', 'a10.nii.gz']
    """
    if not patterns:
        raise UserError("data.images: the list is empty; give files, folders or patterns such as scans/*.nii.gz")
    found: dict[Path, None] = {}
    for pattern in patterns:
        for path in _matches(str(pattern), Path(base)):
            found.setdefault(path)
    return list(found)


def _matches(pattern: str, base: Path) -> list[Path]:
    if not glob.has_magic(pattern):
        return [_named(base / pattern)]
    full = str(Path(glob.escape(str(base))) / pattern)
    matched = sorted((Path(name) for name in glob.glob(full, recursive=True)), key=natural_key)
    found = [path for path in matched if not path.is_dir() or folder_kind(path) is not None]
    # "**" finds a folder of slices and the slices in it.
    folders = {path for path in found if path.is_dir()}
    found = [path for path in found if path.is_dir() or path.parent not in folders]
    if not found:
        raise UserError(f"{pattern}: the pattern matches no volume under {base}; check the folder and the suffix")
    for path in found:
        if path.is_file() and is_dicom(path):
            raise UserError(f"{pattern}: matches single DICOM files such as {path}; give their folder, a slice is none")
    return found


def _named(path: Path) -> Path:
    folder, mark, _ = path.name.rpartition("#")
    if not path.exists() and mark:
        if not path.with_name(folder).is_dir():
            raise UserError(f"{path.with_name(folder)}: no such folder; check the path before #")
        return path
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; check the path")
    if path.is_dir() and folder_kind(path) is None:
        raise UserError(
            f"{path}: the folder holds no DICOM series and no slices; give a pattern such as {path.name}/*.nii.gz"
        )
    return path

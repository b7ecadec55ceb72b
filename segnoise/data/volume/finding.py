"""Which volumes names and patterns stand for: files, DICOM folders and folders of slices."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from segnoise.data.pairing import natural_key
from segnoise.data.volume.dicomseries import is_dicom
from segnoise.data.volume.itkfile import ITK_SUFFIXES
from segnoise.data.volume.nifti import NIFTI_SUFFIXES
from segnoise.data.volume.reading import folder_kind
from segnoise.data.volume.stack import TIFF_SUFFIXES
from segnoise.data.volume.volume import volume_name
from segnoise.errors import UserError

_SUFFIXES = (*NIFTI_SUFFIXES, *ITK_SUFFIXES, *TIFF_SUFFIXES)


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


def label_volumes(labels: str | Path | Sequence[str]) -> list[Path]:
    """The volumes in a folder of labels, or those that a name, a pattern or a list of them stands for.

    Other files of a folder, such as side-cars, are left alone.

    Raises UserError as :func:`find_volumes` does.
    """
    patterns = [str(labels)] if isinstance(labels, str | Path) else list(labels)
    if len(patterns) != 1 or not Path(patterns[0]).is_dir():
        return find_volumes(patterns)
    inside = sorted(path for path in Path(patterns[0]).iterdir() if not path.name.startswith("."))
    return [_named(path) for path in inside if path.is_dir() or path.name.lower().endswith(_SUFFIXES)]


class CalledAs:
    """Volumes by their names, to find the labels of a scan among them.

    >>> CalledAs([Path("masks/a.nii.gz")], "masks").find("a", Path("scans/a.mha")).name
    'a.nii.gz'
    """

    def __init__(self, files: Sequence[Path], where: str) -> None:
        self._where = where
        self._files: dict[str, list[Path]] = {}
        for file in files:
            self._files.setdefault(volume_name(file), []).append(file)

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def find(self, name: str, image: Path) -> Path:
        """The one that is called so; UserError where there is none or two, naming the image."""
        found = self._files.get(name, [])
        if not found:
            raise UserError(f"{self._where}: no labels for {image}; add {name}.* or pair them in a CSV table")
        if len(found) > 1:
            raise UserError(f"{self._where}: two labels for {image}: {found[0].name} and {found[1].name}; keep one")
        return found[0]


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

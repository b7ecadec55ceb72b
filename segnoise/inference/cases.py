"""From paths to scans: files that are the channels of one case, and the labels that were given for it."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segnoise.config import VolumeData
from segnoise.data import read_table
from segnoise.data.volume import CalledAs, label_volumes, open_volume, read_nnunet, volume_name
from segnoise.data.volume.reading import folder_kind
from segnoise.errors import UserError
from segnoise.training import Model

_CHANNEL = re.compile(r"(?P<case>.+)_(?P<number>[0-9]{4})")


@dataclass(frozen=True)
class Case:
    """A scan under the name that what is made of it carries; several files are its channels."""

    name: str
    files: tuple[Path, ...]


def channels_of(model: Model) -> int:
    """Channels of the volumes that a run was trained on, however many slices it looks at together."""
    data = model.config.data
    if isinstance(data, VolumeData) and data.slices is not None:
        return model.channels // (2 * data.slices.neighbours + 1)
    return model.channels


def cases_of(model: Model, paths: Sequence[Path]) -> list[Case]:
    """The scans that files and folders make, in the order given.

    For a run on several channels, volumes of one channel called ``CASE_0000``, ``CASE_0001``, ... are those of
    ``CASE``, as in nnU-Net; any other volume is a scan of its own. For a run on an nnU-Net data set of one channel,
    ``CASE_0000`` is ``CASE``.

    Raises:
        UserError: a channel that is not among the paths, naming its file; an unreadable volume.
    """
    needed = channels_of(model)
    found: dict[tuple[Path, str, str | None], dict[int, Path]] = {}
    for path in paths:
        name = volume_name(path)
        match = _CHANNEL.fullmatch(name)
        if match is None or not _is_channel(model, path, int(match["number"]), needed):
            found[(path, name, None)] = {0: path}
            continue
        key = (path.parent, match["case"], path.name.removeprefix(name))
        found.setdefault(key, {})[int(match["number"])] = path
    for (folder, case, ending), files in found.items():
        missing = [k for k in range(max(needed, *files)) if k not in files]
        if ending is not None and missing:
            raise UserError(
                f"{folder / f'{case}_{missing[0]:04d}{ending}'}: was not given; the run was trained on {needed} "
                f"channels, give those of {case} together"
            )
    return [Case(case, tuple(files[k] for k in sorted(files))) for (_, case, _), files in found.items()]


def labels_of(cases: Sequence[Case], labels: str | Path) -> list[Path]:
    """The label file of each scan: the file itself for one; volumes called as the scans are, in a folder or by a
    pattern; or those of a CSV table with the columns image and label.

    Raises:
        UserError: nothing there, or a scan without labels or with two, naming it.
    """
    path = Path(labels)
    if path.suffix.lower() == ".csv":
        table = {pair.image.resolve(): pair.label for pair in read_table(path)}
        for case in cases:
            if case.files[0].resolve() not in table:
                raise UserError(f"{path}: has no row for the image {case.files[0]}; add it")
        return [table[case.files[0].resolve()] for case in cases]
    if len(cases) == 1 and not path.is_dir() and not (glob.has_magic(str(labels)) and not path.exists()):
        return [path]
    called = CalledAs(label_volumes(labels), str(path))
    if len(cases) == 1 and path.is_dir() and folder_kind(path) and cases[0].name not in called:
        return [path]
    return [called.find(case.name, case.files[0]) for case in cases]


def unknown_index(model: Model) -> int | None:
    """The class index that stands for unknown in the label files of the nnU-Net data set that a run was trained on."""
    described = _dataset(model)
    return read_nnunet(described.parent).ignore if described is not None and described.is_file() else None


def _is_channel(model: Model, path: Path, number: int, needed: int) -> bool:
    if needed > 1:
        return open_volume(path).channels == 1
    return number == 0 and _dataset(model) is not None


def _dataset(model: Model) -> Path | None:
    images = getattr(model.config.data, "images", [])
    return Path(images[0]) if len(images) == 1 and images[0].endswith("dataset.json") else None

"""Tables of what slices or whole volumes hold: 1 yes, 0 no, empty where nobody knows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segnoise.data.csvtable import read_rows
from segnoise.errors import UserError, nearest

_VALUES = {"": math.nan, "0": 0.0, "0.0": 0.0, "1": 1.0, "1.0": 1.0}


@dataclass(frozen=True)
class SliceRow:
    """What is said of slice number ``slice`` (from 0) of a volume, or of all of it (None): a label for each class.

    ``where`` is the table and the line, for messages; ``image`` is the volume as it is written there.
    """

    where: str
    image: str
    slice: int | None
    labels: tuple[float, ...]


def read_slice_table(path: str | Path, classes: Sequence[str]) -> list[SliceRow]:
    """The rows of a CSV table with the columns ``image``, ``slice`` and one a class; without ``slice``, of volumes.

    The first class, the background, needs no column; without one it is unknown (nan), as is an empty cell. Other
    columns are left alone.

    Raises UserError for a table that cannot be read or has no rows, a column that is missing (with the nearest), and,
    naming the line, for an empty image, a slice that is no whole number from 0, and a label other than 0, 1 or empty.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "slices.csv"
    >>> _ = path.write_text("image,slice,tumour\\na.nii.gz,4,1\\na.nii.gz,5,\\n")
    >>> [(row.slice, row.labels) for row in read_slice_table(path, ["background", "tumour"])]
    [(4, (nan, 1.0)), (5, (nan, nan))]
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file; give a CSV table with the columns image, slice and one a class")
    columns, rows = read_rows(path)
    for column in ("image", *classes[1:]):
        if column not in columns:
            raise UserError(f"{path}: has no column {column!r}; {nearest(column, columns)}")
    if not rows:
        raise UserError(f"{path}: the table has no rows; add one a slice or volume")
    found = []
    for where, cell in rows:
        if not cell.get("image"):
            raise UserError(f"{where}: the image is empty; fill the row or remove it")
        number = _slice(cell.get("slice", ""), where) if "slice" in columns else None
        found.append(SliceRow(where, cell["image"], number, tuple(_label(cell, name, where) for name in classes)))
    return found


def _slice(text: str, where: str) -> int:
    # A column of numbers with an empty cell is written with a point by some programs.
    digits = text.removesuffix(".0")
    if not digits.isdecimal():
        raise UserError(
            f"{where}: slice {text!r} is no whole number from 0; leave the column out where labels are of whole volumes"
        )
    return int(digits)


def _label(cell: dict[str, str], name: str, where: str) -> float:
    text = cell.get(name, "")
    if text not in _VALUES:
        raise UserError(f"{where}: {name!r} is {text!r}; expected 0, 1 or empty (unknown)")
    return _VALUES[text]

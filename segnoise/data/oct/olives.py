"""OLIVES: B-scans with findings of the whole slice, and no pixel mask, from the set's two tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from segnoise.data.item import Item
from segnoise.data.oct.bscans import BScanFile, slice_number
from segnoise.data.pairing import natural_key
from segnoise.errors import UserError, nearest

BIOMARKERS = (
    "Atrophy / thinning of retinal layers", "Disruption of EZ", "DRIL", "IR hemorrhages", "IR HRF",
    "Partially attached vitreous face", "Fully attached vitreous face", "Preretinal tissue/hemorrhage",
    "Vitreous debris", "VMT", "DRT/ME", "Fluid (IRF)", "Fluid (SRF)", "Disruption of RPE", "PED (serous)", "SHRM",
)  # fmt: skip
"""The findings that occur; four more columns of the table (drusen, atrophy areas, fibrovascular PED) are all 0."""

_MEASURED = ("BCVA", "CST")
_PATIENT, _SCAN = "Patient_ID", "Scan (n/49)"
_BIOMARKER_PATH, _CLINICAL_PATH = "Path (Trial/Arm/Folder/Visit/Eye/Image Name)", "File_Path"
_TWIN = {".tif": ".png", ".png": ".tif"}


@dataclass(frozen=True)
class _Row:
    path: str
    patient: str
    scan: float
    labels: dict[str, float]


def read_olives(
    folder: str | Path,
    biomarkers: str | Path | None = None,
    clinical: str | Path | None = None,
    labels: Sequence[str] = BIOMARKERS,
    occurring: bool = False,
) -> tuple[list[str], list[Item]]:
    """The slices that the tables name, in the order of their numbers; image labels by column, group = Patient_ID.

    ``biomarkers`` is ``Biomarker_Clinical_Data_Images.csv`` (9,408 slices with findings), ``clinical``
    ``Clinical_Data_Images`` as .csv or .xlsx (all slices); with both, a slice in either is an item. ``folder`` is
    where ``Prime_FULL`` and ``TREX DME`` lie; the tables' paths begin with a slash that means this folder, and may
    say .png for a .tif. ``labels`` are names of columns; BCVA (letters) and CST (µm) may be among them. An empty cell,
    and a finding of a slice that only ``clinical`` knows, is nan: unknown, not absent. ``occurring`` leaves out the
    labels that are positive nowhere. Slices of a visit are ordered by ``Scan (n/49)`` if all have it, else by the
    number their names end in.

    Data: Prabhushankar et al., "OLIVES Dataset: Ophthalmic Labels for Investigating Visual Eye Semantics", NeurIPS
    2022 Datasets and Benchmarks.

    Raises UserError that names a missing column and the nearest, or the line of a value that is not 0, 1 or empty, of
    a missing patient, of two rows that contradict each other or of an image that is not there.
    """
    for label in labels:
        if biomarkers is None and label not in (*BIOMARKERS, *_MEASURED):
            raise UserError(f"{label!r}: no label of OLIVES; {nearest(label, (*BIOMARKERS, *_MEASURED))}")
    rows: dict[str, _Row] = {}
    if clinical is not None:
        rows = _read(Path(clinical), _CLINICAL_PATH, [name for name in labels if name in _MEASURED])
    if biomarkers is not None:
        table = Path(biomarkers)
        for name, row in _read(table, _BIOMARKER_PATH, labels).items():
            if name in rows and rows[name].patient != row.patient:
                raise UserError(
                    f"{table}: {name} is of patient {row.patient}, but {rows[name].patient} in {clinical}; "
                    "give tables of one release"
                )
            rows[name] = row
    if not rows:
        raise UserError(f"{folder}: no table, or an empty one; give the biomarker or the clinical table of OLIVES")
    kept = [n for n in labels if not occurring or any(row.labels.get(n, np.nan) > 0 for row in rows.values())]
    items = [
        Item(
            name,
            BScanFile(_image(Path(folder), rows[name].path)),
            None,
            group=rows[name].patient,
            image_labels={label: rows[name].labels.get(label, float("nan")) for label in kept},
        )
        for name in _ordered(rows)
    ]
    return kept, items


def _read(table: Path, path_column: str, labels: Sequence[str]) -> dict[str, _Row]:
    """The rows of a table by slice: its path without slash and suffix."""
    frame = _frame(table)
    for column in (path_column, _PATIENT, *labels):
        if column not in frame.columns:
            raise UserError(f"{table}: has no column {column!r}; {nearest(column, frame.columns)}")
    values = {label: _numbers(table, frame, label) for label in labels}
    scans = _numbers(table, frame, _SCAN) if _SCAN in frame.columns else np.full(len(frame), np.nan)
    rows: dict[str, _Row] = {}
    for i, (path, patient) in enumerate(zip(frame[path_column], frame[_PATIENT], strict=True)):
        where = f"{table}, line {i + 2}"
        if not isinstance(path, str) or not isinstance(patient, str):
            raise UserError(f"{where}: no {path_column if not isinstance(path, str) else _PATIENT}; fill the cell")
        inner = PurePosixPath(path.strip().lstrip("/"))
        if ".." in inner.parts:
            raise UserError(f"{where}: the path {path} leaves the folder of the images; correct it")
        row = _Row(str(inner), _identifier(patient), scans[i], {label: float(values[label][i]) for label in labels})
        first = rows.setdefault(str(inner.with_suffix("")), row)
        if (first.patient, repr(first.labels)) != (row.patient, repr(row.labels)):
            raise UserError(f"{where}: {path} is in the table twice, with other labels; keep one row")
    return rows


def _frame(table: Path) -> Any:
    import pandas as pd

    if not table.is_file():
        raise UserError(f"{table}: no such table; check the path")
    try:
        frame = pd.read_excel(table, dtype=str) if table.suffix == ".xlsx" else pd.read_csv(table, dtype=str)
    except ImportError as error:
        raise UserError(f"{table}: Excel needs openpyxl; pip install segnoise[oct], or save it as CSV") from error
    except (ValueError, OSError, KeyError) as error:
        raise UserError(f"{table}: not a table in UTF-8 that can be read; export it again") from error
    return frame.rename(columns=lambda column: str(column).strip())


def _numbers(table: Path, frame: Any, column: str) -> Any:
    import pandas as pd

    text = frame[column]
    numbers = pd.to_numeric(text, errors="coerce")
    wrong = numbers.isna() & text.notna() & (text.fillna("").str.strip() != "")
    if column in BIOMARKERS:
        wrong |= numbers.notna() & ~numbers.isin([0, 1])
    if wrong.any():
        i = int(np.flatnonzero(wrong)[0])
        expected = "0, 1 or empty" if column in BIOMARKERS else "a number or empty"
        raise UserError(f"{table}, line {i + 2}: {column!r} is {text[i]!r}; expected {expected}")
    return numbers.to_numpy(dtype=float)


def _identifier(text: str) -> str:
    """``57.0``, as a table with an empty cell writes 57, is 57."""
    return text.strip().removesuffix(".0")


def _ordered(rows: dict[str, _Row]) -> Iterable[str]:
    visits: dict[str, list[str]] = {}
    for name in rows:
        visits.setdefault(name.rpartition("/")[0], []).append(name)
    for visit in sorted(visits, key=natural_key):
        names = visits[visit]
        counted = all(np.isfinite(rows[name].scan) for name in names)
        yield from sorted(names, key=lambda n: (rows[n].scan if counted else slice_number(n.rpartition("/")[2]), n))


def _image(folder: Path, path: str) -> Path:
    image = folder / path
    if not image.is_file() and image.suffix in _TWIN:
        image = image.with_suffix(_TWIN[image.suffix])
    if not image.is_file():
        raise UserError(f"{folder / path}: no such image; give the folder that holds Prime_FULL and TREX DME")
    return image

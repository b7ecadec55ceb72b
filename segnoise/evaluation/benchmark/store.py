"""The finished cells: one small Parquet file each, of one row, named by the cell's hash."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from segnoise.errors import UserError
from segnoise.evaluation.benchmark.cells import Cell, first_difference
from segnoise.windows import atomic_output

WHAT = {
    "hash": pa.string(),
    "kind": pa.string(),
    "set": pa.string(),
    "network": pa.string(),
    "method": pa.string(),
    "options": pa.string(),
    "noise": pa.string(),
    "seed": pa.int64(),
    "threads": pa.int64(),
    "config": pa.string(),
    "settings": pa.string(),
    "error": pa.string(),
}
"""What a cell is. ``options``, ``config`` and ``settings`` (what the cells of a set share) are JSON; ``error`` is
null where the cell is finished."""

SCORES = ("iou", "dice", "accuracy", "boundary_f1", "object_f1", "ece")
"""Test scores, means over classes, of the weights ``last`` and of those ``best`` on the given validation labels."""

MEASURED = {
    **{f"{which}_{score}": pa.float64() for which in ("last", "best") for score in SCORES},
    "last_iou_per_class": pa.string(),
    "best_iou_per_class": pa.string(),
    "val_iou_last": pa.float64(),
    "val_iou_best": pa.float64(),
    "best_epoch": pa.int64(),
    "label_error_auroc": pa.float64(),
    "label_error_ap": pa.float64(),
    "label_error_ece": pa.float64(),
    "memorised": pa.float64(),
    "flip_rate": pa.float64(),
    "wrong_corrected": pa.float64(),
    "wrong_predicted": pa.float64(),
    "noise_met": pa.string(),
    "noise_why": pa.string(),
    "steps": pa.int64(),
    "parameters": pa.int64(),
    "train_seconds": pa.float64(),
    "train_cpu_seconds": pa.float64(),
    "seconds": pa.float64(),
    "cpu_seconds": pa.float64(),
    "device": pa.string(),
    "machine": pa.string(),
    "version": pa.string(),
    "finished": pa.string(),
}
"""What was measured. ``memorised`` is the share of wrong training labels that the network reproduces; ``flip_rate``,
``wrong_corrected`` and ``wrong_predicted`` are the shares of wrong pixels among the given training labels, among these
as the method corrects them, and among predictions there. ``noise_met`` are the levels met (JSON, one a step),
``noise_why`` what hindered them, ``machine`` and ``version`` what it ran on."""

SCHEMA = pa.schema({**WHAT, **MEASURED})

Row = dict[str, Any]


class Store:
    """The folder of a benchmark: ``cells/<hash>.parquet``, which can be committed, and scratch that cannot."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cells = folder / "cells"

    def rows(self) -> dict[str, Row]:
        """All cells in the folder by hash.

        Raises UserError for a file that is no cell.
        """
        found: dict[str, Row] = {}
        for path in sorted(self.cells.glob("[!.]*.parquet")):  # a dot begins what a killed process left half-written
            try:
                (row,) = pq.read_table(path).to_pylist()
                found[row["hash"]] = {name: row.get(name) for name in SCHEMA.names}
            except (pa.ArrowException, OSError, KeyError, ValueError) as error:
                raise UserError(f"{path}: is not a cell of a benchmark; delete it, and it is made again") from error
        return found

    def write(self, cell: Cell, settings: Mapping[str, Any], measured: Mapping[str, Any], error: str | None) -> Row:
        """Puts a cell on disk, whole or not at all, in place of an earlier failure; returns its row."""
        row = {
            "hash": cell.hash,
            "kind": cell.kind,
            "set": cell.set,
            "network": settings["network"]["name"],
            "method": cell.method,
            "options": json.dumps({"method": cell.options, "training": cell.changes}),
            "noise": cell.noise,
            "seed": cell.seed,
            "threads": cell.threads,
            "config": json.dumps(cell.run, sort_keys=True),
            "settings": json.dumps(settings, sort_keys=True),
            "error": error,
            **measured,
        }
        table = pa.Table.from_pylist([row], schema=SCHEMA)
        with atomic_output(self.cells / f"{cell.hash}.parquet", overwrite=True) as temporary:
            # One row gains nothing from what makes Parquet large: dictionaries, statistics, a copy of the schema.
            pq.write_table(table, temporary, use_dictionary=False, write_statistics=False, store_schema=False)
        return {name: row.get(name) for name in SCHEMA.names}

    def check(self, rows: Mapping[str, Row], settings: Mapping[str, Mapping[str, Any]]) -> None:
        """Refuses cells of a set of the same name with other settings: their tables would not belong together."""
        for row in rows.values():
            known = settings.get(row["set"])
            if known is not None and json.loads(row["settings"]) != json.loads(json.dumps(known)):
                raise UserError(
                    f"{self.folder}: holds cells of the set {row['set']} made with other settings "
                    f"({first_difference(json.loads(row['settings']), dict(known))}); give another folder with -o, or "
                    "the set another name"
                )

    @contextmanager
    def locked(self) -> Iterator[Path]:
        """The folder, made if needed, for one process at a time; yields a place for temporary runs."""
        try:
            self.cells.mkdir(parents=True, exist_ok=True)
            (self.folder / ".gitignore").write_text("/data/\n/work/\n/.lock\n")
            lock = (self.folder / ".lock").open("w")
        except OSError as error:
            why = f"cannot be written ({error.strerror})"
            raise UserError(f"{self.folder}: {why}; give another folder with -o") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                why = "another benchmark is at work in it"
                raise UserError(f"{self.folder}: {why}; wait for it, or give another folder with -o") from error
            for leftover in self.cells.glob(".*.partial.parquet"):
                leftover.unlink(missing_ok=True)
            with scratch(self.folder / "work") as work:
                yield work


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """An empty folder that goes when it is done, and whatever a killed process left in it before."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)

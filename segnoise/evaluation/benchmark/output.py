"""What a benchmark writes of its finished cells: one tidy Parquet, the tables and the report."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from segnoise.evaluation.benchmark.description import Benchmark
from segnoise.evaluation.benchmark.markdown import write_tables
from segnoise.evaluation.benchmark.noisetext import noise_text
from segnoise.evaluation.benchmark.page import write_page
from segnoise.evaluation.benchmark.plan import Plan, Rows
from segnoise.evaluation.benchmark.results import Study
from segnoise.evaluation.benchmark.store import MEASURED, SCORES
from segnoise.windows import atomic_output

_OF_THE_ROW = [name for name in MEASURED if not name.startswith("last_")]

SCHEMA = pa.schema(
    {
        "set": pa.string(),
        "network": pa.string(),
        "noise": pa.string(),
        "family": pa.string(),
        "level": pa.float64(),
        "unit": pa.string(),
        "method": pa.string(),
        "role": pa.string(),
        "options": pa.string(),
        "seed": pa.int64(),
        "hash": pa.string(),
        "error": pa.string(),
        "gap_closed": pa.float64(),
        "cost": pa.float64(),
        **{score: pa.float64() for score in SCORES},
        **{name: MEASURED[name] for name in _OF_THE_ROW},
    }
)
"""The columns of results.parquet: what was trained, then ``gap_closed`` and the test scores of the row's own weights
(the last, or of the anchor stopped early the best on given validation labels), then what the cell measured."""


def write_output(benchmark: Benchmark, plan: Plan, rows: Rows, folder: Path, command: str) -> None:
    """Writes results.parquet, tables.md and report.html into the folder."""
    study = Study(benchmark, plan, rows)
    with atomic_output(folder / "results.parquet", overwrite=True) as temporary:
        pq.write_table(results_table(study), temporary)
    write_tables(study, folder / "tables.md", command)
    write_page(study, folder / "report.html", command)


def results_table(study: Study) -> pa.Table:
    """One row for each set, noise, method or anchor, and seed that was tried."""
    lines = []
    for result in study.results:
        if result.row is None:
            continue
        text = noise_text(result.noise)
        lines.append(
            {
                "set": result.set,
                "network": result.row["network"],
                "noise": result.noise,
                "family": text.family,
                "level": text.level,
                "unit": text.unit,
                "method": result.method,
                "role": result.role,
                "options": json.dumps(json.loads(result.row["options"])),
                "seed": result.seed,
                "hash": result.row["hash"],
                "error": result.row["error"],
                "gap_closed": study.gap(result.set, result.noise, result.method).closed.get(result.seed),
                "cost": study.cost(result.set, result.noise, result.method).get(result.seed),
                **{score: result.score(score) for score in SCORES},
                **{name: result.row[name] for name in _OF_THE_ROW},
            }
        )
    return pa.Table.from_pylist(lines, schema=SCHEMA)

"""How long the missing cells will take, judged by the finished ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from segnoise.evaluation.benchmark.cells import Cell
from segnoise.evaluation.benchmark.plan import Waiting


def estimate(todo: Sequence[Cell], waiting: Sequence[Waiting], rows: Mapping[str, Mapping[str, Any]]) -> float | None:
    """Seconds of work, by the mean of finished cells of the same set, method and kind, else of the same set.

    None where a set has no finished cell: nothing is measured for an estimate.
    """
    known: dict[tuple[str, ...], list[float]] = {}
    for row in rows.values():
        if row["error"] is None and row["seconds"]:
            for key in ((row["set"], row["method"], row["kind"]), (row["set"],)):
                known.setdefault(key, []).append(float(row["seconds"]))
    asked: Iterable[tuple[str, str, str]] = [
        *((cell.set, cell.method, cell.kind) for cell in todo),
        *((w.set, w.method, "run") for w in waiting),
    ]
    total = 0.0
    for key in asked:
        found = known.get(key) or known.get(key[:1])
        if found is None:
            return None
        total += sum(found) / len(found)
    return total

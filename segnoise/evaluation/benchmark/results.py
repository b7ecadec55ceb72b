"""Finished cells as results: one row for each set, noise, method or anchor, and seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from segnoise.evaluation.benchmark.cells import Kind
from segnoise.evaluation.benchmark.description import CLEAN, PLAIN, Benchmark
from segnoise.evaluation.benchmark.gap import Gap, gap_closed
from segnoise.evaluation.benchmark.plan import Plan, Rows

Role = Literal["clean", "plain", "early", "two", "method"]

ANCHORS: dict[str, Role] = {
    "cross_entropy on clean labels": "clean",
    "cross_entropy": "plain",
    "cross_entropy stopped early": "early",
    "two networks averaged": "two",
}
"""What stands above the methods in every table."""


@dataclass(frozen=True)
class Result:
    """One method or anchor on one set under one noise from one seed.

    ``row`` is the cell it comes from (None: not there yet), and ``which`` the weights that its score is of.
    """

    set: str
    noise: str
    method: str
    role: Role
    seed: int
    row: Mapping[str, Any] | None
    which: Literal["last", "best"]

    @property
    def failed(self) -> bool:
        return self.row is not None and self.row["error"] is not None

    @property
    def finished(self) -> bool:
        return self.row is not None and self.row["error"] is None

    def score(self, name: str) -> float | None:
        """A test score of the result's own weights."""
        return self.value(f"{self.which}_{name}")

    def value(self, name: str) -> float | None:
        value = self.row.get(name) if self.finished and self.row is not None else None
        return None if value is None else float(value)


class Study:
    """A benchmark with what is finished of it: the scores of every method and anchor, seed by seed."""

    def __init__(self, benchmark: Benchmark, plan: Plan, rows: Rows) -> None:
        self.benchmark = benchmark
        self.rows = rows
        self.cells = plan.cells
        self._trained = {
            (cell.kind, cell.set, cell.noise, cell.method, cell.seed): rows.get(cell.hash) for cell in plan.results
        }
        self.results = [
            self._result(name, noise, method, role, seed)
            for name in benchmark.sets
            for noise in benchmark.noises
            for method, role in self.methods(noise).items()
            for seed in benchmark.seeds
        ]
        self._by_place: dict[tuple[str, str, str], list[Result]] = {}
        for result in self.results:
            self._by_place.setdefault((result.set, result.noise, result.method), []).append(result)

    def methods(self, noise: str) -> dict[str, Role]:
        """Anchors and methods under a noise, in the order of the tables."""
        anchors = {name: role for name, role in ANCHORS.items() if noise != CLEAN or role != "clean"}
        return {**anchors, **{method.label: "method" for method in self.benchmark.contenders}}

    def of(self, name: str, noise: str, method: str) -> list[Result]:
        """The results of a method on a set under a noise, one a seed."""
        return self._by_place[name, noise, method]

    def scores(self, name: str, noise: str, method: str, score: str | None = None) -> dict[int, float]:
        """A test score by seed, of the finished results; by default the benchmark's metric."""
        found = {r.seed: r.score(score or self.benchmark.metric) for r in self.of(name, noise, method)}
        return {seed: value for seed, value in found.items() if value is not None}

    def values(self, name: str, noise: str, method: str, column: str) -> dict[int, float]:
        """Any measure by seed."""
        found = {r.seed: r.value(column) for r in self.of(name, noise, method)}
        return {seed: value for seed, value in found.items() if value is not None}

    def clean(self, name: str) -> dict[int, float]:
        """Plain training on the labels as they are."""
        found = {s: self._result(name, CLEAN, PLAIN, "plain", s) for s in self.benchmark.seeds}
        scores = {seed: result.score(self.benchmark.metric) for seed, result in found.items()}
        return {seed: value for seed, value in scores.items() if value is not None}

    def gap(self, name: str, noise: str, method: str) -> Gap:
        """What a method closes of the gap between plain training on noisy and on clean labels."""
        return gap_closed(self.scores(name, noise, method), self.scores(name, noise, PLAIN), self.clean(name))

    def cost(self, name: str, noise: str, method: str) -> dict[int, float]:
        """Time of training as a ratio to plain training from the same seed: CPU seconds, or seconds on a GPU."""
        plain = {r.seed: _time(r) for r in self.of(name, noise, PLAIN)}
        ratios = {}
        for result in self.of(name, noise, method):
            ours, theirs = _time(result), plain.get(result.seed)
            if ours and theirs:
                ratios[result.seed] = ours / theirs
        return ratios

    def rerun(self, name: str) -> Rerun | None:
        """The cell of a set that was trained twice; None while one of the two is not finished."""
        for (kind, where, noise, _, seed), again in self._trained.items():
            once = self._trained.get(("run", name, noise, PLAIN, seed))
            if kind == "rerun" and where == name and again and once:
                column = f"last_{self.benchmark.metric}"
                if again[column] is not None and once[column] is not None:
                    return Rerun(noise, seed, int(again["threads"]), abs(float(again[column]) - float(once[column])))
        return None

    def _result(self, name: str, noise: str, method: str, role: Role, seed: int) -> Result:
        kind: Kind = "two_networks" if role == "two" else "run"
        label = method if role == "method" else PLAIN
        row = self._trained.get((kind, name, CLEAN if role == "clean" else noise, label, seed))
        return Result(name, noise, method, role, seed, row, "best" if role == "early" else "last")


@dataclass(frozen=True)
class Rerun:
    """Plain training repeated from the same seed with another number of threads, and the difference it made."""

    noise: str
    seed: int
    threads: int
    difference: float


def _time(result: Result) -> float | None:
    device = result.row["device"] if result.row is not None else None
    return result.value("train_cpu_seconds" if device == "cpu" else "train_seconds")

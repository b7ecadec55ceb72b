"""Which cells a benchmark asks for, given those that are finished; pure, so that a dry run shows the real plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from segnoise.evaluation.benchmark.cells import Cell, Kind, make_cell
from segnoise.evaluation.benchmark.description import CLEAN, PLAIN, Benchmark
from segnoise.evaluation.benchmark.noisetext import noise_text
from segnoise.evaluation.benchmark.tuning import Trial, choose, families, trials_of, with_values

Rows = Mapping[str, Mapping[str, Any]]
"""What is known of cells, by their hash."""

_OTHER_THREADS = 2


@dataclass(frozen=True)
class Waiting:
    """A result whose options are not chosen yet, because trials of its tuning are missing."""

    set: str
    method: str
    noise: str
    seed: int


@dataclass(frozen=True)
class Plan:
    """Trials of tuning, then results, in the order in which they are trained; and the results that wait."""

    tuning: list[Cell]
    results: list[Cell]
    waiting: list[Waiting]

    @property
    def cells(self) -> list[Cell]:
        return [*self.tuning, *self.results]


def make_plan(benchmark: Benchmark, rows: Rows) -> Plan:
    """The cells of a benchmark, given what is known of finished ones (of the trials of tuning above all).

    Seeds come outermost, so that an unfinished study has whole tables of fewer seeds. Each set and seed has plain
    cross-entropy on the labels as they are; each noise has plain cross-entropy and a second network to average it
    with; one cell a set is trained again under another rounding.
    """
    trials = _trials(benchmark)
    results: list[Cell] = []
    waiting: list[Waiting] = []
    for seed in benchmark.seeds:
        for name in benchmark.sets:
            results += _anchors(benchmark, name, seed)
            for noise in benchmark.noises:
                for method in benchmark.contenders:
                    values = choose(trials.get((name, method.label, noise_text(noise).family), []), rows)
                    if values is None:
                        waiting.append(Waiting(name, method.label, noise, seed))
                        continue
                    options, changes = with_values(method, values)
                    results.append(
                        make_cell("run", name, benchmark.sets[name], method.label, options, changes, noise, seed)
                    )
    tuning = [cell for group in trials.values() for trial in group for cell in trial.cells]
    return Plan(tuning, results, waiting)


def rerun_noise(benchmark: Benchmark) -> str:
    """The noise of the cell that is trained twice: the first that is one."""
    return next((noise for noise in benchmark.noises if noise != CLEAN), CLEAN)


def _trials(benchmark: Benchmark) -> dict[tuple[str, str, str], list[Trial]]:
    """The trials by set, method and noise family."""
    return {
        (name, method.label, family): trials_of(benchmark, name, method, noise)
        for name in benchmark.sets
        for method in benchmark.contenders
        if method.tune
        for family, noise in families(benchmark).items()
    }


def _anchors(benchmark: Benchmark, name: str, seed: int) -> Iterator[Cell]:
    def plain(kind: Kind, noise: str, threads: int = 1) -> Cell:
        return make_cell(kind, name, benchmark.sets[name], PLAIN, [{"name": PLAIN}], {}, noise, seed, threads)

    if CLEAN not in benchmark.noises:
        yield plain("run", CLEAN)
    for noise in benchmark.noises:
        yield plain("run", noise)
        yield plain("two_networks", noise)
    if seed == benchmark.seeds[0]:
        yield plain("rerun", rerun_noise(benchmark), _OTHER_THREADS)

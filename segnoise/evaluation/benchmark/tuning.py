"""Choosing options: on noisy validation labels only, on seeds of their own, once for each set and noise family."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segnoise.evaluation.benchmark.cells import Cell, make_cell
from segnoise.evaluation.benchmark.description import Benchmark, MethodEntry
from segnoise.evaluation.benchmark.noisetext import noise_text


@dataclass(frozen=True)
class Trial:
    """One combination of values, trained from each tuning seed."""

    values: dict[str, Any]
    cells: list[Cell]


def families(benchmark: Benchmark) -> dict[str, str]:
    """The noise on which each family is tuned: the first of the family in the description.

    A choice holds for all levels of its family, for nobody knows the level of their own labels.
    """
    found: dict[str, str] = {}
    for noise in benchmark.noises:
        found.setdefault(noise_text(noise).family, noise)
    return found


def trials_of(benchmark: Benchmark, name: str, method: MethodEntry, noise: str) -> list[Trial]:
    """The trials of a method on a set under one noise."""
    trials = []
    for values in method.trials:
        options, changes = with_values(method, values)
        seeds = benchmark.tuning.seeds if benchmark.tuning else []
        entry = benchmark.sets[name]
        cells = [make_cell("tuning", name, entry, method.label, options, changes, noise, seed) for seed in seeds]
        trials.append(Trial(values, cells))
    return trials


def with_values(method: MethodEntry, values: Mapping[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A method's options and the changes of the optimisation, with tuned values put in.

    >>> from segnoise.evaluation.benchmark.description import MethodEntry
    >>> with_values(MethodEntry.model_validate("gce"), {"q": 0.5, "training.lr": 0.01})
    ([{'name': 'gce', 'q': 0.5}], {'lr': 0.01})
    """
    options = [m.model_dump() for m in method.method]
    changes = {}
    for key, value in values.items():
        section, _, option = key.rpartition(".")
        if section == "training":
            changes[option] = value
        else:
            next(o for o in options if section in ("", o["name"]))[option] = value
    return options, changes


def choose(trials: Sequence[Trial], rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """The values with the best mean IoU on the given validation labels; None while a trial is missing, and no
    values where nothing is tuned.

    A combination of which a trial failed is out of the choice; where that leaves none, the first is taken, and its
    results say what is wrong with it. Of equal scores the first counts.
    """
    if not trials:
        return {}
    if any(cell.hash not in rows for trial in trials for cell in trial.cells):
        return None

    def score(trial: Trial) -> float:
        found = [rows[cell.hash].get("val_iou_last") for cell in trial.cells]
        known = [float(value) for value in found if value is not None]
        return sum(known) / len(known) if len(known) == len(found) else -math.inf

    return max(trials, key=score).values

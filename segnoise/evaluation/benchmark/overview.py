"""What holds across sets and noises: ranks, tests over units, agreement of sets, tuning, and failures."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass

import numpy as np

from segnoise.evaluation.benchmark.description import CLEAN, PLAIN
from segnoise.evaluation.benchmark.results import Study
from segnoise.evaluation.benchmark.statistics import Ranks, holm, rank, signed_rank, spearman
from segnoise.evaluation.benchmark.tables import Table, p_value
from segnoise.evaluation.scoretable import DASH, number

MOST_FAILED = 0.1
"""A method of which more than this share of the cells failed is marked."""


@dataclass(frozen=True)
class Units:
    """Mean scores over seeds, ``scores[unit][method]``; a unit is a set under a noise."""

    units: list[tuple[str, str]]
    methods: list[str]
    scores: list[list[float | None]]


def units_of(study: Study) -> Units:
    """Every set under every noise in which plain training is finished; what is trained on clean labels stays out."""
    methods = [name for name, role in study.methods("").items() if role != "clean"]
    units, scores = [], []
    for name, noise in itertools.product(study.benchmark.sets, study.benchmark.noises):
        if noise == CLEAN or not study.scores(name, noise, PLAIN):
            continue
        units.append((name, noise))
        each = [list(study.scores(name, noise, method).values()) for method in methods]
        scores.append([float(np.mean(values)) if values else None for values in each])
    return Units(units, methods, scores)


def ranks_of(units: Units) -> Ranks | None:
    return rank(units.scores)


def rank_table(study: Study) -> Table:
    """Mean ranks over units, and signed-rank tests over the same units against plain training and against the best
    method, which is the one with the highest mean score.
    """
    units = units_of(study)
    ranks = ranks_of(units)
    best = _best(units)
    above = {method: _differences(units, method, PLAIN) for method in units.methods}
    to_plain, to_best = (_tests(units, other) for other in (PLAIN, best))
    order = range(len(units.methods)) if ranks is None else np.argsort(ranks.mean, kind="stable")
    lines = []
    for k in order:
        method = units.methods[k]
        counted = f"{sum(value > 0 for value in above[method])} of {len(above[method])}"
        lines.append(
            [
                method,
                DASH if ranks is None else f"{ranks.mean[k]:.2f}",
                DASH if method == PLAIN else counted,
                p_value(to_plain.get(method)),
                "best" if method == best else p_value(to_best.get(method)),
            ]
        )
    if ranks is None:
        note = "Ranks need five units (a set under a noise) or more and three methods."
    else:
        note = (
            f"{ranks.units} units; Friedman p {p_value(ranks.p)}; mean ranks that differ by less than "
            f"{ranks.critical:.2f} (Nemenyi, 5 %) are not told apart."
        )
    columns = ["method", "mean rank", f"units above {PLAIN}", f"p against {PLAIN}", "p against the best"]
    tested = "p-values are of Wilcoxon's signed-rank test over units (six or more), corrected by Holm."
    return Table(columns, lines, [note, tested])


def _best(units: Units) -> str | None:
    """The method with the highest mean score among those without a missing one."""
    means = {
        method: float(np.mean(values))
        for method, values in zip(units.methods, zip(*units.scores, strict=True), strict=False)
        if None not in values
    }
    return max(means, key=lambda method: means[method]) if means else None


def _differences(units: Units, method: str, other: str | None) -> list[float]:
    """Scores of a method minus those of another, over the units that have both."""
    if other is None:
        return []
    a, b = units.methods.index(method), units.methods.index(other)
    pairs = [(u[a], u[b]) for u in units.scores]
    return [x - y for x, y in pairs if x is not None and y is not None]


def _tests(units: Units, other: str | None) -> dict[str, float | None]:
    """Corrected p-values of all methods against one."""
    methods = [method for method in units.methods if method != other]
    return dict(zip(methods, holm([signed_rank(_differences(units, m, other)) for m in methods]), strict=True))


def agreement_table(study: Study) -> Table | None:
    """Spearman's correlation of the methods' mean scores between sets, over the noises that both have."""
    units = units_of(study)
    if len(study.benchmark.sets) < 2:
        return None
    by_place = dict(zip(units.units, units.scores, strict=True))
    lines = []
    for a, b in itertools.combinations(study.benchmark.sets, 2):
        for noise in (n for n in study.benchmark.noises if n != CLEAN):
            one, two = by_place.get((a, noise), []), by_place.get((b, noise), [])
            pairs = [(x, y) for x, y in zip(one, two, strict=False) if x is not None and y is not None]
            value = spearman([x for x, _ in pairs], [y for _, y in pairs])
            lines.append([f"{a}, {b}", noise, number(value, 2), str(len(pairs))])
    return Table(["sets", "noise", "Spearman of methods", "methods"], lines, [])


def tuning_table(study: Study) -> Table | None:
    """What was tried and what was chosen."""
    tuning = study.benchmark.tuning
    tried = [cell for cell in study.cells if cell.kind == "tuning"]
    if tuning is None or not tried:
        return None
    chosen: dict[tuple[str, str, str], set[str]] = {}
    for cell in study.cells:
        if cell.kind == "run":
            key = json.dumps([cell.options, cell.changes])
            chosen.setdefault((cell.set, cell.method, _family(cell.noise)), set()).add(key)
    lines, seen = [], set()
    for cell in tried:
        key = json.dumps([cell.options, cell.changes])
        place = (cell.set, cell.method, cell.noise, key)
        if place in seen:
            continue
        seen.add(place)
        scores = [
            study.rows[c.hash]["val_iou_last"]
            for c in tried
            if (c.set, c.method, c.noise, json.dumps([c.options, c.changes])) == place and c.hash in study.rows
        ]
        known = [value for value in scores if value is not None]
        picked = key in chosen.get((cell.set, cell.method, _family(cell.noise)), set())
        lines.append(
            [
                cell.method,
                cell.set,
                cell.noise,
                said(cell.options, cell.changes),
                number(float(np.mean(known)) if known else None),
                "chosen" if picked else "",
            ]
        )
    seeds = ", ".join(map(str, tuning.seeds))
    note = (
        f"Mean IoU of the last weights on the given (noisy) validation labels, seeds {seeds}, at most {tuning.trials} "
        "combinations a method; chosen once for each set and noise family, and used on other seeds."
    )
    return Table(["method", "set", "noise", "options", "validation IoU", ""], lines, [note])


def failure_table(study: Study) -> Table | None:
    """Cells that failed, with the reason; methods that fail often are marked."""
    failed = [r for r in study.results if r.failed and r.role in ("plain", "two", "method")]
    if not failed:
        return None
    lines = [[r.method, r.set, r.noise, str(r.seed), str(r.row["error"] if r.row else "")] for r in failed]
    notes = ["Failed cells are tried again by the next call of the command."]
    for method in dict.fromkeys(r.method for r in failed):
        tried = [r for r in study.results if r.method == method and r.row is not None]
        share = sum(r.failed for r in tried) / len(tried)
        if share > MOST_FAILED:
            notes.append(f"{method} failed in {100 * share:.0f} % of its cells.")
    return Table(["method", "set", "noise", "seed", "reason"], lines, notes)


def said(options: list[dict[str, object]], changes: dict[str, object]) -> str:
    """Options in a few words.

    >>> said([{"name": "gce", "q": 0.5}], {"lr": 0.01})
    'gce q=0.5, lr=0.01'
    """
    parts = [" ".join([str(o["name"]), *(f"{k}={v}" for k, v in o.items() if k != "name")]) for o in options]
    return ", ".join([" + ".join(parts), *(f"{k}={v}" for k, v in changes.items())])


def _family(noise: str) -> str:
    from segnoise.evaluation.benchmark.noisetext import noise_text

    return noise_text(noise).family

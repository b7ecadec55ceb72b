"""The tables of one set under one noise: scores, and paired differences to plain training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from segnoise.evaluation.benchmark.description import CLEAN, PLAIN
from segnoise.evaluation.benchmark.gap import is_gap, lost_to_noise
from segnoise.evaluation.benchmark.results import Study
from segnoise.evaluation.benchmark.statistics import Paired, holm, paired, standard_error
from segnoise.evaluation.scoretable import DASH

METRICS = {"iou": "IoU", "dice": "Dice"}


@dataclass(frozen=True)
class Table:
    """Lines of text under named columns, the first of which names the line; and what has to be said with them."""

    columns: list[str]
    lines: list[list[str]]
    notes: list[str]

    def markdown(self) -> str:
        rows = [self.columns, ["---"] * len(self.columns), *self.lines]
        return "\n".join(["| " + " | ".join(row) + " |" for row in rows] + [f"\n{note}" for note in self.notes])


def spread(values: Mapping[int, float] | Sequence[float], digits: int = 3) -> str:
    """Mean and standard error over seeds; the value alone of one seed, a dash of none.

    >>> spread([0.5, 0.7]), spread([0.5]), spread([])
    ('0.600 ± 0.100', '0.500', '–')
    """
    known = list(values.values()) if isinstance(values, Mapping) else list(values)
    if not known:
        return DASH
    error = standard_error(known)
    mean = f"{np.mean(known):.{digits}f}"
    return mean if error is None else f"{mean} ± {error:.{digits}f}"


def score_table(study: Study, name: str, noise: str) -> Table:
    """Anchors and methods with the scores of the last weights, their gap, what they find, and what they cost."""
    metric = study.benchmark.metric
    other = next(m for m in METRICS if m != metric)
    columns = [
        "method", METRICS[metric], f"{METRICS[metric]}, best on given val.", METRICS[other], "gap closed",
        "boundary F1", "ECE", "AUROC / AP / ECE of wrong labels", "wrong labels repeated",
        "wrong pixels, corrected / predicted", "cost", "seeds", "failed",
    ]  # fmt: skip
    lines = []
    for method in study.methods(noise):
        results = study.of(name, noise, method)
        gap = study.gap(name, noise, method)
        closed = [value for value in gap.closed.values() if value is not None]
        found = [spread(study.values(name, noise, method, f"label_error_{s}"), 2) for s in ("auroc", "ap", "ece")]
        left = [spread(study.values(name, noise, method, f"wrong_{s}")) for s in ("corrected", "predicted")]
        role = results[0].role
        plain_labels = role == "clean" or noise == CLEAN
        lines.append(
            [
                method,
                spread(study.scores(name, noise, method)),
                DASH if role == "early" else spread(study.values(name, noise, method, f"best_{metric}")),
                spread(study.scores(name, noise, method, other)),
                spread(closed, 2) + (f" ({gap.undefined} undefined)" if closed and gap.undefined else ""),
                spread(study.scores(name, noise, method, "boundary_f1")),
                spread(study.scores(name, noise, method, "ece")),
                DASH if plain_labels or role == "early" else " / ".join(found),
                DASH if plain_labels or role == "early" else spread(study.values(name, noise, method, "memorised"), 2),
                DASH if plain_labels or role == "early" else " / ".join(left),
                _cost(study.cost(name, noise, method)),
                str(sum(result.finished for result in results)),
                str(sum(result.failed for result in results)),
            ]
        )
    return Table(columns, lines, score_notes(study, name, noise))


def paired_table(study: Study, name: str, noise: str) -> Table:
    """Differences to plain training from the same seeds, with intervals and corrected p-values."""
    tests = paired_tests(study, name, noise)
    corrected = holm([None if test is None else test.p for test in tests.values()])
    lines = []
    for (method, test), p in zip(tests.items(), corrected, strict=True):
        if test is None:
            lines.append([method, DASH, DASH, DASH, DASH])
            continue
        interval = DASH if test.low is None else f"{test.low:+.3f} to {test.high:+.3f}"
        lines.append([method, f"{test.mean:+.3f}", interval, p_value(test.p), p_value(p)])
    metric = METRICS[study.benchmark.metric]
    return Table([f"{metric} minus {PLAIN}", "mean", "95 % interval", "p", "p (Holm)"], lines, [])


def paired_tests(study: Study, name: str, noise: str) -> dict[str, Paired | None]:
    """The paired t test over seeds of every method and anchor against plain training; None without a pair."""
    plain = study.scores(name, noise, PLAIN)
    tests: dict[str, Paired | None] = {}
    for method, role in study.methods(noise).items():
        if role not in ("plain", "clean"):
            ours = study.scores(name, noise, method)
            differences = [ours[seed] - plain[seed] for seed in ours if seed in plain]
            tests[method] = paired(differences) if differences else None
    return tests


def score_notes(study: Study, name: str, noise: str) -> list[str]:
    """What a reader needs to know of a table: the noise as met, the gap, and how far one training repeats itself."""
    notes = []
    if noise != CLEAN:
        plain = study.of(name, noise, PLAIN)
        rates = study.values(name, noise, PLAIN, "flip_rate")
        missed = next((r.row["noise_why"] for r in plain if r.finished and r.row and r.row["noise_why"]), None)
        lost = lost_to_noise(study.scores(name, noise, PLAIN), study.clean(name))
        said = f"Wrong training labels: {100 * np.mean(list(rates.values())):.1f} %." if rates else ""
        if missed:
            said += f" Not met as asked: {missed}."
        if lost:
            verdict = "" if is_gap(list(lost.values())) else ", which is no gap, so that none can be closed"
            said += f" The noise costs {PLAIN} {spread(lost)}{verdict}."
        notes += [said.strip()] if said else []
    return [*notes, rerun_note(study, name)]


def rerun_note(study: Study, name: str) -> str:
    """How much the same training differs from itself."""
    again = study.rerun(name)
    if again is None:
        return "Rerun spread: not known yet."
    return (
        f"Rerun spread: {again.difference:.3f} {METRICS[study.benchmark.metric]} between two trainings of one cell "
        f"({PLAIN}, {again.noise}, seed {again.seed}) on 1 and on {again.threads} threads."
    )


def p_value(p: float | None) -> str:
    """>>> p_value(0.0321), p_value(0.00002), p_value(None)
    ('0.032', '< 0.001', '–')
    """
    if p is None:
        return DASH
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def _cost(ratios: Mapping[int, float]) -> str:
    return f"{np.mean(list(ratios.values())):.2f} ×" if ratios else DASH

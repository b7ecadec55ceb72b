"""What the cells of our own benchmarks say of each method beside plain training: paired by set, noise and seed."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy import stats

from segnoise.evaluation.benchmark.gap import Gap, gap_closed
from segnoise.evaluation.benchmark.statistics import holm, paired, standard_error
from segnoise.evaluation.benchmark.store import Store

PLAIN, TWO, EARLY, CLEAN = "cross_entropy", "two networks averaged", "stopped early", "none"
FEWEST_SEEDS, ERRORS = 5, 2.0
FIRST = "standard"
"""Its cells decide where two studies hold as many of the same kind, and its settings need no words."""

SETTINGS = {"twice": "twice the steps"}
"""How the other settings of a study are called beside the name of a set."""

SETS = ("scenes", "naip_fields", "nuclei_dsb2018", "hippocampus")
"""The order of the tables; others follow."""

HELPS, HARMS, NOTHING, TOO_FEW = "helps", "harms", "no effect found", "too few seeds"

Scores = dict[int, float]


@dataclass(frozen=True)
class Group:
    """The runs of one method with its options on one set under one noise, with what they are paired with, by seed."""

    set: str
    noise: str
    method: str
    options: tuple[tuple[str, Any], ...]
    scores: Scores
    plain: Scores
    clean: Scores
    two: Scores
    p: float | None = None  # of the paired t test, corrected for all groups of enough seeds

    @property
    def differences(self) -> list[float]:
        return [value - self.plain[seed] for seed, value in sorted(self.scores.items()) if seed in self.plain]

    @property
    def beside_two(self) -> list[float]:
        """IoU minus that of two plain networks averaged."""
        return [value - self.two[seed] for seed, value in sorted(self.scores.items()) if seed in self.two]

    @property
    def gap(self) -> Gap:
        return gap_closed(
            {seed: self.scores[seed] for seed in self.scores if seed in self.plain}, self.plain, self.clean
        )

    @property
    def verdict(self) -> str:
        return verdict(self.differences)


def verdict(differences: Sequence[float]) -> str:
    """Helps or harms where the mean of five or more paired differences exceeds two standard errors.

    >>> verdict([0.02, 0.03, 0.02, 0.03, 0.02]), verdict([0.02, -0.03, 0.02, 0.03, -0.02]), verdict([0.02, 0.03])
    ('helps', 'no effect found', 'too few seeds')
    """
    if len(differences) < FEWEST_SEEDS:
        return TOO_FEW
    mean, error = sum(differences) / len(differences), standard_error(differences) or 0.0
    if abs(mean) <= ERRORS * error:
        return NOTHING
    return HELPS if mean > 0 else HARMS


def chance() -> float:
    """How often the rule finds an effect that is not there, over the fewest seeds."""
    return float(2 * stats.t.sf(ERRORS, FEWEST_SEEDS - 1))


def read_cells(data: Path) -> list[dict[str, Any]]:
    """The finished cells of all studies in a folder, each with the name of its ``study``."""
    folders = sorted(path.parent for path in data.glob("*/cells"))
    rows = [{**row, "study": folder.name} for folder in folders for row in Store(folder).rows().values()]
    return [row for row in rows if row["error"] is None and row["last_iou"] is not None]


def rerun_spread(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """By set: how far the IoU of one and the same plain training moves with another rounding."""
    once = {_place(row): row["last_iou"] for row in rows if row["kind"] == "run"}
    pairs = [(row, once.get(_place(row))) for row in rows if row["kind"] == "rerun" and row["study"] == FIRST]
    found = {row["set"]: abs(row["last_iou"] - score) for row, score in pairs if score is not None}
    return dict(sorted(found.items(), key=lambda item: _order(item[0])))


def groups(rows: Iterable[Mapping[str, Any]]) -> list[Group]:
    """All that is compared: every method, two plain networks averaged, and plain training stopped early.

    A method of one set, noise and options is taken from one study, that with the most seeds. It is paired with plain
    training of the same settings and seed, whichever study that is in.
    """
    rows = list(rows)
    names = _names(rows)
    plain: dict[Any, Scores] = defaultdict(dict)
    two: dict[Any, Scores] = defaultdict(dict)
    early: dict[Any, Scores] = defaultdict(dict)
    found: dict[Any, dict[str, Scores]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        where, seed = (_settings(row), row["noise"]), row["seed"]
        method, options = _method(row)
        if row["kind"] == "two_networks":
            two[where][seed] = row["last_iou"]
        elif row["kind"] == "run" and (method, options) == (PLAIN, ()):
            plain[where][seed] = row["last_iou"]
            early[where][seed] = row["best_iou"]
        elif row["kind"] == "run":
            found[where, method, options][row["study"]][seed] = row["last_iou"]
    every = {(where, method, options): _most(studies) for (where, method, options), studies in found.items()}
    every |= {(where, TWO, ()): scores for where, scores in two.items()}
    every |= {(where, EARLY, ()): scores for where, scores in early.items()}
    result = []
    for (where, method, options), scores in every.items():
        (settings, noise), clean = where, plain[where[0], CLEAN]
        result.append(Group(names[settings], noise, method, options, scores, plain[where], clean, two[where]))
    result = [group for group in result if group.differences]
    result.sort(key=lambda g: (_order(g.set), g.noise != CLEAN, g.noise, g.method == TWO, g.method, g.options))
    tests = holm([paired(g.differences).p if len(g.differences) >= FEWEST_SEEDS else None for g in result])
    return [Group(**{**vars(group), "p": p}) for group, p in zip(result, tests, strict=True)]


def losses(rows: Iterable[Mapping[str, Any]]) -> list[Group]:
    """What noise does to plain training: its score under each noise, paired with that on right labels."""
    found = {}
    for group in groups(rows):
        if group.noise != CLEAN and group.plain and group.clean:
            found[group.set, group.noise] = Group(group.set, group.noise, PLAIN, (), group.plain, group.clean, {}, {})
    return list(found.values())


def _method(row: Mapping[str, Any]) -> tuple[str, tuple[tuple[str, Any], ...]]:
    """Name and options of the method, or of several; a label may be anything."""
    told = json.loads(row["options"])
    name = " + ".join(method["name"] for method in told["method"])
    options = [(key, value) for method in told["method"] for key, value in method.items() if key != "name"]
    options += [(f"training.{key}", value) for key, value in told["training"].items()]
    return name, tuple((key, json.dumps(value)) for key, value in sorted(options))


def _settings(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["set"], row["settings"]


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return *_settings(row), row["noise"], *_method(row), row["seed"]


def _names(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], str]:
    """A set with its settings in words."""
    names: dict[tuple[str, str], str] = {}
    for row in sorted(rows, key=lambda row: (row["study"] != FIRST, row["study"])):
        plain = row["study"] == FIRST or not any(key[0] == row["set"] for key in names)
        other = f"{row['set']} ({SETTINGS.get(row['study'], row['study'])})"
        names.setdefault(_settings(row), row["set"] if plain else other)
    return names


def _most(studies: Mapping[str, Scores]) -> Scores:
    return studies[min(studies, key=lambda name: (-len(studies[name]), name != FIRST, name))]


def _order(name: str) -> tuple[bool, int, str]:
    """Sets of the standard settings first, in the order of the benchmark."""
    base, _, other = name.partition(" (")
    return bool(other), SETS.index(base) if base in SETS else len(SETS), name

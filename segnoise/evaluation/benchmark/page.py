"""report.html: the benchmark in one file that opens offline, in the look of a run's report."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from segnoise.evaluation.benchmark.description import CLEAN, PLAIN
from segnoise.evaluation.benchmark.markdown import noise_title, preamble
from segnoise.evaluation.benchmark.overview import (
    agreement_table,
    failure_table,
    rank_table,
    tuning_table,
    units_of,
)
from segnoise.evaluation.benchmark.plots import level_panels, looks, rank_panel
from segnoise.evaluation.benchmark.results import Study
from segnoise.evaluation.benchmark.tables import METRICS, Table, paired_table, score_table
from segnoise.evaluation.scoretable import DASH
from segnoise.evaluation.wording import percent
from segnoise.windows import atomic_output

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class HeatCell:
    """The mean gap closed in words, and for its colour as a share of -1 … 1; None where it is undefined."""

    text: str
    share: float | None


@dataclass(frozen=True)
class Block:
    """A set under a noise: its scores and its paired tests."""

    title: str
    scores: Table
    tests: Table


def write_page(study: Study, path: Path, command: str) -> None:
    """Writes the report, atomically."""
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    style = (_HERE.parent / "report.css").read_text() + (_HERE / "benchmark.css").read_text()
    places = list(itertools.product(study.benchmark.sets, study.benchmark.noises))
    noisy = [(name, noise) for name, noise in places if noise != CLEAN]
    shown = looks(study.methods(""))
    command_line, *reading = preamble(study, command)
    page = environment.get_template("benchmark.html.jinja").render(
        title=study.benchmark.name,
        lede=lede(study),
        style=Markup(style),
        command=command_line.strip("`"),
        reading=reading,
        methods=[(name, look.colour) for name, look in shown.items()],
        metric=METRICS[study.benchmark.metric],
        noisy=[(name, noise_title(noise)) for name, noise in noisy],
        heat={method: [heat_cell(study, name, noise, method) for name, noise in noisy] for method in shown},
        panels=level_panels(study),
        ranks=rank_panel(units_of(study), study.methods("")),
        rank_table=rank_table(study),
        costs=costs(study),
        blocks=[
            Block(f"{name}, {noise_title(noise)}", score_table(study, name, noise), paired_table(study, name, noise))
            for name, noise in places
        ],
        agreement=agreement_table(study),
        tuning=tuning_table(study),
        failures=failure_table(study),
        description=yaml.safe_dump(
            study.benchmark.model_dump(mode="json", exclude_defaults=True), sort_keys=False, allow_unicode=True
        ),
    )
    with atomic_output(path, overwrite=True) as temporary:
        temporary.write_text(page, encoding="utf-8")


def heat_cell(study: Study, name: str, noise: str, method: str) -> HeatCell:
    """The mean gap closed of a method on a set under a noise."""
    mean = study.gap(name, noise, method).mean
    return HeatCell(DASH, None) if mean is None else HeatCell(f"{mean:.2f}", min(max(mean, -1.0), 1.0))


def costs(study: Study) -> list[tuple[str, float]]:
    """The mean time of training as a ratio to plain training, over all sets, noises and seeds."""
    found = []
    for method, role in study.methods("").items():
        if role == "clean":
            continue
        ratios = [
            ratio
            for name, noise in itertools.product(study.benchmark.sets, study.benchmark.noises)
            for ratio in study.cost(name, noise, method).values()
        ]
        if ratios:
            found.append((method, float(np.mean(ratios))))
    return found


def lede(study: Study) -> list[str]:
    """What was compared, and in a sentence what came of it."""
    benchmark = study.benchmark
    finished = sum(r.finished for r in study.results)
    noises = [noise for noise in benchmark.noises if noise != CLEAN]
    counted = [
        _count(len(benchmark.contenders), "method"),
        _count(len(benchmark.sets), "data set"),
        _count(len(noises), "noise"),
        _count(len(benchmark.seeds), "seed"),
    ]
    said = [f"{', '.join(counted[:-1])} and {counted[-1]}; {finished} of {len(study.results)} results are finished."]
    means = {}
    for method, role in study.methods("").items():
        if role in ("clean", "plain"):
            continue
        gaps = [study.gap(name, noise, method).mean for name in benchmark.sets for noise in noises]
        known = [gap for gap in gaps if gap is not None]
        if known:
            means[method] = (float(np.mean(known)), len(known))
    if means:
        best = max(means, key=lambda method: means[method][0])
        others = ", ".join(f"{m} {percent(means[m][0])}" for m in means if m != best)
        mean, count = means[best]
        where = f"in {_count(count, 'case')} where the noise opens one"
        said.append(
            f"Of the gap to clean labels, {best} closes {percent(mean)} on average {where}"
            + (f"; {others}." if others else ".")
        )
    elif noises and finished:
        said.append(f"No noise opens a gap between {PLAIN} on noisy and on clean labels, so there is none to close.")
    return said


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"

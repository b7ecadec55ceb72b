"""tables.md: everything in numbers, and what made them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from segnoise.evaluation.benchmark.description import CLEAN
from segnoise.evaluation.benchmark.overview import agreement_table, failure_table, rank_table, tuning_table
from segnoise.evaluation.benchmark.results import Study
from segnoise.evaluation.benchmark.tables import METRICS, paired_table, score_table
from segnoise.windows import atomic_output


def write_tables(study: Study, path: Path, command: str) -> None:
    """Writes the tables, atomically."""
    with atomic_output(path, overwrite=True) as temporary:
        temporary.write_text("\n".join(_document(study, command)), encoding="utf-8")


def _document(study: Study, command: str) -> Iterator[str]:
    yield f"# {study.benchmark.name}\n"
    for sentence in preamble(study, command):
        yield f"{sentence}\n"
    for name in study.benchmark.sets:
        yield f"## {name}\n"
        for noise in study.benchmark.noises:
            yield f"### {name}, {noise_title(noise)}\n"
            yield score_table(study, name, noise).markdown() + "\n"
            yield paired_table(study, name, noise).markdown() + "\n"
    yield "## Ranks over sets and noises\n"
    yield rank_table(study).markdown() + "\n"
    more = {
        "Do the sets agree?": agreement_table(study),
        "Tuning": tuning_table(study),
        "Failed cells": failure_table(study),
    }
    for title, table in more.items():
        if table is not None:
            yield f"## {title}\n"
            yield table.markdown() + "\n"


def noise_title(noise: str) -> str:
    return "no noise" if noise == CLEAN else noise


def preamble(study: Study, command: str) -> list[str]:
    """How to make and how to read the tables, and what the cells ran on."""
    seeds = study.benchmark.seeds
    steps = sorted({int(r.row["steps"]) for r in study.results if r.finished and r.row})
    machines = sorted({str(r.row["machine"]) for r in study.results if r.finished and r.row})
    versions = sorted({str(r.row["version"]) for r in study.results if r.finished and r.row})
    metric = METRICS[study.benchmark.metric]
    return [
        f"`{command}`",
        f"Mean ± standard error over {len(seeds)} seeds; a seed sets split, noise, initialisation and order, the same "
        "for all methods. All methods of a set take the same number of optimiser steps "
        f"({', '.join(f'{n:,}' for n in steps) or 'none yet'}). Scores are of the last weights on untouched test "
        "labels, means over classes; a second column has those of the weights that are best on the given validation "
        "labels.",
        f"Gap closed is ({metric} − that of cross_entropy) / ({metric} of cross_entropy on clean labels − that of "
        "cross_entropy) for each seed, then the mean. It is undefined (–) where the denominator is on average below "
        "twice its standard error or below 0.01, and for a seed where it is below 0.01. Cost is the time of training "
        "as a ratio to cross_entropy.",
        f"segnoise {', '.join(versions) or '–'}; {'; '.join(machines) or 'no cell is finished'}.",
    ]

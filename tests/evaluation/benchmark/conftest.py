"""A benchmark so small that it takes seconds, and finished cells that nobody trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from segnoise.evaluation.benchmark.cells import settings_of
from segnoise.evaluation.benchmark.description import make_benchmark
from segnoise.evaluation.benchmark.plan import make_plan
from segnoise.evaluation.benchmark.results import Study
from segnoise.evaluation.benchmark.store import Store

SMALL = {"name": "BasicUNet", "features": [4, 4, 8, 8, 16, 4]}
TRAINING = {"epochs": 2, "batch_size": 4, "lr": 1.0e-2, "accelerator": "cpu"}


@pytest.fixture(scope="session")
def described():
    """A description as a mapping, with changes."""

    def make(**changes: Any) -> dict[str, Any]:
        scenes = {"kind": "scenes", "size": 128, "window": 32, "samples_per_epoch": 8}
        return {
            "name": "tiny",
            "seeds": [0],
            "methods": ["gce"],
            "noises": ["none", "kms(0.4)"],
            "sets": {"scenes": {"data": scenes, "network": SMALL, "training": TRAINING}},
            **changes,
        }

    return make


@pytest.fixture(scope="session")
def study(tmp_path_factory, described):
    """Two sets, two levels of one noise and another noise, three seeds; scores by a rule, one cell failed."""
    scenes = described()["sets"]["scenes"]
    other = {**scenes, "data": {**scenes["data"], "seed": 5}}
    benchmark = make_benchmark(
        described(
            seeds=[0, 1, 2],
            methods=["gce", {"name": "kms", "tune": {"decay": [0.9, 0.99]}}],
            noises=["none", "kms(0.2)", "kms(0.4)", "omission(0.3)"],
            tuning={"seeds": [9]},
            sets={"scenes": scenes, "fields": other},
        )
    )
    return finish(benchmark, tmp_path_factory.mktemp("study"))


def finish(benchmark, folder: Path) -> Study:
    """The study of a benchmark whose cells have scores by a rule."""
    store = Store(folder)
    with store.locked():
        for _ in range(2):  # the trials of tuning first
            rows = store.rows()
            for cell in make_plan(benchmark, rows).cells:
                if cell.hash not in rows:
                    bad = cell.method == "gce" and cell.noise == "kms(0.4)" and cell.seed == 1 and cell.set == "scenes"
                    settings = settings_of(benchmark.sets[cell.set])
                    store.write(cell, settings, {} if bad else measured(cell), "no luck" if bad else None)
    rows = store.rows()
    return Study(benchmark, make_plan(benchmark, rows), rows)


def measured(cell) -> dict[str, Any]:
    """Scores by a rule: the noise costs more at a higher level, omission nothing; two networks and kms win some back."""
    lost = {"none": 0.0, "kms(0.2)": 0.1, "kms(0.4)": 0.3, "omission(0.3)": 0.001}[cell.noise]
    back = 0.5 if cell.kind == "two_networks" else {"kms": 0.4, "gce": -0.1}.get(cell.method, 0.0)
    score = 0.8 + 0.01 * cell.seed - lost * (1 - back) - (0.01 if cell.method == "gce" else 0)
    score += 0.02 if cell.kind == "rerun" else 0
    score += 0.01 if "0.99" in str(cell.options) else 0
    names = ("iou", "dice", "accuracy", "boundary_f1", "object_f1", "ece")
    content = {f"{which}_{name}": score for which in ("last", "best") for name in names}
    content["best_iou"] = score + 0.05 * lost
    if cell.noise != "none":
        content |= {"label_error_auroc": 0.9, "label_error_ap": 0.7, "memorised": 0.25, "flip_rate": lost + 0.1}
        content |= {"label_error_ece": 0.05, "wrong_corrected": 0.12, "wrong_predicted": 0.1}
    cost = 20.0 if cell.kind == "two_networks" else 10.0
    return {
        **content,
        "val_iou_last": score,
        "steps": 4,
        "train_seconds": 2 * cost,
        "train_cpu_seconds": cost * (1.25 if cell.method == "kms" else 1.0),
        "seconds": 30.0,
        "device": "cpu",
        "machine": "a machine",
        "version": "0.1.0",
    }

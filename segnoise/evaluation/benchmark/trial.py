"""One cell, trained and measured: an ordinary run in a temporary folder."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from segnoise.config import Config
from segnoise.evaluation.averaged import Averaged
from segnoise.evaluation.benchmark.machine import machine
from segnoise.evaluation.benchmark.store import SCORES
from segnoise.evaluation.labelerrors import LabelErrors, label_errors
from segnoise.evaluation.runrecord import read_run
from segnoise.evaluation.scoring import score_regions
from segnoise.training import Model, Prepared, Run, load, prepare, train

_SECOND = 1_000_003
"""Added to a cell's seed for the initialisation, order and crops of the second network; the split stays."""


@dataclass(frozen=True)
class Job:
    """Cells that share their first network (``hash``, ``kind``, ``threads`` and ``run`` each), and where to run."""

    cells: list[dict[str, Any]]
    folder: str


@dataclass(frozen=True)
class _Trained:
    """A finished run and what it cost."""

    config: Config
    run: Run
    steps: int
    seconds: float
    cpu_seconds: float


def run_job(job: Job) -> Iterator[dict[str, Any]]:
    """Trains the cells of a job, and yields of each what was measured.

    A cell ``two_networks`` averages the network of the cell before it in the same job with a second one, and trains
    both where it stands alone. The runs' folders are deleted with the job.
    """
    first: _Trained | None = None
    folder = Path(job.folder)
    try:
        for cell in job.cells:
            started, cpu_started = time.monotonic(), time.process_time()
            torch.set_num_threads(cell["threads"])
            first = first or _train(Config.model_validate(cell["run"]), folder / "first")
            if cell["kind"] == "two_networks":
                measured = _two_networks(first, _train(second_network(first.config), folder / "second"))
            elif cell["kind"] == "tuning":
                measured = _given_validation(first)
            else:
                measured = _one_network(first)
            yield {
                "hash": cell["hash"],
                **measured,
                "seconds": time.monotonic() - started,
                "cpu_seconds": time.process_time() - cpu_started,
                "device": _device(first.config),
                "machine": machine(),
                "version": version("segnoise"),
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def second_network(config: Config) -> Config:
    """The run of the network that is averaged with a cell's: another seed, but the same data, split and noise."""
    split = config.data.split.model_copy(update={"seed": config.seed})
    return config.model_copy(
        update={"seed": config.seed + _SECOND, "data": config.data.model_copy(update={"split": split})}
    )


def _train(config: Config, folder: Path) -> _Trained:
    started, cpu_started = time.monotonic(), time.process_time()
    train(config, folder, quiet=True)
    seconds, cpu_seconds = time.monotonic() - started, time.process_time() - cpu_started
    return _Trained(config, Run(folder), read_run(folder).steps, seconds, cpu_seconds)


def _given_validation(trained: _Trained) -> dict[str, Any]:
    """How the run repeats the given validation labels, which is all that tuning may know."""
    record = read_run(trained.run.folder)
    best = record.best_epoch
    return {
        "val_iou_last": record.log[-1]["val_iou"],
        "val_iou_best": best["val_iou"] if best else None,
        "best_epoch": int(best["epoch"]) if best else None,
        **_cost([trained]),
    }


def _one_network(trained: _Trained) -> dict[str, Any]:
    device = _device(trained.config)
    prepared = prepare(trained.config, trained.run)
    last, best = load(trained.run.folder, "last"), load(trained.run.folder, "best")
    measured = _given_validation(trained) | _scores("last", last, prepared, device)
    same = read_run(trained.run.folder).log[-1]["epoch"] == measured["best_epoch"]
    if same:
        measured |= {key.replace("last", "best", 1): v for key, v in measured.items() if key.startswith("last_")}
    else:
        measured |= _scores("best", best, prepared, device)
    return measured | _wrong_labels([last], prepared, device) | {"parameters": _parameters([last])}


def _two_networks(first: _Trained, second: _Trained) -> dict[str, Any]:
    """The mean of two networks, of their last and of their best weights."""
    device = _device(first.config)
    prepared = prepare(first.config, first.run)
    measured: dict[str, Any] = _cost([first, second])
    for which in ("last", "best"):
        models = [load(trained.run.folder, which) for trained in (first, second)]
        measured |= _scores(which, Averaged(models), prepared, device)
        if which == "last":
            measured |= _wrong_labels(models, prepared, device) | {"parameters": _parameters(models)}
    return measured


def _scores(which: str, model: Model | Averaged, prepared: Prepared, device: str) -> dict[str, Any]:
    metrics = score_regions(model, prepared, prepared.regions["test"], device=device)
    metrics["iou_per_class"] = json.dumps(metrics["iou"]["per_class"])
    named = {score: metrics[score] for score in (*SCORES, "iou_per_class")}
    return {f"{which}_{name}": value["mean"] if isinstance(value, dict) else value for name, value in named.items()}


def _wrong_labels(models: Sequence[Model], prepared: Prepared, device: str) -> dict[str, Any]:
    """What the networks say of the training labels, and what the noise did to them; nothing without noise."""
    if prepared.clean is None:
        return {}
    found: LabelErrors = label_errors(models, prepared, device)
    records = prepared.records["train"]
    steps = list(zip(*[[step.get("met") for step in record["params"]] for record in records], strict=True))
    reasons = [step.get("why") for record in records for step in record["params"]]
    return {
        "label_error_auroc": found.curve.auroc(),
        "label_error_ap": found.curve.average_precision(),
        "label_error_ece": found.calibration.ece(),
        "memorised": found.memorised,
        "flip_rate": found.wrong / found.labels if found.labels else None,
        "wrong_corrected": found.left_wrong / found.labels if found.labels else None,
        "wrong_predicted": found.mistaken / found.labels if found.labels else None,
        "noise_met": json.dumps([_common(met) for met in steps]),
        "noise_why": next((reason for reason in reasons if reason), None),
    }


def _common(values: Sequence[Any]) -> Any:
    """The level met over all sources: what all records say, or the mean where levels were met in several sets."""
    if all(value == values[0] for value in values):
        return values[0]
    known = [float(value) for value in values if isinstance(value, int | float)]
    return sum(known) / len(known) if known else None


def _cost(trained: Sequence[_Trained]) -> dict[str, Any]:
    return {
        "steps": trained[0].steps,
        "train_seconds": sum(t.seconds for t in trained),
        "train_cpu_seconds": sum(t.cpu_seconds for t in trained),
    }


def _parameters(models: Sequence[Model]) -> int:
    return sum(p.numel() for model in models for p in model.system.networks.parameters())


def _device(config: Config) -> str:
    """Where the run was trained, and is scored."""
    asked = config.training.accelerator
    if asked in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "cuda"
    return "mps" if asked == "mps" else "cpu"

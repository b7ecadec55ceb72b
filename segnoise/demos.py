"""The embedded defaults: each demo is a packaged configuration plus procedural data, run clean, plain and robust."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from segnoise.config import make_config
from segnoise.data.scenes import field_scene
from segnoise.errors import UserError
from segnoise.evaluation import evaluate, write_metrics, write_report
from segnoise.inference import predict_fields, write_fields
from segnoise.training import load, train_side_by_side
from segnoise.windows import atomic_output

SCENE_SIZE = 1024
RUNS: dict[str, dict[str, Any]] = {
    "clean": {"noise": None, "method": "cross_entropy"},
    "plain": {"method": "cross_entropy"},
    "robust": {},
}
"""What distinguishes the three runs from the configuration; network, optimiser and steps are the same."""


def packaged_config(name: str) -> dict[str, Any]:
    """A configuration that travels inside the package, as a mapping.

    >>> packaged_config("demo-fields")["noise"]
    'kms(0.4)'
    """
    text = resources.files("segnoise").joinpath(f"configs/{name}.yaml").read_text()
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def run_demo(
    name: str, folder: str | Path, *, seed: int = 0, overwrite: bool = False, quiet: bool = False
) -> dict[str, Any]:
    """Runs a demo and returns its summary.

    Writes into ``folder``: the scene and its true polygons, the three runs, the fields of the robust run as GeoJSON
    and GeoPackage, ``report.html`` that compares the runs, and ``summary.json``.

    Args:
        name: ``fields``.
        folder: made if needed; a folder that is not empty is refused without ``overwrite``.
        seed: of scene, noise and training.

    Raises:
        UserError: an existing folder, or one that cannot be written.
    """
    started = time.monotonic()
    folder = _empty_folder(Path(folder), overwrite)
    with _step(f"scene of {SCENE_SIZE} x {SCENE_SIZE} pixels", quiet):
        (folder / "scene").mkdir()
        field_scene(SCENE_SIZE, seed).save(folder / "scene")
    raw = packaged_config(f"demo-{name}")
    metrics: dict[str, dict[str, Any]] = {}
    runs = [folder / "runs" / run for run in RUNS]
    configs = {}
    for run, changes in zip(runs, RUNS.values(), strict=True):
        noise = changes.get("noise", {"spec": raw["noise"], "seed": seed})
        configs[run] = make_config(
            {**raw, **changes, "name": run.name, "seed": seed, "noise": noise}, base=folder.resolve()
        )
    # The robust run takes longest, so it starts first.
    train_side_by_side(dict(reversed(configs.items())), quiet=quiet)
    for run in runs:
        with _step(f"evaluate {run.name}", quiet):
            metrics[run.name] = evaluate(run, checkpoint="last")
            write_metrics(metrics[run.name], run / "metrics.json")
    with _step("fields of the whole scene", quiet):
        frame = predict_fields(load(runs[-1], "last"), folder / "scene" / "scene.tif")
        for suffix in (".geojson", ".gpkg"):
            write_fields([frame], ["scene"], folder / f"fields{suffix}")
    summary = summarise(name, str(raw["noise"]), metrics)
    with _step("report", quiet):
        summary["seconds"] = round(time.monotonic() - started, 1)
        report = folder / "report.html"
        write_report(
            runs,
            path=report,
            title="Fields from sloppy labels",
            polygons=folder / "fields.geojson",
            scene=folder / "scene" / "scene.tif",
            summary=summary,
        )
    summary["seconds"] = round(time.monotonic() - started, 1)
    with atomic_output(folder / "summary.json") as temporary:
        temporary.write_text(json.dumps(summary, indent=2) + "\n")
    return summary


def summarise(demo: str, noise: str, metrics: dict[str, dict[str, Any]], metric: str = "iou") -> dict[str, Any]:
    """The demo's figures; ``gap_closed`` is null where clean and plain differ by less than 0.02.

    >>> scores = {k: {"iou": {"per_class": {"field": v}}} for k, v in [("clean", 0.9), ("plain", 0.7), ("robust", 0.8)]}
    >>> round(summarise("fields", "kms(0.4)", scores)["gap_closed"], 6)
    0.5
    """
    value = {run: float(m[metric]["per_class"]["field"]) for run, m in metrics.items()}
    gap = value["clean"] - value["plain"]
    return {
        "demo": demo,
        "metric": f"{metric} of the class field, test blocks, true labels",
        "noise": noise,
        **value,
        "gap_closed": (value["robust"] - value["plain"]) / gap if gap >= 0.02 else None,
        "label_error_auroc": metrics["robust"].get("label_error_auroc"),
    }


def _empty_folder(folder: Path, overwrite: bool) -> Path:
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; give a folder with -o")
    if folder.is_dir() and any(folder.iterdir()):
        if not overwrite:
            raise UserError(f"{folder}: is not empty; give another folder with -o, or --overwrite")
        if not (folder / "scene").is_dir():
            raise UserError(f"{folder}: is not a demo's folder, so it is not deleted; give another folder with -o")
        shutil.rmtree(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror}); give another folder with -o") from error
    return folder


@contextmanager
def _step(title: str, quiet: bool) -> Iterator[None]:
    """A spinner on stderr while a step without a bar of its own runs."""
    if quiet:
        yield
        return
    console = Console(file=sys.stderr)
    with console.status(title):
        yield
    console.print(f"{title}: done")

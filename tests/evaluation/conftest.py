"""Runs so small that training takes seconds, and the report that compares them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio

from segnoise.config import make_config
from segnoise.data.scenes import field_scene
from segnoise.evaluation import evaluate, write_metrics, write_report
from segnoise.training import train
from segnoise.vector import polygonize, write_polygons

TINY = {
    "data": {
        "kind": "raster",
        "images": ["scene.tif"],
        "labels": "fields.gpkg",
        "window": 32,
        "samples_per_epoch": 8,
    },
    "network": {"name": "BasicUNet", "features": [4, 4, 8, 8, 16, 4]},
    "training": {"epochs": 2, "batch_size": 4, "lr": 1e-2, "accelerator": "cpu"},
}
RUNS = {
    "clean": {},
    "plain": {"noise": "kms(0.4)"},
    "robust": {"noise": "kms(0.4)", "method": "kms"},
}
SUMMARY = {
    "demo": "fields",
    "metric": "iou of the class field, test blocks, true labels",
    "noise": "kms(0.4)",
    "clean": 0.9,
    "plain": 0.7,
    "robust": 0.85,
    "gap_closed": 0.75,
    "label_error_auroc": 0.91,
    "seconds": 100.0,
}


@dataclass(frozen=True)
class Demo:
    """Three runs on one scene (``plain`` is not evaluated), the true fields as polygons, and the report of it all."""

    runs: dict[str, Path]
    scene: Path
    polygons: Path
    report: Path


@pytest.fixture(scope="session")
def demo(tmp_path_factory) -> Demo:
    folder = tmp_path_factory.mktemp("demo")
    field_scene(256, seed=5).save(folder)
    runs = {}
    for name, changes in RUNS.items():
        config = make_config({**TINY, **changes, "name": name}, base=folder)
        runs[name] = train(config, folder / "runs" / name, quiet=True)
    for name in ("clean", "robust"):
        write_metrics(evaluate(runs[name], checkpoint="last"), runs[name] / "metrics.json")
    with rasterio.open(runs["robust"] / "labels" / "0000_clean.tif") as labels:
        scores = np.linspace(0.5, 1, labels.width)[None].repeat(labels.height, axis=0)
    polygons = folder / "fields.geojson"
    write_polygons(polygonize(runs["robust"] / "labels" / "0000_clean.tif", scores=scores), polygons)
    report = write_report(
        list(runs.values()),
        path=folder / "report.html",
        title="Fields from sloppy labels",
        polygons=polygons,
        scene=folder / "scene.tif",
        summary=SUMMARY,
    )
    return Demo(runs, folder / "scene.tif", polygons, report)

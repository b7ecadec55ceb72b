"""Checks what `segnoise demo fields` left in a folder: the summary, the polygons, the report.

python tools/check_demo.py demo
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import geopandas as gpd
import rasterio
import shapely

from segnoise.vector import check_geojson

KEYS = {"demo", "metric", "noise", "clean", "plain", "robust", "gap_closed", "label_error_auroc", "seconds"}


def check(folder: Path) -> list[str]:
    """What is wrong, one line each."""
    summary = json.loads((folder / "summary.json").read_text())
    problems = [f"summary.json lacks {key}" for key in sorted(KEYS - set(summary))]
    if not 0.85 <= summary["clean"] <= 0.97:
        problems.append(f"IoU on clean labels is {summary['clean']:.3f}")
    if not summary["plain"] < summary["clean"] - 0.05:
        problems.append(f"the noise did not hurt: clean {summary['clean']:.3f}, plain {summary['plain']:.3f}")
    if summary["gap_closed"] is None or summary["gap_closed"] < 0.3:
        # Measured: see docs/results.md. Reruns that differ in rounding differ by some points of IoU.
        problems.append(f"the method did not help: plain {summary['plain']:.3f}, robust {summary['robust']:.3f}")
    problems += check_geojson(folder / "fields.geojson")
    fields = gpd.read_file(folder / "fields.gpkg")
    with rasterio.open(folder / "drawn" / "scene.tif") as scene:
        if fields.crs != scene.crs:
            problems.append("fields.gpkg has another CRS than the scene")
        if not shapely.box(*fields.total_bounds).within(shapely.box(*scene.bounds).buffer(1e-6)):
            problems.append("fields.gpkg lies outside the scene")
    if not fields.geometry.is_valid.all() or not shapely.coverage_is_valid(fields.geometry.to_numpy()):
        problems.append("fields.gpkg is not a valid coverage")
    report = (folder / "report.html").read_text()
    if "http://" in report.replace("http://www.w3.org", "") or "<script src" in report:
        problems.append("report.html refers to something outside")
    for name in ("clean", "plain", "robust"):
        if not (folder / "runs" / name / "metrics.json").is_file():
            problems.append(f"the run {name} has no metrics.json")
    return problems


if __name__ == "__main__":
    found = check(Path(sys.argv[1]))
    print("\n".join(found) or "the demo's folder is complete")
    sys.exit(bool(found))

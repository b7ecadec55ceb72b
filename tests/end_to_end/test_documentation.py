"""The commands of the tutorial and the examples of the library page, run as a reader would."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import nibabel
import numpy as np
import pytest
import rasterio
import shapely

from segnoise.vector import check_geojson

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page: str, language: str) -> list[str]:
    """The contents of a page's code blocks of one language."""
    return re.findall(rf"^```{language}[^\n]*\n(.*?)^```", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """A folder in which the whole tutorial was followed."""
    return follow("tutorial.md", "fields.yaml", tmp_path_factory.mktemp("tutorial"))


def follow(page, name, folder):
    (yaml,) = blocks(page, "yaml")
    (folder / name).write_text(yaml)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for command in blocks(page, "bash"):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=folder,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return folder


def test_the_tutorial_leaves_what_it_promises(followed):
    for name in [
        "sloppy.gpkg",
        "sloppy.json",
        "labels.tif",
        "labels_scores.tif",
        "fields.geojson",
        "map.gpkg",
        "map_again_wrong.tif",
    ]:
        assert (followed / name).stat().st_size > 0, name
    assert (followed / "runs" / "fields" / "metrics.json").is_file()
    assert (followed / "runs" / "fields" / "report.html").is_file()


def test_the_tutorials_raster_lies_on_the_scenes_grid(followed):
    with rasterio.open(followed / "scene.tif") as scene, rasterio.open(followed / "labels.tif") as labels:
        assert (labels.crs, labels.transform, labels.shape) == (scene.crs, scene.transform, scene.shape)
        assert set(np.unique(labels.read(1))) <= {0, 1, 255}
        assert ((labels.read(1) == 255) == (scene.dataset_mask() == 0)).all()


def test_the_tutorials_fields_are_valid_and_in_place(followed):
    assert check_geojson(followed / "fields.geojson") == []
    frame = gpd.read_file(followed / "fields.geojson")
    assert len(frame) > 0
    assert frame.geometry.is_valid.all()
    with rasterio.open(followed / "scene.tif") as scene:
        box = gpd.GeoSeries([shapely.box(*scene.bounds)], crs=scene.crs).to_crs(4326).iloc[0]
    assert shapely.box(*frame.total_bounds).within(box.buffer(1e-4))
    assert {"area_ha", "perimeter_m", "confidence"} <= set(frame.columns)
    simplified = gpd.read_file(followed / "map.gpkg")
    assert shapely.coverage_is_valid(simplified.geometry.to_numpy())
    assert simplified["area_ha"].min() >= 0.05


def test_the_tutorial_of_volumes_ends_with_maps_on_the_scans_grid(tmp_path):
    folder = follow("volumes.md", "eyes.yaml", tmp_path)
    scan = nibabel.load(folder / "scans" / "eye0.nii.gz")
    for name in ("eye0_seg", "eye0_seg_scores", "eye0_wrong"):
        made = nibabel.load(folder / f"{name}.nii.gz")
        assert made.shape[:3] == scan.shape
        np.testing.assert_allclose(made.affine, scan.affine, atol=1e-6)
    assert sorted(path.name for path in (folder / "segmentations").iterdir()) == ["eye1.nii.gz", "eye2.nii.gz"]
    patients = json.loads((folder / "runs" / "eyes" / "metrics.json").read_text())["patients"]
    assert patients["unit"] == "mm"
    assert patients["dice"]["per_class"]["fluid"]["n"] == patients["n"]
    assert "Over patients" in (folder / "runs" / "eyes" / "report.html").read_text()


def test_the_tutorial_of_video_ends_with_a_mask_a_frame_and_an_overlay(tmp_path):
    folder = follow("video.md", "scope.yaml", tmp_path)
    assert "kind: video" in (folder / "first.yaml").read_text()
    frames = sorted(path.name for path in (folder / "videos" / "images" / "seq_0").iterdir())
    assert sorted(path.name for path in (folder / "masks" / "seq_0").iterdir()) == frames
    assert (folder / "masks" / "seq_0_overlay.mp4").stat().st_size > 0
    assert len(list((folder / "looked" / "seq_1").glob("*_wrong.tif"))) == len(frames)
    sequences = json.loads((folder / "runs" / "scope" / "metrics.json").read_text())["sequences"]
    assert sequences["n"] == 2
    assert 0 <= sequences["flicker"] <= 1


@pytest.mark.parametrize(
    ("page", "printed"),
    [
        ("library.md", "torch.Size([2, 64, 64])"),
        ("loops.md", "torch.Size([2, 32, 32, 16])"),
        ("volumes.md", "(14, 16, 10) (20, 24, 10)"),
        ("methods.md", "tensor([1.0000, 1.0000, 0.5000, 0.5000, 0.5000, 0.5000, 1.0000, 1.0000]"),
    ],
)
def test_the_examples_of_a_page_run(tmp_path, page, printed):
    script = tmp_path / "page.py"
    script.write_text("\n".join(blocks(page, "python")))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert printed in done.stdout

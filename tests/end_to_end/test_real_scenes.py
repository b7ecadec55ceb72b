"""Whole real scenes, awkward on purpose: a projection without EPSG code, one band, nodata, degrees."""

from __future__ import annotations

import json

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely

from segnoise.config import make_config
from segnoise.inference import predict_fields, predict_raster
from segnoise.training import load, train
from segnoise.vector import check_geojson, polygonize, write_polygons

SCENES = ["atlanta_buildings", "nebraska_landsat5"]


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("tolerance", [0.0, 10.0])
def test_the_labels_of_a_real_scene_become_a_valid_coverage_in_place(shared_data, tmp_path, name, tolerance):
    folder = shared_data / "scenes_vhr_landsat" / name
    frame = polygonize(folder / "instances.tif", tolerance_m=tolerance)
    assert frame.geometry.is_valid.all()
    assert shapely.coverage_is_valid(frame.geometry.to_numpy())
    with rasterio.open(folder / "instances.tif") as src:
        pixel_ha = abs(src.transform.determinant) / 1e4
        ids = src.read(1)
    if tolerance == 0:
        counted = {int(i): np.count_nonzero(ids == i) * pixel_ha for i in np.unique(ids[ids > 0])}
        measured = frame.set_index("label")["area_ha"]
        assert len(frame) == len(counted)
        assert measured.to_dict() == pytest.approx(counted, rel=6e-3)
    written = write_polygons(frame, tmp_path / "x.geojson")
    assert check_geojson(written) == []
    drawn = gpd.read_file(folder / "polygons.geojson").to_crs(4326)
    assert shapely.box(*gpd.read_file(written).total_bounds).intersects(shapely.box(*drawn.total_bounds))


@pytest.mark.parametrize("name", SCENES)
def test_a_real_scene_goes_from_polygons_to_fields(shared_data, tmp_path, name):
    folder = shared_data / "scenes_vhr_landsat" / name
    raw = {
        "data": {"kind": "raster", "images": [str(folder / "scene.tif")], "labels": str(folder / "polygons.geojson"),
                 "classes": ["background", "object"], "window": 64, "samples_per_epoch": 16},
        "network": {"name": "BasicUNet", "features": [4, 4, 8, 8, 16, 4]},
        "training": {"epochs": 1, "batch_size": 8, "accelerator": "cpu"},
    }  # fmt: skip
    model = load(train(make_config(raw), tmp_path / "run", quiet=True))
    labels = predict_raster(model, folder / "scene.tif", tmp_path / "labels.tif")
    with rasterio.open(folder / "scene.tif") as scene, rasterio.open(labels) as found:
        assert found.crs == scene.crs
        assert found.transform == scene.transform
        assert ((found.read(1) == 255) == (scene.dataset_mask() == 0)).all()
    frame = predict_fields(model, folder / "scene.tif")
    path = write_polygons(frame, tmp_path / "fields.geojson")
    assert check_geojson(path) == []
    assert len(json.loads(path.read_text())["features"]) == len(frame)

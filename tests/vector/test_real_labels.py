"""The labels of real scenes: degrees, a CRS without a code, and what others drew of the same fields."""

from __future__ import annotations

import geopandas
import numpy as np
import rasterio
import shapely
from rasterio.features import rasterize

from segnoise.vector import check_geojson, polygonize, write_polygons


def test_naip_fields_come_back_as_drawn(shared_data, tmp_path):
    scene = sorted((shared_data / "naip_fields" / "instances").glob("*.tif"))[0]
    with rasterio.open(scene) as file:
        ids, transform = file.read(1), file.transform
    fields = polygonize(scene)
    pairs = zip(fields.geometry, fields["label"], strict=True)
    assert np.array_equal(rasterize(pairs, out_shape=ids.shape, transform=transform, dtype=np.int32), ids)
    simple = polygonize(scene, tolerance_m=5.0)
    assert shapely.coverage_is_valid(simple.geometry.to_numpy())
    assert simple.is_valid.all()
    assert check_geojson(write_polygons(simple, tmp_path / "fields.geojson")) == []
    assert 0.98 < simple["area_ha"].sum() / fields["area_ha"].sum() < 1.02


def test_an_albers_grid_without_a_code_is_measured_and_placed(shared_data, tmp_path):
    folder = shared_data / "scenes_vhr_landsat" / "nebraska_landsat5"
    fields = polygonize(folder / "instances.tif")
    np.testing.assert_allclose(fields["area_ha"], fields["n_px"] * 0.09, rtol=1e-9)
    path = write_polygons(fields, tmp_path / "fields.geojson")
    assert check_geojson(path) == []
    with rasterio.open(folder / "instances.tif") as file:
        scene = shapely.box(*file.bounds)
    back = geopandas.read_file(path).to_crs(fields.crs).union_all()
    drawn = geopandas.read_file(folder / "polygons.geojson").to_crs(fields.crs).union_all() & scene
    assert back.intersection(drawn).area / back.union(drawn).area > 0.94

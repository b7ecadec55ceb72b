from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from shapely import MultiPolygon, Polygon, box

from segnoise.vector import check_geojson, polygonize, write_polygons


def written(frame: geopandas.GeoDataFrame, folder: Path) -> dict[str, Any]:
    path = write_polygons(frame, folder / "fields.geojson", overwrite=True)
    assert check_geojson(path) == []
    return json.loads(path.read_text(encoding="utf-8"))


def test_fields_come_back_as_they_were_written(tmp_path, parcels, utm):
    labels = parcels((100, 100), 40)
    fields = polygonize(labels, utm(labels.shape), tolerance_m=10.0, scores=np.full(labels.shape, 0.25))
    written(fields, tmp_path)
    back = geopandas.read_file(tmp_path / "fields.geojson")
    assert back["id"].tolist() == fields["id"].tolist()
    for column in ("label", "area_ha", "perimeter_m", "confidence", "n_px"):
        np.testing.assert_array_equal(back[column], fields[column])
    moved = shapely.hausdorff_distance(back.to_crs(fields.crs).geometry.to_numpy(), fields.geometry.to_numpy())
    assert moved.max() < 0.012
    assert shapely.coverage_is_valid(back.geometry.to_numpy())


def test_the_collection_has_a_bbox_and_no_crs(tmp_path):
    root = written(geopandas.GeoDataFrame(geometry=[box(10, 1, 11, 2), box(12, 0, 13, 1)], crs=4326), tmp_path)
    assert root["bbox"] == [10, 0, 13, 2]
    assert set(root) == {"type", "bbox", "features"}


def test_ids_are_strings_at_the_top_level_of_features_only(tmp_path):
    frame = geopandas.GeoDataFrame({"id": [7, 8], "label": [1, 2]}, geometry=[box(0, 0, 1, 1)] * 2, crs=4326)
    root = written(frame, tmp_path)
    assert [feature["id"] for feature in root["features"]] == ["7", "8"]
    assert [feature["properties"] for feature in root["features"]] == [{"label": 1}, {"label": 2}]


def test_without_an_id_column_the_index_is_the_id(tmp_path):
    frame = geopandas.GeoDataFrame(geometry=[box(0, 0, 1, 1)] * 2, index=["a", "b"], crs=4326)
    assert [feature["id"] for feature in written(frame, tmp_path)["features"]] == ["a", "b"]


def test_a_missing_or_infinite_value_is_null(tmp_path):
    frame = geopandas.GeoDataFrame(
        {
            "score": [np.nan, np.inf],
            "when": pd.to_datetime(["2024-05-01T10:00:00Z", None]),
            "crop": ["Mais, früh", None],
            "count": pd.array([1, pd.NA], dtype="Int64"),
        },
        geometry=[box(0, 0, 1, 1), box(1, 0, 2, 1)],
        crs=4326,
    )
    first, second = (feature["properties"] for feature in written(frame, tmp_path)["features"])
    assert first == {"score": None, "when": "2024-05-01T10:00:00+00:00", "crop": "Mais, früh", "count": 1}
    assert second == {"score": None, "when": None, "crop": None, "count": None}


def test_holes_and_parts_are_kept(tmp_path):
    ring = Polygon(box(0, 0, 3, 3).exterior.coords, [box(1, 1, 2, 2).exterior.coords])
    both = MultiPolygon([ring, box(5, 0, 6, 1)])
    root = written(geopandas.GeoDataFrame(geometry=[ring, both], crs=4326), tmp_path)
    shapes = [shapely.geometry.shape(feature["geometry"]) for feature in root["features"]]
    assert [shape.geom_type for shape in shapes] == ["Polygon", "MultiPolygon"]
    assert shapes[0].equals(ring)
    assert shapes[1].equals(both)


def test_empty_polygons_are_left_out(tmp_path):
    frame = geopandas.GeoDataFrame({"id": list("abc")}, geometry=[Polygon(), None, box(0, 0, 1, 1)], crs=4326)
    assert [feature["id"] for feature in written(frame, tmp_path)["features"]] == ["c"]


def test_no_fields_give_an_empty_collection(tmp_path, utm):
    root = written(polygonize(np.zeros((3, 3), np.uint8), utm((3, 3))), tmp_path)
    assert root == {"type": "FeatureCollection", "features": []}


def test_a_thousand_round_fields_are_all_written_in_order(tmp_path):
    turn = np.linspace(0, 2 * np.pi, 65)[:-1]
    outline = np.column_stack([np.cos(turn), np.sin(turn)]) * 40
    places = np.stack(np.meshgrid(np.arange(50) * 90.0, np.arange(20) * 90.0), axis=-1).reshape(-1, 1, 2)
    shapes = shapely.polygons(outline + places + np.array([500_000, 8_000_000]))
    frame = geopandas.GeoDataFrame({"area_ha": np.arange(1000.0)}, geometry=shapes, crs=32736)
    features = written(frame, tmp_path)["features"]
    assert [feature["properties"]["area_ha"] for feature in features] == list(range(1000))
    assert {len(feature["geometry"]["coordinates"][0]) for feature in features} == {65}


@pytest.mark.parametrize("longitude", [179.99, -180.0])
def test_fields_around_the_antimeridian_conform(tmp_path, longitude, parcels):
    labels = parcels((40, 40), 12)
    grid = GeoBox(labels.shape, Affine(1e-3, 0, longitude, 0, -1e-3, -16.0), "EPSG:4326")
    root = written(polygonize(labels, grid), tmp_path)
    west, _, east, _ = root["bbox"]
    assert (west > east) == (longitude > 0)

from __future__ import annotations

import json

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from segnoise.data import read_polygons
from segnoise.errors import UserError

GRID = GeoBox((100, 100), Affine(10, 0, 500000, 0, -10, 5001000), "EPSG:32633")
FIELDS = [shapely.box(500100, 5000100, 500300, 5000400), shapely.box(500300, 5000100, 500500, 5000400)]
FORMATS = ["a.gpkg", "a.geojson", "a.parquet", "a.shp", "a.fgb"]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_and_crs_gives_the_same_polygons_in_the_scenes_crs(write_vector, name):
    degrees = gpd.GeoSeries(FIELDS, crs=32633).to_crs(4326).tolist()
    read = read_polygons(write_vector(name, degrees, "EPSG:4326", crop=["oats", "rye"]), GRID)
    assert read.crs.to_epsg() == 32633
    order = read.sort_values("crop")
    assert shapely.area(shapely.symmetric_difference(order.geometry.to_numpy(), np.array(FIELDS))).max() < 1e-2


@pytest.mark.parametrize("name", ["a.gpkg", "a.parquet"])
def test_without_a_scene_polygons_stay_in_their_crs_and_order(write_vector, name):
    read = read_polygons(write_vector(name, FIELDS, crop=["oats", "rye"]))
    assert read.crs.to_epsg() == 32633
    assert read["crop"].tolist() == ["oats", "rye"]
    assert shapely.equals(read.geometry.to_numpy(), np.array(FIELDS)).all()


@pytest.mark.parametrize("name", ["a.gpkg", "a.parquet", "a.geojson"])
def test_only_what_reaches_the_scene_is_read(write_vector, name):
    far = shapely.box(509000, 5000100, 509300, 5000400)
    degrees = gpd.GeoSeries([far, *FIELDS], crs=32633).to_crs(4326).tolist()
    assert len(read_polygons(write_vector(name, degrees, "EPSG:4326"), GRID)) == 2


@pytest.mark.parametrize("name", FORMATS)
def test_an_empty_file_is_legal(write_vector, name):
    read = read_polygons(write_vector(name, []), GRID)
    assert len(read) == 0
    assert read.crs.to_epsg() == 32633


def test_an_empty_feature_collection_is_legal(tmp_path):
    path = tmp_path / "a.geojson"
    path.write_text('{"type": "FeatureCollection", "features": []}')
    assert len(read_polygons(path, GRID)) == 0


def test_a_desert_between_labelled_places_is_background(write_vector, caplog):
    around = [shapely.box(490000, 4990000, 490100, 4990100), shapely.box(510000, 5010000, 510100, 5010100)]
    assert len(read_polygons(write_vector("a.gpkg", around), GRID)) == 0
    assert "no polygon reaches the scene" in caplog.text


@pytest.mark.parametrize("name", ["a.gpkg", "a.parquet"])
def test_labels_elsewhere_are_refused_and_both_extents_named(write_vector, name):
    path = write_vector(name, [shapely.box(550100, 5000100, 550300, 5000400)])
    with pytest.raises(UserError, match="do not overlap the scene") as caught:
        read_polygons(path, GRID)
    message = str(caught.value)
    assert "550100" in message
    assert "x 500000 to 501000, y 5000000 to 5001000" in message
    assert "\n" not in message


def test_metres_declared_as_degrees_are_refused_as_not_overlapping(tmp_path):
    feature = {"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(FIELDS[0])}
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    with pytest.raises(UserError, match=r"do not overlap the scene.*500100"):
        read_polygons(path, GRID)


@pytest.mark.parametrize("name", ["a.shp", "a.parquet", "a.gpkg"])
@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_missing_crs_is_refused(write_vector, name):
    path = write_vector(name, FIELDS, None)
    with pytest.raises(UserError, match="no CRS"):
        read_polygons(path, GRID)


@pytest.mark.parametrize("name", ["a.gpkg", "a.parquet"])
def test_a_crs_tied_to_no_place_is_refused(write_vector, name):
    local = 'ENGCRS["site",EDATUM["site"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["metre",1]]'
    with pytest.raises(UserError, match="'site' has no way to EPSG:32633"):
        read_polygons(write_vector(name, FIELDS, local), GRID)


def test_missing_unreadable_and_truncated_files_are_refused(write_vector, tmp_path):
    (tmp_path / "t.gpkg").write_bytes(write_vector("a.gpkg", FIELDS).read_bytes()[:5000])
    (tmp_path / "t.parquet").write_bytes(write_vector("a.parquet", FIELDS).read_bytes()[:500])
    (tmp_path / "t.geojson").write_text('{"type": "FeatureCollection", "features": [')
    (tmp_path / "empty.geojson").touch()
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "plain.parquet")
    for name in ["t.gpkg", "t.parquet", "t.geojson", "empty.geojson", "plain.parquet", "absent.gpkg"]:
        with pytest.raises(UserError) as caught:
            read_polygons(tmp_path / name, GRID)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_several_layers_are_refused_by_name(write_vector):
    path = write_vector("a.gpkg", FIELDS)
    pyogrio.write_dataframe(gpd.GeoDataFrame(geometry=FIELDS, crs=32633), path, layer="roads", append=True)
    with pytest.raises(UserError, match="a, roads"):
        read_polygons(path, GRID)


def test_invalid_outlines_are_repaired_and_counted(write_vector, caplog):
    bowtie = shapely.Polygon([(500100, 5000100), (500300, 5000300), (500300, 5000100), (500100, 5000300)])
    read = read_polygons(write_vector("a.gpkg", [bowtie, FIELDS[1]]), GRID)
    assert read.geometry.is_valid.all()
    assert len(read) == 3
    assert read.geometry.area[:2].sum() == pytest.approx(2 * 200 * 100 / 2)
    assert "1 geometries were invalid" in caplog.text


def test_a_repaired_outline_keeps_what_it_goes_round_twice(write_vector):
    x, y = 500000, 5000000
    # One ring round a square of 200 m, then round a square of 100 m inside it in the same direction.
    twice = [(0, 0), (200, 0), (200, 200), (0, 200), (0, 0), (50, 50), (150, 50), (150, 150), (50, 150), (50, 50)]
    read = read_polygons(write_vector("a.gpkg", [shapely.Polygon([(x + a, y + b) for a, b in twice])]), GRID)
    assert read.geometry.area.sum() == pytest.approx(200 * 200)


def test_heights_are_dropped_and_multipolygons_become_rows(write_vector):
    three_d = shapely.force_3d(shapely.MultiPolygon([FIELDS[0], shapely.box(500600, 5000100, 500700, 5000200)]), 7)
    read = read_polygons(write_vector("a.gpkg", [three_d], crop=["oats"]), GRID)
    assert read["crop"].tolist() == ["oats", "oats"]
    assert not read.geometry.has_z.any()
    assert (read.geom_type == "Polygon").all()


def test_of_mixed_geometries_the_polygons_are_kept_and_the_rest_is_told(write_vector, caplog):
    line = shapely.LineString([(500100, 5000100), (500200, 5000200)])
    collection = shapely.GeometryCollection([shapely.Point(500100, 5000100), shapely.MultiPolygon([FIELDS[1]])])
    read = read_polygons(write_vector("a.geojson", gpd.GeoSeries([FIELDS[0], line, None, collection], crs=32633)
                                      .to_crs(4326).tolist(), "EPSG:4326"), GRID)  # fmt: skip
    assert len(read) == 2
    assert "2 points and lines" in caplog.text


def test_only_points_are_refused(write_vector):
    with pytest.raises(UserError, match=r"no polygon.*point"):
        read_polygons(write_vector("a.gpkg", [shapely.Point(500100, 5000100)]), GRID)


def test_a_scene_across_the_antimeridian_reads_its_labels_on_both_sides(write_vector):
    fiji = GeoBox((100, 100), Affine(1000, 0, 780000, 0, -1000, 8150000), "EPSG:32760")
    back = Transformer.from_crs(32760, 4326, always_xy=True)

    def square(east, north):
        corners = [(0, 0), (5000, 0), (5000, 5000), (0, 5000)]
        return shapely.Polygon([back.transform(east + dx, north + dy) for dx, dy in corners])

    both = [square(790000, 8100000), square(860000, 8100000)]
    assert both[0].bounds[0] > 179 > -179 > both[1].bounds[2]
    read = read_polygons(write_vector("a.gpkg", both, "EPSG:4326"), fiji)
    assert read.geometry.area.tolist() == pytest.approx([25e6, 25e6], rel=1e-2)


def test_real_fields_come_valid_and_in_file_order(shared_data):
    path = shared_data / "naip_fields" / "polygons" / "naip_00.geojson"
    read = read_polygons(path)
    assert read.geometry.is_valid.all()
    assert read["id"].is_monotonic_increasing
